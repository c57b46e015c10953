"""What may be set of tokens on the page, and the list while others work on it.

The task: url, password, host, http_port, metadata (a file of SAML 2.0).
"""

import configparser
import http.client
import ssl

CLIENT = configparser.ConfigParser()
CLIENT.read(os.environ["CLIENT_CONFIG"])
TRUST = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
LONG = "a line of the list that others change "


def api(path, **params):
    """Somebody else, by the API."""
    body = urllib.parse.urlencode({"auth_token": CLIENT["CanaryTools"]["api_key"], **params}).encode()
    url = f"{TASK['url']}/api/v1/{path}"
    get = path.endswith(("fetch", "list", "settings"))
    url, body = (f"{url}?{body.decode()}", None) if get else (url, body)
    with urllib.request.urlopen(url, body, timeout=10, context=TRUST) as answer:
        return json.load(answer)


def make(kind, memo, **asked):
    return api("canarytoken/create", kind=kind, memo=memo, **asked)["canarytoken"]


def token(made):
    return api("canarytoken/fetch", canarytoken=made["canarytoken"])["token"]


def ask(path):
    """Status, place to go to and text of an answer of the tokens' web server."""
    there = http.client.HTTPConnection(TASK["host"], TASK["http_port"], timeout=10)
    there.request("GET", path)
    answer = there.getresponse()
    return [answer.status, answer.getheader("Location"), answer.read().decode("latin-1")[:200]]


def leads_to(made):
    return ask(urllib.parse.urlsplit(made["url"]).path)[:2]


def visit(page, made):
    page.driver.get(f"{TASK['url']}/tokens/{made['canarytoken']}")
    page.some("h2", "About it")


def save(page, title, button="Save"):
    """Presses the button of this form and gives what is said then."""
    driver = page.driver
    form = page.some("form.stack", title)
    driver.execute_script("arguments[0].querySelector('[role=status]').textContent = ''", form)
    for one in form.find_elements(By.CSS_SELECTOR, "button"):
        if one.text.startswith(button):
            one.click()
            break
    said = form.find_element(By.CSS_SELECTOR, "[role=status]")
    return WebDriverWait(driver, PATIENCE, 0.02).until(lambda d: said.text)


def write(page, selector, text):
    """Typed as a person would, over what stands there."""
    box = page.some(selector)
    box.send_keys(Keys.CONTROL + "a")
    box.send_keys(text or Keys.DELETE)


def look(page, name, what):
    """Pictures of this part in light and dark and on a phone; how wide it is there."""
    center = "document.querySelector(arguments[0]).scrollIntoView({block: 'center'})"
    page.driver.execute_script(center, what)
    page.shot(f"{name}-light")
    page.scheme("dark")
    page.shot(f"{name}-dark")
    page.scheme("light")
    page.size(360, 740)
    page.driver.execute_script(center, what)
    page.shot(f"{name}-phone")
    wide = page.wide()
    page.size(1440, 900)
    return wide


def redirects(page, seen):
    driver = page.driver
    must = make("fast-redirect", "must lead on", browser_redirect_url="http://one.example/")
    may = make("qr-code", "may lead on")
    visit(page, must)
    box = page.some("#set-redirect")
    seen["redirect_shown"] = box.get_property("value")
    seen["redirect_buttons"] = page.text("section", "Settings of this token").count("elsewhere")
    write(page, "#set-redirect", "ftp://files.example/")
    seen["redirect_refused"] = save(page, "Where it leads")
    seen["redirect_wrong"] = page.text("#set-redirect-wrong", "Takes")
    seen["redirect_focus"] = driver.execute_script("return document.activeElement.id")
    seen["complaints"] = len(page.complaints())
    page.shot("redirect-wrong")
    write(page, "#set-redirect", "http://two.example/x")
    seen["redirect_said"] = save(page, "Where it leads")
    seen["redirect_right"] = driver.find_element(By.ID, "set-redirect-wrong").text
    page.some("dd", "http://two.example/x")
    seen["redirect"] = [token(must)["browser_redirect_url"], *leads_to(must)]
    visit(page, may)
    seen["may_first"] = leads_to(may)
    write(page, "#set-redirect", "http://three.example/")
    save(page, "Where it leads")
    seen["may_set"] = [token(may)["browser_redirect_url"], *leads_to(may)]
    seen["widths"].append(look(page, "redirect", "#set-redirect"))
    seen["may_said"] = save(page, "Where it leads", "Send nobody")
    seen["may_none"] = [token(may)["browser_redirect_url"], *leads_to(may)]
    plain = make("dns", "nothing to set")
    visit(page, plain)
    seen["plain"] = "Settings of this token" in driver.find_element(By.CSS_SELECTOR, "main").text


