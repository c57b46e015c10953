"""The page through a long night, in Debian's Chromium: tabs in the background, many of them, a
Console that cannot be reached, an address that is wrong.

The task: url, password, host, ftp_port.
"""

# As a browser that may notify, with the tab in the background.
AWAY = """
window.told = [];
window.Notification = class { constructor(title, {body}) { told.push(body); } };
Notification.permission = "granted";
Object.defineProperty(document, "hidden", {get: () => true});
localStorage.setItem("notify", "on");
"""
# As a browser in which tabs cannot agree on one of them.
ALONE = "Object.defineProperty(Navigator.prototype, 'locks', {get: () => undefined})"
# A Console that answers for rows: `answers` one by one, then fails.
ANSWERS = """
const [answers, row] = arguments, real = window.fetch;
window.asked = 0;
window.fetch = (address, options) => {
  if (!String(address).startsWith("/page/rows")) return real(address, options);
  const length = answers[asked++];
  if (length === undefined) return Promise.reject(new TypeError("gone"));
  const rows = Array.from({length}, (_, i) => ({...row, hash: (asked * 1000 + i).toString(16).padStart(32, "0")}));
  return Promise.resolve(Response.json({rows, cursor: 1, newest: 1, problems: [], open: {count: 1, more: false}}));
};
"""
GO = """
const link = document.createElement("a");
link.href = arguments[0];
link.dataset.inside = "";
document.body.append(link);
link.click();
link.remove();
"""


def ftp(source):
    """One login attempt of somebody else."""
    there = (TASK["host"], TASK["ftp_port"])
    with socket.create_connection(there, 10, (source, 0)) as stream:
        lines = stream.makefile("rb")
        for command in (b"", b"USER root\r\n", b"PASS toor\r\n"):
            stream.sendall(command)
            lines.readline()


def counted(driver, number):
    WebDriverWait(driver, PATIENCE, 0.02).until(
        lambda d: d.title.startswith(f"({number}) "), f"({number}) in the title"
    )


def away(page, seen):
    driver = page.driver
    page.some(".empty")
    driver.execute_script(AWAY)
    ftp("127.20.0.1")
    counted(driver, 1)
    seen["told_in_list"] = driver.execute_script("return told")
    page.go("Birds")
    page.some(".card")
    ftp("127.20.0.2")
    counted(driver, 2)
    seen["told_elsewhere"] = driver.execute_script("return told.slice(1)")


def tabs(page, seen):
    driver = page.driver
    for number in range(7):
        driver.switch_to.new_window("tab")
        if number == 6:
            driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": ALONE})
        driver.get(TASK["url"])
        page.some(".row a", "FTP login")
    ftp("127.20.0.3")
    for tab in driver.window_handles:
        driver.switch_to.window(tab)
        counted(driver, 3)
    seen["tabs"] = len(driver.window_handles)
    # The first one holds the stream.
    driver.switch_to.window(driver.window_handles[0])
    driver.close()
    ftp("127.20.0.4")
    for tab in driver.window_handles:
        driver.switch_to.window(tab)
        counted(driver, 4)
    # The next one is put to sleep by the browser, and nothing is heard of it.
    sleeping, awake, *rest = driver.window_handles
    driver.switch_to.window(sleeping)
    driver.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "frozen"})
    driver.switch_to.window(awake)
    driver.execute_script("const now = Date.now; Date.now = () => now() + 80000")
    ftp("127.20.0.5")
    counted(driver, 5)
    driver.switch_to.window(sleeping)
    driver.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "active"})
    counted(driver, 5)
    for tab in (awake, *rest):
        driver.switch_to.window(tab)
        driver.close()
    driver.switch_to.window(sleeping)


