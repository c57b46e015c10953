"""The page, as somebody on duty uses it, in Debian's Chromium.

Reads its task as JSON from the environment variable PAGE_TASK: url, password, host, ftp_port,
http_port. Prints what it saw as JSON. Saves pictures to the folder COALMINE_SHOTS, if set.
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
USER = "<script>window.hit=1</script>"
PASSWORD = '"><img src=x onerror=window.hit=1>'
PATIENCE = 15


class Page:
    def __init__(self, driver):
        self.driver = driver

    def some(self, selector, text=""):
        """The first visible element that has the text, once there is one."""

        def look(driver):
            for element in driver.find_elements(By.CSS_SELECTOR, selector):
                try:
                    if element.is_displayed() and text in element.text:
                        return element
                except Exception:  # It was redrawn meanwhile.
                    continue
            return False

        return WebDriverWait(self.driver, PATIENCE, 0.02).until(look, f"{selector} with {text!r}")

    def none(self, selector):
        WebDriverWait(self.driver, PATIENCE, 0.02).until(
            lambda driver: not driver.find_elements(By.CSS_SELECTOR, selector), f"no {selector}"
        )

    def click(self, selector, text=""):
        self.some(selector, text).click()

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


def ftp(user, password):
    """One login attempt; when its answer came."""
    with socket.create_connection((TASK["host"], TASK["ftp_port"]), 10) as stream:
        lines = stream.makefile("rb")
        lines.readline()
        for command in (f"USER {user}", f"PASS {password}"):
            stream.sendall(command.encode() + b"\r\n")
            said = lines.readline()
    assert said.startswith(b"530 "), said
    return time.monotonic()


def fetch(url):
    parts = urllib.parse.urlsplit(url)
    there = f"http://{TASK['host']}:{TASK['http_port']}{parts.path}"
    with urllib.request.urlopen(there, timeout=10) as answer:
        assert answer.status == 200


def run(driver):
    page = Page(driver)
    seen = {}
    page.size(1440, 900)
    driver.get(TASK["url"])
    seen["signed_out_title"] = driver.title
    page.fill("#username", "admin")
    page.fill("#password", TASK["password"])
    page.click("button", "Sign in")

    seen["empty"] = page.some(".empty").text
    page.shot("empty")

    # Live: the page isn't reloaded.
    driver.execute_script("window.kept = true")
    said = ftp(USER, PASSWORD)
    row = page.some(".row a", "FTP login")
    seen["live_seconds"] = round(time.monotonic() - said, 3)
    seen["kept"] = driver.execute_script("return window.kept === true")
    seen["row"] = row.text
    WebDriverWait(driver, PATIENCE).until(lambda d: d.title.startswith("(1) "))

    # Open, look, reveal.
    row.click()
    table = "[aria-label='Users and passwords']"
    seen["tried_hidden"] = page.some(table).text
    page.click(".detail button", "Show passwords")
    seen["tried_shown"] = page.some(table, PASSWORD).text
    page.shot("incident")
    seen["hit"] = driver.execute_script(
        "return window.hit === 1 || document.querySelector('main script, main img') !== null"
    )

    # Ignore such as this: what it would hide, then that it does.
    page.click(".detail button", "Ignore such as this")
    seen["would_hide"] = page.some("dialog .notice", "30 days").text
    page.shot("ignore")
    page.click("dialog button", "Ignore from now on")
    page.none("dialog")
    ftp("ignored", "x")
    page.go("Settings")
    seen["rule"] = page.some("section li", TASK["source"]).text
    page.shot("settings")
    page.click("section li button", "Remove")
    page.click("dialog button", "Remove")
    page.some("section p", "None.")

    # Acknowledge by key, take away after a question.
    page.go("Incidents")
    row = page.some(".row a", "FTP login")
    seen["row_after_ignored"] = row.text
    row.click()
    page.some(".detail h1")
    page.key("a")
    page.some(".detail p", "acknowledged")
    page.some(".detail button", "Open again")
    page.click(".detail button", "Delete")
    page.click("dialog button", "Cancel")
    page.none("dialog")
    page.click(".detail button", "Delete")
    page.click("dialog button", "Delete")
    page.none(".detail h1")
    seen["rows_after_delete"] = len(driver.find_elements(By.CSS_SELECTOR, ".row"))

    # A token, and its hit.
    page.go("Tokens")
    page.some(".card", "Web Bug").find_element(By.TAG_NAME, "button").click()
    page.fill("#memo", "in the wiki <b>page</b>")
    page.click("form button", "Make it")
    url = page.some(".notice dd", "http").text.split()[0]
    page.shot("token")
    fetch(url)
    page.go("Incidents")
    row = page.some(".row a", "in the wiki")
    seen["token_row"] = row.text
    ftp("root", "toor")
    page.some(".pill, .row a", "")
    driver.refresh()
    page.some(".row a", "FTP login")
    page.shot("busy")
    # The list scrolls, not the window around it.
    seen["window_scrolls"] = driver.execute_script(
        "return document.documentElement.scrollHeight > innerHeight"
    )
    page.scheme("dark")
    page.some(".row a", "FTP login").click()
    page.some(".detail h1")
    page.shot("dark")
    page.scheme("light")
    page.size(360, 740)
    page.shot("phone-incident")
    seen["phone_width_incident"] = page.wide()
    page.key(Keys.ESCAPE)
    page.some(".row a", "FTP login")
    page.shot("phone")
    seen["phone_width"] = page.wide()
    page.size(1440, 900)

    page.click(".rail button", "Sign out")
    page.some("#password")
    driver.get(TASK["url"] + "/birds")
    page.some("#password")
    seen["signed_out"] = urllib.parse.urlsplit(driver.current_url).path
    seen["console"] = [
        entry["message"] for entry in driver.get_log("browser") if entry["level"] != "INFO"
    ]
    return seen


def main():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        driver = browser(folder, "1440,900")
        try:
            print(json.dumps(run(driver)))
        except BaseException:
            if SHOTS:
                driver.save_screenshot(os.path.join(SHOTS, "failed.png"))
            print(driver.get_log("browser"), file=sys.stderr)
            raise
        finally:
            driver.quit()


main()
