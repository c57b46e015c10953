//! Skins: invented products with a login, as data, and how they answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coalmine_core::{Bird, Seed, Timestamp};

use super::HttpSettings;
use super::head::Head;
use super::login::Credentials;
use super::persona::Persona;
use super::reply::Reply;
use super::session::Exchange;
use super::site::{Face, File, Site};
use super::skins;
use super::status::Status;
use super::webroot::OwnFile;

/// Longest user name that a page repeats, in characters.
const MAX_REPEATED: usize = 64;

/// One product. Texts hold `{{word}}`, which each installation fills in its own way.
#[derive(Debug)]
pub(super) struct Skin {
    /// The word of the setting and of events.
    pub(super) name: &'static str,
    /// The server in front of it, unless the settings name another.
    pub(super) persona: Persona,
    /// Files: path, type, content.
    pub(super) files: &'static [(&'static str, &'static str, &'static [u8])],
    /// The login page.
    pub(super) front: &'static str,
    /// Paths of the login page; a form sent there is a login.
    pub(super) fronts: &'static [&'static str],
    /// Where the page's script sends the login as JSON.
    pub(super) api: Option<&'static str>,
    /// All of it is the Docker Engine API.
    pub(super) engine: bool,
    /// What the page says after a wrong login, its `{{error}}`. Its status stays 200: tools that
    /// try passwords take a 401 without challenge for another kind of login and stop.
    pub(super) message: &'static str,
    /// Path of the page for 404.
    pub(super) missing: Option<&'static str>,
    /// A path with Basic authentication, and the realm.
    pub(super) realm: Option<(&'static str, &'static str)>,
    /// Session cookie.
    pub(super) cookie: &'static str,
    /// Further fields of every answer.
    pub(super) fields: &'static [(&'static str, &'static str)],
    /// Version numbers to choose from.
    pub(super) versions: &'static [&'static str],
}

/// Who answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The server, from its files.
    Files,
    /// The server, asking for Basic authentication; whether that came.
    Guarded(bool),
    /// The application, whose page doesn't take the method.
    NotAllowed,
    /// The login page.
    Front,
    /// The login page, a form having come.
    Login,
    /// The API.
    Api,
    /// The login page after wrong credentials of this user.
    Wrong(String),
    /// The API after wrong credentials.
    WrongApi,
    /// A page of the operator's that a form was sent to: that page again.
    Again,
    /// The Docker Engine API.
    Engine,
}

impl Door {
    /// Whether the answer waits for the body.
    pub(super) const fn reads_body(&self) -> bool {
        !matches!(self, Self::Files | Self::Guarded(_) | Self::NotAllowed)
    }

    /// Whether the product thinks before it answers.
    pub(super) const fn takes_time(&self) -> bool {
        matches!(
            self,
            Self::Wrong(_) | Self::WrongApi | Self::Guarded(true) | Self::Again
        )
    }
}

/// The site of `bird` under `settings`, with the operator's own files in place of the skin's where
/// there are any.
pub(super) fn site(settings: &HttpSettings, bird: &Bird, own: Option<Vec<OwnFile>>) -> Site {
    let skin = skins::of(settings.skin);
    let seed = bird.seed.derive(&format!("http {}", skin.name));
    let words = words(skin, &seed, bird);
    let age = Duration::from_secs(seed.number("age", 40 * 86_400, 400 * 86_400));
    let age = i64::try_from(age.as_secs()).unwrap_or(0);
    let built = Timestamp::from_secs(bird.booted.secs().saturating_sub(age));
    let banner = settings.banner.trim();
    let persona = match Persona::of(banner) {
        // The engine speaks for itself, whatever it's called.
        Some(named) if !skin.engine || own.is_some() => named,
        _ => skin.persona,
    };
    let mut fields: Vec<(String, String)> = Vec::new();
    if own.is_none() {
        let given = skin.fields.iter();
        fields.extend(given.map(|(name, value)| ((*name).to_owned(), fill(value, &words))));
    }
    let server = match banner {
        "" => persona.server().to_owned(),
        banner => banner.to_owned(),
    };
    if settings.headers_enabled {
        let items = settings.headers_items.iter();
        fields.extend(
            items
                .filter_map(|item| item.split_once(':'))
                .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())),
        );
    }
    let mut site = Site {
        skin_name: if own.is_some() {
            "userwebroot"
        } else {
            skin.name
        },
        skin: own.is_none().then_some(skin),
        persona,
        face: Face {
            server,
            name: host_name(&bird.name),
        },
        fields,
        tells_loads: settings.page_load_alerts,
        login_delay: u64::from(settings.login_delay_ms),
        realms: Vec::new(),
        windows: None,
        missing: None,
        takes_forms: own.is_some(),
        files: BTreeMap::new(),
        directories: BTreeSet::new(),
        scans: Default::default(),
        words,
    };
    match own {
        Some(files) => {
            for file in files {
                let content = File {
                    content_type: file.content_type.to_owned(),
                    body: file.body,
                    modified: file.modified.unwrap_or(built),
                };
                site.add(&file.path, content);
            }
            site.missing = ["/404.html", "/404.htm"]
                .into_iter()
                .find(|path| site.files.contains_key(*path))
                .map(str::to_owned);
        }
        None => furnish(&mut site, skin, built),
    }
    site
}