def hands(page, seen):
    """What is under the reader's hands stays there."""
    driver = page.driver
    page.click(".pill", "new")
    page.click(".row a", "127.20.0.4")
    page.click(".detail button", "Show passwords")
    top = "return before.getBoundingClientRect().top"
    driver.execute_script("window.before = document.querySelector('.detail h1')")
    was = driver.execute_script(top)
    ftp("127.20.0.4")
    page.some(".detail .pill", "Changed: show")
    page.shot("changed")
    seen["moved"] = driver.execute_script(top) - was
    seen["untouched"] = driver.execute_script("return before.isConnected")
    seen["focus_in_detail"] = driver.execute_script("return document.activeElement.textContent")
    page.click(".detail .pill")
    page.some(".detail h1", "2 FTP logins")
    clock(page, seen)
    page.size(700, 740)
    page.key(Keys.ESCAPE)
    page.some(".row a", "127.20.0.4")
    row = "return document.activeElement.textContent.includes('127.20.0.4')"
    seen["focus_back"] = driver.execute_script(row)
    page.key(Keys.ENTER)
    page.some(".detail h1", "2 FTP logins")
    inside = "return document.activeElement.closest('.detail') !== null"
    seen["focus_in_side"] = driver.execute_script(inside)
    page.key(Keys.ESCAPE)
    page.size(1440, 900)
    page.fill("#search", "127.20.0.4")
    page.key(Keys.ENTER)
    WebDriverWait(driver, PATIENCE, 0.02).until(
        lambda d: len(d.find_elements(By.CSS_SELECTOR, ".row")) == 1
    )
    seen["focus_in_search"] = driver.execute_script("return document.activeElement.id")


def clock(page, seen):
    """What time does: to what still goes on, and to axes when another tab switches the zone."""
    driver = page.driver
    driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
    seen["zones"] = []
    for zone in ("local", "utc"):
        driver.execute_script(
            "localStorage.setItem('zone', arguments[0]);"
            "dispatchEvent(new StorageEvent('storage', {key: 'zone'}))",
            zone,
        )
        seen["zones"].append(driver.find_elements(By.CSS_SELECTOR, ".strip text")[-1].text)
    page.some(".row .going")
    page.some(".detail .going")
    driver.execute_script(
        "const now = Date.now; Date.now = () => now() + 125000;"
        "dispatchEvent(new StorageEvent('storage', {key: 'zone'})); Date.now = now"
    )
    seen["going"] = len(driver.find_elements(By.CSS_SELECTOR, ".going"))


def failing(page, seen):
    """Asked again only where there is a reason."""
    driver = page.driver
    row = driver.execute_async_script(
        "fetch('/page/rows?q=').then((a) => a.json()).then((a) => arguments[0](a.rows[0]))"
    )
    driver.execute_script(ANSWERS, [1], row)
    driver.execute_script(GO, "/?q=src:127.20.0.1")
    page.some(".list .notice", "could not be loaded")
    time.sleep(0.5)
    seen["asked_after_failure"] = driver.execute_script("return asked")
    # Another search fails at once: nothing of the last one is left.
    driver.execute_script(GO, "/?q=src:127.20.0.2")
    page.none(".row")
    page.some(".list .notice", "could not be loaded")
    # Hidden behind an incident.
    driver.refresh()
    page.some(".list")
    page.size(700, 740)
    driver.execute_script(ANSWERS, [50] * 9, row)
    driver.execute_script(GO, f"/incidents/{row['hash']}?q=src:127.20.0.1")
    page.some(".detail h1")
    time.sleep(0.5)
    seen["asked_while_hidden"] = driver.execute_script("return asked")
    page.size(1440, 900)


def lost(page, seen):
    driver = page.driver
    driver.get(TASK["url"] + "/tokens/abc?x=1")
    driver.execute_script("window.kept = true")
    page.some("h1", "There is no such page")
    time.sleep(0.3)
    seen["kept"] = driver.execute_script("return window.kept")
    page.click("main a", "All incidents")
    page.some(".row a", "FTP login")
    # The session is over and the stream silent for a minute.
    page.go("Audit")
    page.some("td", "admin")
    driver.delete_all_cookies()
    driver.execute_script("const now = Date.now; Date.now = () => now() + 61000")
    page.some("#password")
    parts = urllib.parse.urlsplit(driver.current_url)
    seen["sign_in"] = f"{parts.path}?{parts.query}"


def run(driver):
    page = Page(driver)
    seen = {}
    page.size(1440, 900)
    driver.get(TASK["url"])
    page.sign_in()
    away(page, seen)
    tabs(page, seen)
    hands(page, seen)
    seen["console"] = page.complaints()
    failing(page, seen)
    lost(page, seen)
    return seen


drive(run)