def lists(page, seen):
    seen["lists"] = {}
    for name, kind, asked, bad, good in (
        ("clonedsite", "cloned-web", {"cloned_web": "www.example.com"}, "(x", "^http://a/\n\n ^b$ "),
        ("s3bucket", "aws-s3", {"s3_source_bucket": "yearly-books", "s3_log_bucket": "b-logs"}, None, "arn:a*\narn:b"),
    ):
        made = make(kind, f"has a list: {name}", **asked)
        title = "Ignored"
        params = {"flock_id": made["flock_id"], "canarytoken": made["canarytoken"]}
        told = lambda: api(f"canarytokens/{name}/ignorelist/fetch", **params)["ignore_lists"]
        visit(page, made)
        one = seen["lists"][name] = []
        page.some("#set-ignores")
        if bad:
            write(page, "#set-ignores", bad)
            save(page, title)
            one.append(page.text("#set-ignores-wrong", "expression"))
            seen["complaints"] += len(page.complaints())
        write(page, "#set-ignores", good)
        page.click("#set-ignoring")
        one += [save(page, title), told(), page.some("#set-ignores").get_property("value")]
        visit(page, made)
        page.some("#set-ignores")
        one.append(page.some("#set-ignores").get_property("value"))
        seen["widths"].append(look(page, name, "#set-ignores"))
        write(page, "#set-ignores", "")
        page.click("#set-ignoring")
        one += [save(page, title), told()]


def provider(page, seen):
    made = make("idp-app", "on the dashboard", idp_app_type="github")
    visit(page, made)
    state = lambda: [token(made).get(name) for name in ("metadata_entity_id", "validation_enabled")]
    title = "Identity provider"
    seen["provider_none"] = page.text("form", "None is saved")
    page.click("#set-validation")
    save(page, title)
    seen["provider_needs"] = page.text("#set-validation-wrong", "saved before")
    page.some("#set-metadata").send_keys(TASK["metadata"])
    seen["provider_said"] = save(page, title)
    seen["provider"] = [state(), page.text("form", "Saved with this token")]
    seen["widths"].append(look(page, "provider", "#set-pasted"))
    seen["provider_forgot"] = save(page, title, "Forget")
    seen["provider_gone"] = state()
    seen["provider_off"] = page.some("#set-validation").is_selected()
    write(page, "#set-pasted", "<x/>")
    save(page, title)
    seen["provider_wrong"] = page.text("#set-pasted-wrong", "SAML")
    seen["complaints"] += len(page.complaints())
    write(page, "#set-pasted", "<EntityDescriptor entityID='http://pasted.example/'>")
    save(page, title)
    seen["provider_pasted"] = state()
    # Off does not lose what is kept.
    page.click("#set-validation")
    save(page, title)
    page.click("#set-validation")
    save(page, title)
    seen["provider_again"] = state()


def settings(page, seen):
    page.go("Settings")
    domains = lambda: [api("settings/canarytokens/user_domains/list")["user_domains"],
        api("settings")["canarytokens_user_domains_enable"]]
    page.some("#own-domains")
    write(page, "#own-domains", "localhost")
    save(page, "Domains of your own")
    seen["domains_wrong"] = page.text("#own-domains-wrong", "domain")
    seen["complaints"] += len(page.complaints())
    write(page, "#own-domains", "Docs.Example.ORG.\nfiles.example.org")
    page.click("#own-domains-on")
    seen["domains_said"] = save(page, "Domains of your own")
    seen["domains"] = domains()
    seen["domains_shown"] = page.some("#own-domains").get_property("value")
    seen["own"] = make("http", "in our own", custom_domain="docs.example.org")["url"]
    write(page, "#webroot", "<h1>Under <b>work</b></h1>")
    page.click("#webroot-on")
    seen["root_said"] = save(page, "Page at the root")
    seen["root"] = ask("/")
    page.driver.refresh()
    page.some("#webroot")
    seen["root_shown"] = page.some("#webroot").get_property("value")
    seen["widths"].append(look(page, "settings", "#webroot"))
    page.click("#webroot-on")
    save(page, "Page at the root")
    seen["root_off"] = ask("/") != seen["root"]
    write(page, "#own-domains", "")
    save(page, "Domains of your own")
    page.click("#own-domains-on")
    save(page, "Domains of your own")
    seen["domains_none"] = domains()


def many(page, seen):
    """A list that is loaded in parts, while somebody else works on it."""
    driver = page.driver
    made = [make("dns", f"many {at}.") for at in range(55)]
    driver.get(TASK["url"] + "/tokens?q=many")
    page.some("section > .small", "55 tokens")
    count = lambda: len(driver.find_elements(By.CSS_SELECTOR, ".row"))
    seen["many"] = [count()]
    make("dns", "many 55.")
    seen["many_new"] = page.text(".pill", "new")
    api("canarytoken/delete", canarytoken=made[0]["canarytoken"])
    api("canarytoken/delete", canarytoken=made[54]["canarytoken"])
    seen["many_gone"] = page.text(".row a", "Not in this list any more")
    page.some("section > .small", "54 tokens")
    page.click("main button", "Load more")
    page.some(".row a", "many 1.")
    seen["many"].append(count())
    page.click(".pill", "new")
    page.some(".row a", "many 55.")
    seen["many"].append(count())
    seen["many_left"] = "many 54." in driver.find_element(By.CSS_SELECTOR, ".rows").text


