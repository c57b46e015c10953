"""Login pages of decoys, used by a person in Debian's Chromium.

Reads its task as JSON from the environment variable LOGIN_TASK: a list of objects with url, user,
password (names of the page's fields) and wrong (text that a refusal holds). Prints what it saw as JSON.
"""

import json
import os
import tempfile

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

TASK = json.loads(os.environ["LOGIN_TASK"])
PATIENCE = 15


def attempt(driver, task):
    driver.get(task["url"])
    title = driver.title
    pictures = driver.execute_script(
        "return [...document.images].map(i => [i.src, i.complete && i.naturalWidth > 0])"
    )
    styles = driver.execute_script("return [...document.styleSheets].map(s => s.cssRules.length)")
    driver.get_log("browser")
    driver.find_element(By.NAME, task["user"]).send_keys("o'brien")
    password = driver.find_element(By.NAME, task["password"])
    password.send_keys("pa<ss")
    driver.find_element(By.CSS_SELECTOR, "[type=submit]").click()
    WebDriverWait(driver, PATIENCE, 0.05).until(lambda d: task["wrong"] in d.page_source)
    # A refused login by script is said in the browser's log; nothing else may be there.
    log = [
        entry["message"]
        for entry in driver.get_log("browser")
        if entry["level"] == "SEVERE" and "401" not in entry["message"]
    ]
    return {
        "title": title,
        "pictures": [src for src, whole in pictures if not whole],
        "styles": styles,
        "log": log,
        "agent": driver.execute_script("return navigator.userAgent"),
    }


def main():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        driver = browser(folder, "1200,800")
        try:
            print(json.dumps([attempt(driver, task) for task in TASK]))
        finally:
            driver.quit()


main()
