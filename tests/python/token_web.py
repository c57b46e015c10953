"""A visitor of the web's tokens, in Debian's Chromium. Reads its task as JSON from WEB_TASK, prints
what it saw as JSON.
"""

import http.server
import json
import os
import tempfile
import threading
import urllib.parse

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

TASK = json.loads(os.environ["WEB_TASK"])
COPY = (
    f"<!DOCTYPE html><html><head><style>{TASK['style']}</style></head>"
    "<body><main><h1>Sign in</h1><form><input></form></main>"
    f"<script>{TASK['script']}</script></body></html>"
)


class Away(http.server.BaseHTTPRequestHandler):
    """Where redirects lead, and a copied page."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write((COPY if "/copy" in self.path else "<p>away</p>").encode())

    def log_message(self, *_):
        pass


away = urllib.parse.urlsplit(TASK["away"])
server = http.server.ThreadingHTTPServer((away.hostname, away.port), Away)
threading.Thread(target=server.serve_forever, daemon=True).start()

seen = {}
with tempfile.TemporaryDirectory() as folder:
    driver = browser(folder, "900,700")

    def arrives(url):
        WebDriverWait(driver, 15, 0.05).until(lambda d: d.current_url == url, url)
        return driver.current_url

    def settle(requests):
        """Until what the page asks for has been answered."""
        count = "return performance.getEntriesByType('resource').length"
        WebDriverWait(driver, 15, 0.05).until(lambda d: d.execute_script(count) >= requests, "requests")

    try:
        driver.get(TASK["bug"])
        settle(1)
        seen["bug_title"] = driver.title
        for name, what in {
            "time_zone": "Intl.DateTimeFormat().resolvedOptions().timeZone",
            "user_agent": "navigator.userAgent",
            "screen": "screen.width + 'x' + screen.height + 'x' + screen.colorDepth",
        }.items():
            seen[name] = driver.execute_script("return " + what)
        driver.get(TASK["silent"])
        driver.get(TASK["fast"])
        seen["fast"] = arrives(TASK["away"] + "/fast")
        driver.get(TASK["slow"])
        seen["slow"] = arrives(TASK["away"] + "/slow?a=b&c")
        driver.get(TASK["away"] + "/copy?a=1&b")
        settle(2)

        app = TASK["app"]
        origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(app))
        driver.get(app)
        say = driver.find_element(By.ID, "say")
        seen["installed"] = say.text
        add = driver.find_element(By.ID, "add")
        WebDriverWait(driver, 15, 0.05).until(lambda d: add.is_displayed(), "the browser offers to install")
        seen["offer"] = add.text
        driver.execute_cdp_cmd("Browser.grantPermissions", {"origin": origin, "permissions": ["geolocation"]})
        driver.execute_cdp_cmd(
            "Emulation.setGeolocationOverride", {"latitude": 52.25, "longitude": 4.5, "accuracy": 10}
        )
        # As browsers on phones say that they show an app from the home screen.
        driver.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument",
            {"source": "Object.defineProperty(navigator, 'standalone', { value: true })"},
        )
        driver.get(app.rsplit("/", 1)[0] + "/")
        WebDriverWait(driver, 15, 0.05).until(
            lambda d: d.execute_script(
                "return performance.getEntriesByType('resource').some(function (e) { return /loc=/.test(e.name); })"
            ),
            "the place is told",
        )
    finally:
        driver.quit()
        server.shutdown()
print(json.dumps(seen))