/// Puts the skin's files in place.
fn furnish(site: &mut Site, skin: &Skin, built: Timestamp) {
    let realm = skin.realm.iter();
    site.realms = realm
        .map(|(path, realm)| ((*path).to_owned(), fill(realm, &site.words)))
        .collect();
    site.missing = skin.missing.map(str::to_owned);
    for (index, (path, content_type, body)) in skin.files.iter().enumerate() {
        let path = fill(path, &site.words);
        let body = match std::str::from_utf8(body) {
            Ok(text) => fill(text, &site.words).into_bytes(),
            Err(_) => body.to_vec(),
        };
        // Files of one build are written one after the other.
        let later = Duration::from_secs(u64::try_from(index / 3).unwrap_or(0));
        let file = File {
            content_type: (*content_type).to_owned(),
            body,
            modified: built.plus(later),
        };
        site.add(&path, file);
    }
}

/// A bird's name as a host name.
fn host_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || c == '.' => c.to_ascii_lowercase(),
            _ => '-',
        })
        .collect();
    match plain.trim_matches(['-', '.']) {
        "" => "localhost".to_owned(),
        host => host.to_owned(),
    }
}

/// What an installation fills in.
fn words(skin: &Skin, seed: &Seed, bird: &Bird) -> Vec<(&'static str, String)> {
    let hex = |label: &str| hex(&seed.take::<4>(label));
    let last = u64::try_from(skin.versions.len()).unwrap_or(1);
    let version = usize::try_from(seed.number("version", 0, last)).unwrap_or(0);
    let mut words = engine_words(seed, bird);
    words.extend([
        ("name", escape(&bird.name)),
        (
            "version",
            skin.versions
                .get(version)
                .copied()
                .unwrap_or_default()
                .to_owned(),
        ),
        ("build", seed.number("build", 41_200, 48_900).to_string()),
        ("hash", hex("css")),
        ("jshash", hex("js")),
        (
            "serial",
            format!("{:07}", seed.number("serial", 1_000_000, 9_999_999)),
        ),
    ]);
    words
}

/// What a Docker engine tells of itself.
fn engine_words(seed: &Seed, bird: &Bird) -> Vec<(&'static str, String)> {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let id: Vec<String> = seed
        .take::<48>("engine")
        .chunks(4)
        .map(|group| {
            let letter = |byte: &u8| letters.get(usize::from(byte % 32)).copied();
            group.iter().filter_map(letter).map(char::from).collect()
        })
        .collect();
    let pick = |label: &str, from: &[u64]| {
        let last = u64::try_from(from.len()).unwrap_or(1);
        let at = usize::try_from(seed.number(label, 0, last)).unwrap_or(0);
        from.get(at).copied().unwrap_or(4)
    };
    let gib = pick("memory", &[4, 8, 16, 32]).saturating_mul(1024 * 1024 * 1024);
    // What firmware and kernel keep for themselves.
    let kept = seed.number("kept", 180_000_000, 420_000_000) / 4096 * 4096;
    let nanos = seed.number("nanos", 100_000_000, 999_999_999);
    let later = Duration::from_secs(seed.number("dockerd", 9, 40));
    let created = bird.booted.plus(later).format("%Y-%m-%dT%H:%M:%S");
    let kernel = pick("kernel", &[21, 22, 23, 25, 26]);
    vec![
        ("engine", id.join(":")),
        ("host", host_name(&bird.name)),
        ("cpus", pick("cpus", &[2, 4, 4, 8]).to_string()),
        ("memory", gib.saturating_sub(kept).to_string()),
        ("kernel", format!("6.1.0-{kernel}-amd64")),
        ("bridge", hex(&seed.take::<32>("bridge"))),
        ("host_network", hex(&seed.take::<32>("host network"))),
        ("none", hex(&seed.take::<32>("none"))),
        ("created", format!("{created}.{nanos}Z")),
    ]
}

