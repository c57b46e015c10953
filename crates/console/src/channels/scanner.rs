//! Asking browsers about themselves. Who opens a token's URL in a browser gets an empty page whose
//! script tells what the browser is; unknown tokens answer with such a page too.
//!
//! *Invariant:* findings join only the visit they belong to. The page carries a ticket, an
//! authenticated note of its URL, visitor and time (HMAC-SHA-256 under a key that lives as long as
//! the process); findings with a ticket that isn't right are an ordinary touch.

use std::net::IpAddr;

use coalmine_core::token::Answer;
use coalmine_core::{Seed, text};
use serde_json::{Map, Value};

use super::touch::{Touch, What};

/// How long a page may take to answer, in milliseconds.
const MAX_AGE: i64 = 10 * 60 * 1000;
/// Findings kept of one page.
const MAX_FINDINGS: usize = 40;
/// Longest name of a finding, in bytes.
const MAX_NAME: usize = 32;
/// Longest finding, in characters.
const MAX_VALUE: usize = 512;
/// How long a slow redirect waits for the script at most, in milliseconds.
const MAX_WAIT: u32 = 1500;

/// What the script asks for: the finding's name and the expression that gives it.
const PROBES: &[(&str, &str)] = &[
    ("location", "location.href"),
    ("referrer", "document.referrer"),
    ("user_agent", "navigator.userAgent"),
    ("platform", "navigator.platform"),
    ("vendor", "navigator.vendor"),
    ("languages", "[].slice.call(navigator.languages)"),
    (
        "time_zone",
        "Intl.DateTimeFormat().resolvedOptions().timeZone",
    ),
    ("utc_offset", "-new Date().getTimezoneOffset()"),
    (
        "screen",
        "screen.width + 'x' + screen.height + 'x' + screen.colorDepth",
    ),
    ("window", "innerWidth + 'x' + innerHeight"),
    ("pixel_ratio", "devicePixelRatio"),
    ("cores", "navigator.hardwareConcurrency"),
    ("memory", "navigator.deviceMemory"),
    ("touch_points", "navigator.maxTouchPoints"),
    ("webdriver", "navigator.webdriver === true"),
    ("cookies", "navigator.cookieEnabled"),
    ("do_not_track", "navigator.doNotTrack"),
    ("connection", "navigator.connection.effectiveType"),
    ("dark", "matchMedia('(prefers-color-scheme: dark)').matches"),
    (
        "graphics",
        "(function (g) { return g.getParameter(g.getExtension('WEBGL_debug_renderer_info')\
         .UNMASKED_RENDERER_WEBGL); })(document.createElement('canvas').getContext('webgl'))",
    ),
    ("plugins", "navigator.plugins.length"),
];

/// Makes the pages and reads what they say.
pub(super) struct Scanner {
    seed: Seed,
}

/// A request that a page may answer.
pub(super) struct Visit {
    url: String,
    client: IpAddr,
    at: i64,
    /// Whether a browser is about to show the answer.
    shown: bool,
}

/// What a page said about its browser.
#[derive(Debug, PartialEq)]
pub(super) struct Findings {
    /// Whether the visit was an event.
    pub alerted: bool,
    /// When the visit was, in milliseconds since 1970.
    visit: i64,
    browser: Map<String, Value>,
}

impl Findings {
    /// Puts them among the channel's additional information.
    pub fn tell(self, info: &mut Map<String, Value>) {
        info.insert("browser".to_owned(), Value::Object(self.browser));
        info.insert("visited".to_owned(), (self.visit / 1000).into());
    }
}

impl Visit {
    /// What matters of a web request; nothing of others.
    pub fn of(touch: &Touch) -> Option<Self> {
        let What::Http {
            method,
            url,
            headers,
            ..
        } = &touch.what
        else {
            return None;
        };
        let accept = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("accept"));
        let html = accept.is_some_and(|(_, types)| types.contains("text/html"));
        Some(Self {
            url: url.clone(),
            client: touch.src.ip,
            at: touch.at.millis(),
            shown: html && matches!(method.as_str(), "GET" | "HEAD"),
        })
    }
}

