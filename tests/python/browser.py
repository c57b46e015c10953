"""Debian's Chromium as a test starts it; stands before the script that uses it."""

from selenium import webdriver


def browser(folder, size, rules=""):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        f"--window-size={size} "
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync "
        "--ignore-certificate-errors --disable-dev-shm-usage"
    ).split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={folder}")
    if rules:
        options.add_argument(f"--host-resolver-rules={rules}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path="/usr/bin/chromedriver")
    return webdriver.Chrome(options=options, service=service)


