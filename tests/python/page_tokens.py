"""Tokens on the page: gallery, form, a token's own view, in Debian's Chromium.

The task: url, password, host, http_port, picture (a PNG file).
"""


def touch(url):
    """Asks for a token's URL; its touch is remembered when this returns."""
    parts = urllib.parse.urlsplit(url)
    there = f"http://{TASK['host']}:{TASK['http_port']}{parts.path}"
    with urllib.request.urlopen(there, timeout=10) as answer:
        assert answer.status == 200


def titles(page):
    cards = page.driver.find_elements(By.CSS_SELECTOR, ".card h3")
    return [card.text for card in cards if card.is_displayed()]


def focused(page):
    return page.driver.execute_script("return document.activeElement.textContent")


def widths(page, seen):
    """No view is wider than a phone."""
    here = page.driver.execute_script("return location.pathname.split('/').slice(1, 3).join('/')")
    page.size(360, 740)
    page.shot("phone-" + here.replace("/", "-")[:12])
    seen["widths"].append([here, page.wide()])
    page.size(1440, 900)


def run(driver):
    page = Page(driver)
    seen = {"widths": []}
    page.size(1440, 900)
    driver.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": TASK["url"]},
    )
    driver.get(TASK["url"] + "/tokens")
    page.sign_in()
    seen["empty"] = page.text(".empty")
    page.click("main a", "Place the first one")

    # The gallery: every kind, then those that fit.
    page.some(".card h3", "Web Bug")
    seen["kinds"] = len(titles(page))
    seen["groups"] = [head.text for head in driver.find_elements(By.CSS_SELECTOR, "main h2")]
    seen["off"] = page.text(".card", "WireGuard VPN")
    widths(page, seen)
    page.shot("gallery")
    page.key("/")
    page.fill("#q", "bucket S3")
    seen["found"] = titles(page)
    seen["address"] = driver.execute_script("return location.search")

    # What is wrong is said at its field.
    page.click(".card a", "Make one")
    page.fill("[name=memo]", "never made")
    page.fill("[name=s3_source_bucket]", "No")
    page.fill("[name=s3_log_bucket]", "fine-name")
    page.click("form button", "Make it")
    seen["wrong"] = page.text("#ask-s3_source_bucket-wrong", "Takes")
    seen["refused"] = len(page.complaints())
    seen["right"] = driver.find_element(By.ID, "ask-s3_log_bucket-wrong").text
    seen["at_fault"] = driver.execute_script("return document.activeElement.name")
    page.shot("form")
    widths(page, seen)

    # A file goes up and is shown.
    page.click("main a", "All kinds")
    page.fill("#q", "web image")
    page.click(".card a", "Make one")
    page.fill("[name=memo]", "logo of the intranet")
    page.some("[type=file]").send_keys(TASK["picture"])
    page.click("form button", "Make it")
    picture = page.some(".shot")
    WebDriverWait(driver, PATIENCE).until(lambda d: picture.get_property("naturalWidth") == 1)
    seen["picture"] = picture.get_attribute("alt")

    # A URL, copied, tried, and its touch seen.
    page.key("3")
    page.some("h1", "Tokens")
    page.key("n")
    page.some(".card", "Web Bug").find_element(By.CSS_SELECTOR, "a").click()
    page.fill("[name=memo]", "in the wiki <b>page</b>")
    # One visit is one touch where the browser isn't asked about itself.
    page.click("[name=browser_scanner_enabled]")
    page.click("form button", "Make it")
    seen["made"] = page.text(".notice", "armed")
    seen["memo"] = page.text("h1", "wiki")
    url = page.text("dd .inert", "http")
    page.click("dd button", "Copy")
    page.some(".toast", "Copied.")
    seen["copied"] = driver.execute_script("return navigator.clipboard.readText()") == url
    page.shot("token-fresh")
    here = driver.current_window_handle
    page.click("main a", "Open it in a new tab")
    WebDriverWait(driver, PATIENCE).until(lambda d: len(d.window_handles) == 2)
    driver.switch_to.window(here)
    seen["works"] = page.text("main [role=status]", "It works.")
    seen["hit"] = page.text("main table tbody tr")
    seen["timeline"] = page.some("svg.chart").get_attribute("aria-label")
    page.shot("token-touched")
    widths(page, seen)
    page.scheme("dark")
    page.shot("token-dark")
    page.scheme("light")

    # To its incident and back.
    page.click("main table tbody a")
    page.click(".detail a", "The token")
    page.some("h1", "wiki")

    # Off: nobody is told. What it does to incidents is said before.
    page.click("main button", "Switch off")
    seen["off_says"] = page.text("dialog")
    page.click("dialog button", "Switch off")
    page.some("main .state", "Switched off")
    touch(url)
    driver.refresh()
    seen["after_off"] = page.text(".facts", "Touched")
    page.click("main button", "Arm")
    page.some("main .state", "Armed")
    touch(url)
    seen["after_on"] = page.text(".facts", "Touched 2 times")

    # The reminder changes; the keyboard comes back to where it was.
    page.click("main button", "Change the reminder")
    page.fill("#memo", "in the wiki, page Backups")
    page.click("form button", "Save")
    page.some("h1", "Backups")
    seen["focus_after_edit"] = focused(page)

    # The list: search, order, state.
    page.click("main a", "All tokens")
    seen["first"] = page.text(".row a", "Backups")
    page.fill("#q", "intranet")
    WebDriverWait(driver, PATIENCE).until(
        lambda d: len(d.find_elements(By.CSS_SELECTOR, ".row")) == 1
    )
    seen["searched"] = page.text(".row a")
    page.shot("list")
    widths(page, seen)
    driver.get(TASK["url"] + "/tokens?state=off")
    seen["none_off"] = page.text(".empty")
    page.click("main a", "Show all tokens")

    # Deleted after a question whose safe answer has the keyboard.
    page.click(".row a", "Backups")
    page.click("main button", "Delete")
    seen["delete_says"] = page.text("dialog")
    seen["focus_in_dialog"] = focused(page)
    page.shot("delete")
    page.key(Keys.ESCAPE)
    page.none("dialog")
    seen["focus_after_dialog"] = focused(page)
    page.click("main button", "Delete")
    page.click("dialog button", "Delete")
    page.some("h1", "Tokens")
    page.some(".row a", "intranet")
    seen["left"] = len(driver.find_elements(By.CSS_SELECTOR, ".row"))
    seen["console"] = page.complaints()
    return seen


drive(run, f"MAP *.localhost {TASK['host']}")