impl Scanner {
    /// With a key of its own.
    pub fn new() -> Self {
        let mut key = [0; 32];
        #[expect(
            clippy::expect_used,
            reason = "a system without randomness cannot go on"
        )]
        getrandom::fill(&mut key).expect("the system has randomness");
        Self {
            seed: Seed::new(key),
        }
    }

    /// The page, where `answer` is one.
    pub fn page(&self, visit: &Visit, answer: Answer, alerted: bool) -> Answer {
        let to = match answer {
            Answer::Plain if visit.shown => None,
            Answer::SlowRedirect(to) => Some(to),
            other => return other,
        };
        let ticket = self.ticket(&visit.url, visit.client, visit.at, alerted);
        // Nothing of the page's text is the same in all: names, order and spelling are drawn.
        let page = page(&self.seed.derive(&visit.url), &ticket, to.as_deref());
        Answer::Body {
            mime: "text/html".to_owned(),
            bytes: page.into_bytes(),
        }
    }

    /// What a page of ours says, if `touch` is that.
    pub fn findings(&self, touch: &Touch) -> Option<Findings> {
        let What::Http {
            method, url, body, ..
        } = &touch.what
        else {
            return None;
        };
        if method != "POST" {
            return None;
        }
        let Ok(Value::Object(said)) = serde_json::from_slice::<Value>(body) else {
            return None;
        };
        let ticket = said.values().find_map(Value::as_str)?;
        let visit = i64::from_str_radix(ticket.split_once('-')?.0, 16).ok()?;
        let age = touch.at.millis().checked_sub(visit)?;
        if !(0..=MAX_AGE).contains(&age) {
            return None;
        }
        let alerted = [true, false].into_iter().find(|alerted| {
            let right = self.ticket(url, touch.src.ip, visit, *alerted);
            constant_time_eq(right.as_bytes(), ticket.as_bytes())
        })?;
        let told = said.values().find_map(Value::as_object)?;
        let browser = told
            .iter()
            .filter_map(|(name, value)| Some((finding_name(name)?, finding(value)?)))
            .take(MAX_FINDINGS)
            .collect();
        Some(Findings {
            alerted,
            visit,
            browser,
        })
    }

    fn ticket(&self, url: &str, client: IpAddr, at: i64, alerted: bool) -> String {
        let client = client.to_canonical();
        let note = format!("ticket {alerted} {at} {client} {url}");
        let mac = self.seed.derive(&note);
        let mac = mac.bytes().get(..16).unwrap_or_default();
        format!("{at:x}-{}", data_encoding::HEXLOWER.encode(mac))
    }
}

fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

fn finding_name(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (!name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(plain)).then(|| name.to_owned())
}

/// Texts, numbers, truths, and lists of texts as one text.
fn finding(value: &Value) -> Option<Value> {
    let short = |text: &str| {
        let text: String = text.chars().take(MAX_VALUE).collect();
        Value::String(text::cut(&text))
    };
    match value {
        Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        Value::String(text) if !text.is_empty() => Some(short(text)),
        Value::Array(items) => {
            let texts: Vec<&str> = items
                .iter()
                .take(MAX_FINDINGS)
                .filter_map(Value::as_str)
                .collect();
            (!texts.is_empty()).then(|| short(&texts.join(", ")))
        }
        _ => None,
    }
}

/// The page: asks, tells, and leads to `to` if there is one.
fn page(seed: &Seed, ticket: &str, to: Option<&str>) -> String {
    let mut draws: u32 = 0;
    let mut below = |end: usize| {
        draws = draws.saturating_add(1);
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(seed.number(&draws.to_string(), 0, end)).unwrap_or(0)
    };
    let mut letters: Vec<char> = ('a'..='z').collect();
    shuffle(&mut letters, &mut below);
    // Two letters each, since single ones are the functions' own; some words are JavaScript's.
    let mut names = letters
        .chunks(2)
        .map(|pair| pair.iter().collect::<String>())
        .filter(|name| !matches!(name.as_str(), "do" | "if" | "in"));
    let mut name = || names.next().unwrap_or_else(|| "_".to_owned());
    let (found, put, done, tell, key, data) = (name(), name(), name(), name(), name(), name());
    let mut probes: Vec<String> = PROBES
        .iter()
        .map(|(name, expression)| {
            format!("{put}('{name}', function () {{ return {expression}; }});\n")
        })
        .collect();
    shuffle(&mut probes, &mut below);
    let probes = probes.concat();
    let (leave, refresh) = match to {
        Some(to) => (
            format!("location.replace({})", script_text(to)),
            format!(
                "<noscript><meta http-equiv=\"refresh\" content=\"0;url={}\"></noscript>",
                attribute(to)
            ),
        ),
        None => (String::new(), String::new()),
    };
    let wait = match to {
        Some(_) => format!("setTimeout({done}, {MAX_WAIT});\n"),
        None => String::new(),
    };
    format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         {refresh}<title></title></head><body><script>\n(function () {{\nvar {found} = {{}};\n\
         function {put}(n, f) {{ try {{ var v = f(); if (v !== undefined && v !== null) {found}[n] = v; }} catch (e) {{}} }}\n\
         function {done}() {{ {done} = function () {{}}; {leave} }}\n\
         function {tell}() {{\nvar x = new XMLHttpRequest(); x.open('POST', location.href.split('#')[0]);\n\
         x.onloadend = function () {{ {done}(); }}; x.send(JSON.stringify({{ {key}: '{ticket}', {data}: {found} }}));\n}}\n\
         {wait}{probes}\
         try {{ navigator.userAgentData.getHighEntropyValues(['architecture', 'bitness', 'model', 'platformVersion', 'fullVersionList'])\
         .then(function (h) {{\n\
         {put}('brands', function () {{ return (h.fullVersionList || h.brands).map(function (b) {{ return b.brand + ' ' + b.version; }}); }});\n\
         {put}('system', function () {{ return h.platform + ' ' + h.platformVersion; }});\n\
         {put}('architecture', function () {{ return h.architecture + ' ' + h.bitness; }});\n\
         {put}('model', function () {{ return h.model || null; }});\n\
         {tell}();\n}}, {tell}); }} catch (e) {{ {tell}(); }}\n}})();\n</script></body></html>\n"
    )
}