def others(page, seen):
    """The list while somebody else makes, changes and deletes tokens."""
    driver = page.driver
    rows = lambda: driver.execute_script(
        "return [...document.querySelectorAll('.row .sentence')].map((row) => row.textContent)")
    driver.get(TASK["url"] + "/tokens?q=listed")
    page.some(".empty", "Nothing matches")
    made = {name: make("dns", f"listed {name}: {LONG}") for name in "abc"}
    rename = lambda name, memo: api("canarytoken/update", canarytoken=made[name]["canarytoken"], memo=f"listed {memo}")
    # An empty list fills by itself, perhaps while they are made.
    page.some(".row a", "listed a")
    WebDriverWait(driver, PATIENCE, 0.02).until(
        lambda d: len(rows()) == 3 or d.execute_script("return !document.querySelector('.pill').hidden"))
    driver.refresh()
    page.some(".row a", "listed c")
    seen["rows"] = [row.split(":")[0] for row in rows()]

    # The keyboard stays where it is, the list too.
    focus = "return document.activeElement.textContent.includes(arguments[0])"
    driver.execute_script("document.querySelectorAll('.row a')[1].focus()")
    rename("b", "b, renamed")
    page.some(".row a", "b, renamed")
    seen["focus"] = driver.execute_script(focus, "b, renamed")
    top = "return document.querySelectorAll('.row')[1].getBoundingClientRect().top"
    was = driver.execute_script(top)
    made["d"] = make("dns", "listed d")
    seen["pill"] = page.text(".pill", "new")
    seen["told"] = driver.execute_script("return document.getElementById('live').textContent")
    page.shot("list-new")
    api("canarytoken/delete", canarytoken=made["c"]["canarytoken"])
    seen["gone"] = page.text(".row a", "Not in this list any more").split(":")[0]
    seen["moved"] = driver.execute_script(top) - was
    seen["focus_after"] = driver.execute_script(focus, "b, renamed")
    seen["total"] = page.text("section > .small", "3 tokens")
    seen["widths"].append(look(page, "list-others", ".rows"))

    # What is selected stays selected, and is redrawn when it is let go.
    driver.execute_script(
        "getSelection().selectAllChildren(document.querySelectorAll('.row .sentence')[1])")
    selected = "return getSelection().toString()"
    seen["selected"] = driver.execute_script(selected)
    rename("b", "b, again")
    rename("a", "a, too")
    page.some(".row a", "a, too")
    seen["still"] = driver.execute_script(selected) == seen["selected"] != ""
    driver.execute_script("getSelection().removeAllRanges()")
    page.some(".row a", "b, again")

    # A row that is pressed while it changes opens.
    row = page.some(".row a", "listed a")
    webdriver.ActionChains(driver).click_and_hold(row).perform()
    rename("a", "a, pressed")
    rename("b", "b, at last")
    page.some(".row a", "b, at last")
    seen["pressed"] = row.text.split("\n")[0]
    webdriver.ActionChains(driver).release().perform()
    seen["opened"] = page.text("h1", "listed a")
    rename("a", "a, opened")
    seen["renamed"] = page.text("h1", "listed a, opened")
    api("canarytoken/disable", canarytoken=made["a"]["canarytoken"])
    seen["disabled"] = page.text(".facts .state", "Switched off")
    driver.back()
    page.some(".row a", "listed d")

    # New ones come when they are asked for, and take the keyboard along.
    made["e"] = make("dns", "listed e")
    page.click(".pill", "new")
    page.none(".pill:not([hidden])")
    page.some(".row a", "listed e")
    seen["after"] = sorted(row.split(",")[0].split(":")[0] for row in rows())
    seen["focus_new"] = driver.execute_script(
        "return document.activeElement === document.querySelector('.row a')")

    # Signs of life reach browsers.
    seen["ping"] = driver.execute_async_script(
        "const stream = new EventSource('/live'), done = arguments[0];"
        "stream.addEventListener('ping', () => { stream.close(); done('heard'); })")
    seen["console"] = page.complaints()
    visit(page, made["e"])
    api("canarytoken/delete", canarytoken=made["e"]["canarytoken"])
    seen["deleted"] = page.text("[role=alert]", "deleted")


def run(driver):
    page = Page(driver)
    seen = {"widths": [], "complaints": 0}
    page.size(1440, 900)
    driver.get(TASK["url"] + "/tokens")
    page.sign_in()
    page.some("h1", "Tokens")
    for part in (redirects, lists, provider, settings, many, others):
        part(page, seen)
    return seen


drive(run, f"MAP *.localhost {TASK['host']}")
