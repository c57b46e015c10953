//! The page in a real browser, from sign-in to sign-out.

use serde_json::{Value, json};

use crate::nest::{Nest, QUICK, have};

/// What the page is driven by.
const SCRIPT: &str = concat!(
    include_str!("../python/browser.py"),
    include_str!("../python/view.py"),
    include_str!("../python/page.py")
);
/// What it is driven by through a long night.
const NIGHT: &str = concat!(
    include_str!("../python/browser.py"),
    include_str!("../python/view.py"),
    include_str!("../python/page_live.py")
);
/// What somebody typed as a user name, and as a password.
const USER: &str = "<script>window.hit=1</script>";
const PASSWORD: &str = "\"><img src=x onerror=window.hit=1>";

/// What `script` saw in a browser on the page of `nest`; `more` is told to it beside where the page is.
pub fn in_browser(nest: &Nest, script: &str, more: Value) -> Option<Value> {
    if !have("chromedriver") {
        return None;
    }
    let password = std::fs::read_to_string(nest.run["page_password_file"].as_str().unwrap());
    let mut task = more;
    task["url"] = nest.run["console_url"].clone();
    task["password"] = password.unwrap().trim().into();
    task["host"] = nest.address.to_string().into();
    nest.python_with(script, &[("PAGE_TASK", &task.to_string())])
}

#[test]
fn a_day_on_duty_in_the_browser() {
    let nest = Nest::start(QUICK);
    let task = json!({
        "source": "127.0.0.1",
        "ftp_port": nest.port("ftp"),
        "http_port": nest.run["tokens"]["http_port"],
    });
    let Some(seen) = in_browser(&nest, SCRIPT, task) else {
        return;
    };
    println!("an incident appears after {} s", seen["live_seconds"]);
    let text = |name: &str| {
        let text = seen[name].as_str();
        text.unwrap_or_else(|| panic!("no {name} in {seen:#}"))
            .to_owned()
    };
    assert!(text("signed_out_title").starts_with("Sign in"));
    assert!(text("empty").contains("Silence is good."), "{seen:#}");
    assert!(seen["live_seconds"].as_f64().unwrap() < 2.0, "{seen:#}");
    assert_eq!(seen["kept"], true, "it came without a reload");
    assert!(text("row").starts_with("127.0.0.1 tried an FTP login on files-02"));

    assert!(text("tried_hidden").contains(USER), "{seen:#}");
    assert!(!text("tried_hidden").contains(PASSWORD), "{seen:#}");
    assert!(text("tried_shown").contains(PASSWORD), "{seen:#}");
    assert_eq!(seen["hit"], false, "what was typed stays text");

    assert!(text("would_hide").contains("1 incident of"), "{seen:#}");
    assert!(text("rule").contains(&nest.port("ftp").to_string()));
    assert!(
        text("row_after_ignored").contains("tried an FTP login on"),
        "what is ignored joins nothing: {seen:#}"
    );
    assert_eq!(seen["rows_after_delete"], 0);
    assert!(text("token_row").contains("in the wiki <b>page</b>"));
    assert_eq!(seen["window_scrolls"], false, "there is one scroll bar");
    for name in ["phone_width", "phone_width_incident"] {
        assert!(
            seen[name].as_u64().is_some_and(|width| width <= 360),
            "nothing is cut off on a phone: {seen:#}"
        );
    }
    assert_eq!(seen["signed_out"], "/login");
    assert_eq!(seen["console"], json!([]), "the browser has no complaint");
    assert_eq!(nest.count("FTP Login Attempt"), 1, "one is deleted");
}

#[test]
fn a_long_night_in_the_browser() {
    let nest = Nest::start(QUICK);
    let task = json!({"ftp_port": nest.port("ftp")});
    let Some(seen) = in_browser(&nest, NIGHT, task) else {
        return;
    };
    let told = seen["told_in_list"].as_array().unwrap();
    assert_eq!(told.len(), 1, "of the first at a quiet Console: {seen:#}");
    assert!(
        told[0]
            .as_str()
            .is_some_and(|told| told.starts_with("127.20.0.1 tried an FTP login on files-02"))
    );
    assert_eq!(seen["told_elsewhere"], json!(["A new incident"]));
    assert_eq!(seen["tabs"], 8, "more than a browser opens connections");

    assert_eq!(seen["untouched"], true, "{seen:#}");
    assert_eq!(seen["moved"], 0, "what is read stays where it is");
    assert_eq!(seen["focus_in_detail"], "Hide passwords");
    assert_eq!(seen["focus_back"], true, "{seen:#}");
    assert_eq!(seen["focus_in_side"], true, "{seen:#}");
    assert_eq!(seen["focus_in_search"], "search");

    let zones = seen["zones"].as_array().unwrap();
    let ends = |i: usize, zone: &str| zones[i].as_str().unwrap().ends_with(zone);
    assert!(ends(0, " GMT+5:30") && ends(1, " UTC"), "{seen:#}");
    assert_eq!(seen["going"], 0, "nothing for two minutes: {seen:#}");

    assert_eq!(seen["asked_after_failure"], 2, "not for ever");
    assert_eq!(seen["asked_while_hidden"], 1, "not the whole store");
    assert_eq!(seen["kept"], true, "a wrong address is not tried again");
    assert_eq!(seen["sign_in"], "/login?next=%2Faudit");
    assert_eq!(seen["console"], json!([]), "the browser has no complaint");
}