fn shuffle<T>(items: &mut [T], below: &mut impl FnMut(usize) -> usize) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last.saturating_add(1)));
    }
}

/// `text` as a string of JavaScript that cannot end its script.
fn script_text(text: &str) -> String {
    Value::from(text)
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// `text` inside an attribute's double quotes.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coalmine_core::Timestamp;

    use super::super::tests::{AWAY, NONE, WEB, bench, id, local, peer};
    use super::super::touch::Candidate;
    use super::*;

    const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

    fn touch(token: &str, method: &str, accept: &str, body: &str, at: i64) -> Touch {
        Touch {
            at: Timestamp::from_micros(at * 1000),
            src: peer().into(),
            dst: local().into(),
            what: What::Http {
                channel: coalmine_core::token::TokenChannel::Http,
                tls: false,
                client_certificate: None,
                method: method.to_owned(),
                url: format!("http://t.example/{token}/a.html"),
                path: format!("/{token}/a.html"),
                headers: vec![("accept".to_owned(), accept.to_owned())],
                query: Vec::new(),
                body: body.as_bytes().to_vec(),
                body_size: 0,
            },
        }
    }

    fn candidates(token: &str) -> Vec<Candidate> {
        vec![Candidate::Id(id(token))]
    }

    fn text(answer: Answer) -> String {
        match answer {
            Answer::Body { mime, bytes } => {
                assert_eq!(mime, "text/html");
                String::from_utf8(bytes).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    /// The ticket that a page carries.
    fn ticket(page: &str) -> &str {
        let from = page.find("'18bcfe568").unwrap() + 1;
        page[from..].split('\'').next().unwrap()
    }

    const NOW: i64 = 1_700_000_000_000;

    #[tokio::test]
    async fn findings_are_a_second_event_of_the_visit_they_belong_to() {
        let bench = bench(Duration::ZERO);
        let page = bench
            .touches
            .touch(candidates(WEB), touch(WEB, "GET", BROWSER, "", NOW))
            .await;
        let page = text(page.unwrap());
        assert!(page.len() < 4096, "{} bytes", page.len());
        let said = format!(
            "{{\"q\":\"{}\",\"z\":{{\"screen\":\"1x2x24\",\"cores\":4,\"languages\":[\"en\",\"nl\"],\"<b>\":1,\"deep\":{{}},\"long\":\"{}\"}}}}",
            ticket(&page),
            "x".repeat(9000)
        );
        let answer = bench
            .touches
            .touch(candidates(WEB), touch(WEB, "POST", "*/*", &said, NOW + 900))
            .await;
        assert_eq!(answer, Some(Answer::Plain));
        let events = bench.events();
        assert_eq!(events.len(), 2);
        let info = &events[1]["additional_info"];
        assert_eq!(info["visited"], NOW / 1000);
        assert_eq!(info["browser"]["screen"], "1x2x24");
        assert_eq!(info["browser"]["cores"], 4);
        assert_eq!(info["browser"]["languages"], "en, nl");
        assert_eq!(info["browser"]["long"].as_str().unwrap().len(), MAX_VALUE);
        assert_eq!(info["browser"].as_object().unwrap().len(), 4);
        assert!(events[0]["additional_info"].get("browser").is_none());
    }

    #[test]
    fn a_ticket_is_good_for_its_url_visitor_and_time_alone() {
        let scanner = Scanner::new();
        let visit = Visit::of(&touch(WEB, "GET", BROWSER, "", NOW)).unwrap();
        let page = text(scanner.page(&visit, Answer::Plain, true));
        let body = format!("{{\"a\":\"{}\",\"b\":{{\"cores\":1}}}}", ticket(&page));
        let good = touch(WEB, "POST", "*/*", &body, NOW + 5);
        assert!(scanner.findings(&good).unwrap().alerted);
        let mut other = good.clone();
        other.src.ip = "192.0.2.8".parse().unwrap();
        let url = touch(AWAY, "POST", "*/*", &body, NOW + 5);
        let late = touch(WEB, "POST", "*/*", &body, NOW + MAX_AGE + 1);
        let early = touch(WEB, "POST", "*/*", &body, NOW - 1);
        let get = touch(WEB, "GET", "*/*", &body, NOW + 5);
        let forged = body.replace("18bcfe568", "18bcfe567");
        let forged = touch(WEB, "POST", "*/*", &forged, NOW + 5);
        for wrong in [other, url, late, early, get, forged] {
            assert_eq!(scanner.findings(&wrong), None, "{wrong:?}");
        }
        assert_eq!(Scanner::new().findings(&good), None, "another key");
        for body in [
            "",
            "[]",
            "{}",
            "{\"a\":\"1\"}",
            "{\"a\":\"zz-00\"}",
            "{\"a\":1}",
        ] {
            assert_eq!(
                scanner.findings(&touch(WEB, "POST", "*/*", body, NOW)),
                None,
                "{body}"
            );
        }
    }

    #[tokio::test]
    async fn unknown_tokens_answer_browsers_alike_and_findings_of_nobody_are_no_event() {
        let bench = bench(Duration::ZERO);
        let mut pages = Vec::new();
        for token in [WEB, NONE] {
            let page = bench
                .touches
                .touch(candidates(token), touch(token, "GET", BROWSER, "", NOW))
                .await;
            let page = text(page.unwrap());
            let body = format!("{{\"a\":\"{}\",\"b\":{{\"cores\":1}}}}", ticket(&page));
            let answer = bench
                .touches
                .touch(candidates(token), touch(token, "POST", "*/*", &body, NOW))
                .await;
            assert_eq!(answer, Some(Answer::Plain));
            pages.push(page.lines().count());
        }
        assert_eq!(pages[0], pages[1]);
        assert_eq!(bench.events().len(), 2, "both of the known one");
        let other = bench
            .touches
            .touch(candidates(WEB), touch(WEB, "GET", "*/*", "", NOW))
            .await;
        assert_eq!(other, Some(Answer::Plain), "only browsers are asked");
    }

    #[test]
    fn a_slow_redirect_cannot_leave_its_script() {
        let scanner = Scanner::new();
        let visit = Visit::of(&touch(WEB, "GET", "*/*", "", NOW)).unwrap();
        let to = "https://a.example/?x=</script>'\"&y";
        let page = text(scanner.page(&visit, Answer::SlowRedirect(to.to_owned()), true));
        assert_eq!(page.matches("</script>").count(), 1);
        assert!(
            page.contains(
                r#"location.replace("https://a.example/?x=\u003c/script\u003e'\"\u0026y")"#
            ),
            "{page}"
        );
        assert!(
            page.contains("0;url=https://a.example/?x=&lt;/script&gt;'&quot;&amp;y\"></noscript>")
        );
        let plain = scanner.page(&visit, Answer::Pixel, true);
        assert_eq!(plain, Answer::Pixel);
    }

    #[test]
    fn no_two_pages_are_alike() {
        let pages: std::collections::BTreeSet<String> = (0..50)
            .map(|n| page(&Seed::new([n; 32]), "1-2", None))
            .collect();
        assert_eq!(pages.len(), 50);
        for page in &pages {
            for reserved in ["var do ", "var if ", "function in("] {
                assert!(!page.contains(reserved), "{page}");
            }
            for word in ["oalmine", "canary", "token", "scan"] {
                assert!(!page.contains(word), "{word}");
            }
        }
    }
}
