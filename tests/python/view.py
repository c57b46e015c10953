"""The page as a test sees it; stands behind browser.py and before the script that uses it.

Reads its task as JSON from the environment variable PAGE_TASK. Saves pictures to the folder
COALMINE_SHOTS, if set.
"""

import json
import os
import socket
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

TASK = json.loads(os.environ["PAGE_TASK"])
SHOTS = os.environ.get("COALMINE_SHOTS")
PATIENCE = 15


class Page:
    def __init__(self, driver):
        self.driver = driver

    def some(self, selector, text="", use=lambda element: element):
        """What `use` gives of the first visible element that has the text, once there is one."""

        def look(driver):
            for element in driver.find_elements(By.CSS_SELECTOR, selector):
                try:
                    if element.is_displayed() and text in element.text:
                        return (use(element),)
                except Exception:  # It was redrawn meanwhile.
                    continue
            return False

        waiting = WebDriverWait(self.driver, PATIENCE, 0.02)
        return waiting.until(look, f"{selector} with {text!r}")[0]

    def text(self, selector, text=""):
        """The whole text of such an element."""
        return self.some(selector, text, lambda element: element.text)

    def none(self, selector):
        WebDriverWait(self.driver, PATIENCE, 0.02).until(
            lambda driver: not driver.find_elements(By.CSS_SELECTOR, selector), f"no {selector}"
        )

    def click(self, selector, text=""):
        self.some(selector, text, lambda element: element.click())

    def fill(self, selector, text):
        box = self.some(selector)
        box.clear()
        box.send_keys(text)

    def key(self, key):
        webdriver.ActionChains(self.driver).send_keys(key).perform()

    def go(self, view):
        self.click(".rail li a", view)

    def shot(self, name):
        if SHOTS:
            os.makedirs(SHOTS, exist_ok=True)
            time.sleep(0.4)
            self.driver.save_screenshot(os.path.join(SHOTS, f"{name}.png"))

    def size(self, width, height):
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def scheme(self, name):
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": name}]},
        )

    def wide(self):
        return self.driver.execute_script("return document.documentElement.scrollWidth")

    def sign_in(self):
        self.fill("#username", "admin")
        self.fill("#password", TASK["password"])
        self.click("button", "Sign in")

    def complaints(self):
        """What the browser has to complain about."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] != "INFO"]


def drive(run, rules=""):
    """Runs `run` in a browser; prints what it saw as JSON."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        driver = browser(folder, "1440,900", rules)
        try:
            print(json.dumps(run(driver)))
        except BaseException:
            if SHOTS:
                driver.save_screenshot(os.path.join(SHOTS, "failed.png"))
            print(driver.get_log("browser"), file=sys.stderr)
            raise
        finally:
            driver.quit()
