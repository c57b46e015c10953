"""The page, as somebody on duty uses it, in Debian's Chromium.

The task: url, password, host, source, ftp_port, http_port.
"""

USER = "<script>window.hit=1</script>"
PASSWORD = '"><img src=x onerror=window.hit=1>'


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
    page.sign_in()

    seen["empty"] = page.text(".empty")
    page.shot("empty")

    # Live: the page isn't reloaded.
    driver.execute_script("window.kept = true")
    said = ftp(USER, PASSWORD)
    page.some(".row a", "FTP login")
    seen["live_seconds"] = round(time.monotonic() - said, 3)
    seen["kept"] = driver.execute_script("return window.kept === true")
    seen["row"] = page.text(".row a", "FTP login")
    WebDriverWait(driver, PATIENCE).until(lambda d: d.title.startswith("(1) "))

    # Open, look, reveal.
    page.click(".row a", "FTP login")
    table = "[aria-label='Users and passwords']"
    seen["tried_hidden"] = page.text(table)
    page.click(".detail button", "Show passwords")
    seen["tried_shown"] = page.text(table, PASSWORD)
    page.shot("incident")
    seen["hit"] = driver.execute_script(
        "return window.hit === 1 || document.querySelector('main script, main img') !== null"
    )

    # Ignore such as this: what it would hide, then that it does.
    page.click(".detail button", "Ignore such as this")
    seen["would_hide"] = page.text("dialog .notice", "30 days")
    page.shot("ignore")
    page.click("dialog button", "Ignore from now on")
    page.none("dialog")
    ftp("ignored", "x")
    page.go("Settings")
    seen["rule"] = page.text("section li", TASK["source"])
    page.shot("settings")
    page.click("section li button", "Remove")
    page.click("dialog button", "Remove")
    page.some("section p", "None.")

    # Acknowledge by key, take away after a question.
    page.go("Incidents")
    seen["row_after_ignored"] = page.text(".row a", "FTP login")
    page.click(".row a", "FTP login")
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
    page.click("main a", "Place the first one")
    page.some(".card", "Web Bug").find_element(By.CSS_SELECTOR, "a").click()
    page.fill("[name=memo]", "in the wiki <b>page</b>")
    page.click("form button", "Make it")
    url = page.text("dd .inert", "http")
    fetch(url)
    page.go("Incidents")
    seen["token_row"] = page.text(".row a", "in the wiki")
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
    page.click(".row a", "FTP login")
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
    seen["console"] = page.complaints()
    return seen


drive(run)