/// Who answers `head`.
pub(super) fn door(site: &Site, head: &Head) -> Door {
    let path = std::str::from_utf8(&head.path).unwrap_or_default();
    if site.realm(path).is_some() || site.windows.is_some() {
        return Door::Guarded(false);
    }
    let Some(skin) = site.skin else {
        return Door::Files;
    };
    if skin.engine {
        return Door::Engine;
    }
    let reads = head.is("GET") || head.is("HEAD");
    if !reads && !head.is("POST") && site.persona != Persona::Nginx {
        // These servers answer other methods themselves, whatever lies behind them.
        return Door::Files;
    }
    if skin.api == Some(path) {
        return if head.is("POST") {
            Door::Api
        } else {
            Door::NotAllowed
        };
    }
    if !skin.fronts.contains(&path) {
        return Door::Files;
    }
    match reads {
        true => Door::Front,
        false if head.is("POST") => Door::Login,
        false => Door::NotAllowed,
    }
}

/// The same door with credentials shown.
pub(super) fn knock(
    site: &Site,
    exchange: &Exchange,
    form: Option<&Credentials>,
    basic: Option<&Credentials>,
) -> Door {
    let path = || std::str::from_utf8(&exchange.head.path).unwrap_or_default();
    match exchange.door.clone() {
        Door::Files
            if site.takes_forms
                && form.is_some()
                && exchange.head.is("POST")
                && site.find(path()).is_some() =>
        {
            Door::Again
        }
        Door::Front | Door::Login => match form {
            Some(form) => Door::Wrong(form.username.clone()),
            None => Door::Front,
        },
        Door::Api if form.is_some() => Door::WrongApi,
        Door::Guarded(_) => Door::Guarded(basic.is_some()),
        door => door,
    }
}

/// What the application, or the server before it, says.
pub(super) fn reply(site: &Site, door: &Door, head: &Head, session: &Seed, nth: u32) -> Reply {
    let path = std::str::from_utf8(&head.path).unwrap_or_default();
    let plain = |status| site.page(status, Some(head));
    if *door == Door::Again
        && let Some(file) = site.find(path)
    {
        return Reply::dynamic(200, "OK", &file.content_type, file.body.clone());
    }
    let Some(skin) = site.skin.filter(|_| !matches!(door, Door::Guarded(_))) else {
        let mut reply = plain(Status::Unauthorized);
        let mut offer = |scheme: String| reply.fields.push(("WWW-Authenticate", scheme));
        if site.windows.is_some() {
            offer("Negotiate".to_owned());
            offer("NTLM".to_owned());
        }
        if let Some(realm) = site.realm(path) {
            offer(format!("Basic realm=\"{realm}\""));
        }
        return reply;
    };
    let (error, user) = match door {
        Door::WrongApi => return api((401, "Unauthorized"), skin.message, session, nth),
        Door::Api => {
            return api((400, "Bad Request"), "Malformed request.", session, nth);
        }
        Door::NotAllowed => return plain(Status::NotAllowed),
        Door::Wrong(user) => (skin.message, user.as_str()),
        _ => ("", ""),
    };
    let user: String = user.chars().take(MAX_REPEATED).collect();
    let token = session.derive(&format!("token {nth}"));
    let mut page = fill(skin.front, &site.words);
    page = fill(
        &page,
        &[
            ("error", error.to_owned()),
            ("csrf", hex(&token.take::<16>("csrf"))),
            ("user", escape(&user)),
        ],
    );
    let mut reply = Reply::dynamic(200, "OK", "text/html; charset=utf-8", page.into_bytes());
    let known = head
        .text("cookie")
        .is_some_and(|c| c.contains(&format!("{}=", skin.cookie)));
    if !known {
        let value = hex(&token.take::<16>("session"));
        reply.fields.push((
            "Set-Cookie",
            format!("{}={value}; Path=/; HttpOnly; SameSite=Lax", skin.cookie),
        ));
    }
    reply
        .fields
        .push(("Cache-Control", "no-store, must-revalidate".to_owned()));
    reply
}

fn api((code, phrase): (u16, &'static str), message: &str, session: &Seed, nth: u32) -> Reply {
    // Requests are counted without leading zeros, so answers differ in length.
    let request = session.number(&format!("request {nth}"), 90, 120_000);
    let body = format!(
        "{{\"ok\":false,\"error\":{{\"code\":{},\"message\":\"{message}\"}},\"request\":\"{request:x}\"}}",
        if code == 400 { 1001 } else { 1103 }
    );
    let mut reply = Reply::dynamic(code, phrase, "application/json", body.into_bytes());
    reply.fields.push(("Cache-Control", "no-store".to_owned()));
    reply
}

/// `text` with each `{{word}}` filled in; words that aren't known stay.
pub(super) fn fill(text: &str, words: &[(&'static str, String)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let known = after
            .split_once("}}")
            .and_then(|(word, rest)| words.iter().find(|(w, _)| *w == word).map(|w| (w, rest)));
        match known {
            Some(((_, value), after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push_str("{{");
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// `text` where HTML is expected.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            // A second round of filling must find no words of the peer's.
            '{' => escaped.push_str("&#123;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
