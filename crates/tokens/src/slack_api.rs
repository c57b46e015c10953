//! Slack API Key: a bot's token, and the address of an API that is ours.

use coalmine_core::event::Field;
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Alias, Answer, Artefact, ArtefactFile, Group, Hit, HttpHit, Mint, Reach, Token, TokenChannel,
    TokenKind, Trip,
};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::aws::sigv4::decoded;
use crate::files::Dice;

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "slack-api",
    title: "Slack API Key",
    description: "Slack API Key",
    doc: "A token of a bot of Slack, with the address of the API beside it.\n\
          Leave both in a bot's configuration, in a repository or among the secrets of a build \
          server.\n\
          Whoever calls a method there hears that the token is not valid; the incident tells \
          which method was tried.",
    group: Group::Cloud,
    trial: "Call a method: `curl -H 'Authorization: Bearer {slack_api_key}' -d '' '{api_url}auth.test'`.",
    logtype: 17020,
    channels: &[TokenChannel::Http],
    reach: Reach::Local(
        "It alerts where the address beside the token is used too, which a thief has to do on \
         purpose: most programs know Slack's own address. A token that is tried at slack.com stays \
         silent, and Slack answers that it is not valid.",
    ),
    asks: &[],
    event: &[
        Field::text(KEY, false, "The token's own key.", || {
            json!("xoxb-204518834170-2209381145706-5wYcUo2dK8rTqLf0ZbXnGvHe")
        }),
        Field::text(
            "eventName",
            false,
            "The method that was called; method and path of HTTP where it's none.",
            || json!("auth.test"),
        ),
        Field::text(
            VALID,
            true,
            "`True` if the token's key was sent, `False` if another; missing without any.",
            || json!("True"),
        ),
    ],
    mint,
    trip,
};

const KEY: &str = "slack_api_key";
const VALID: &str = "key_valid";
/// Longest name of a method.
const MAX_NAME: usize = 128;
/// Families of Slack's methods: what begins so is known.
const FAMILIES: &[&str] = &[
    "admin",
    "api",
    "apps",
    "auth",
    "bookmarks",
    "bots",
    "calls",
    "canvases",
    "chat",
    "conversations",
    "dialog",
    "dnd",
    "emoji",
    "files",
    "functions",
    "migration",
    "oauth",
    "openid",
    "pins",
    "reactions",
    "reminders",
    "search",
    "stars",
    "team",
    "tooling",
    "usergroups",
    "users",
    "views",
    "workflows",
];

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut dice = Dice::new(&mint.seed, "slack");
    let digits = |dice: &mut Dice| dice.number(100_000, 999_999);
    // Numbers of the workspace and of the bot.
    let team = format!(
        "{}{}",
        dice.number(2_000, 8_999),
        dice.number(10_000_000, 99_999_999)
    );
    let bot = format!(
        "{}{}{}",
        dice.number(2, 9),
        digits(&mut dice),
        digits(&mut dice)
    );
    let secret: String = (0..24).map(|_| char::from(dice.pick(LETTERS))).collect();
    let key = format!("xoxb-{team}-{bot}-{secret}");
    let page = mint.url("json");
    let root: Vec<&str> = page.splitn(4, '/').take(3).collect();
    let api = format!("{}/{}/api/", root.join("/"), mint.id);
    let text = format!("SLACK_BOT_TOKEN={key}\nSLACK_API_URL={api}\n");
    let fields = [
        (KEY, key.as_str()),
        ("api_url", &api),
        ("integration", "local"),
    ];
    Ok(Artefact {
        fields: fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect(),
        file: Some(ArtefactFile {
            name: "slack.env".to_owned(),
            mime: "text/plain",
            bytes: text.clone().into_bytes(),
        }),
        renders: [
            ("slack-api".to_owned(), key.clone()),
            ("env".to_owned(), text),
        ]
        .into(),
        aliases: vec![Alias {
            channel: TokenChannel::Http,
            key,
        }],
    })
}

fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Http(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let own = token.fields.get(KEY).and_then(Value::as_str);
    let own = own.unwrap_or_default();
    let method = method(hit);
    let sent = key(hit);
    let name = match &method {
        Some(method) => method.clone(),
        None => cut(&format!("{} /{}", hit.method, hit.rest), 8 * MAX_NAME),
    };
    let mut fields = serde_json::Map::from_iter([
        (KEY.to_owned(), own.into()),
        ("eventName".to_owned(), name.into()),
    ]);
    if let Some(sent) = &sent {
        let valid = if sent == own { "True" } else { "False" };
        fields.insert(VALID.to_owned(), valid.into());
    }
    let answer = match method {
        Some(method) => answered(&method, sent.is_some(), hit, own),
        None => Answer::Plain,
    };
    Trip::alert(fields, answer)
}

/// `auth.test` of `/api/auth.test`.
fn method(hit: &HttpHit<'_>) -> Option<String> {
    let name = hit.rest.trim_matches('/').strip_prefix("api/")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let sane = !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(is_plain);
    sane.then(|| name.to_owned())
}

/// The key as Slack takes it: as bearer, or as a parameter of query or form.
fn key(hit: &HttpHit<'_>) -> Option<String> {
    let header = hit.header("authorization").unwrap_or_default();
    let bearer = header
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim().to_owned());
    let given = bearer.or_else(|| hit.argument("token").map(str::to_owned));
    let given = given.or_else(|| {
        let mime = hit.header("content-type").unwrap_or_default();
        if !mime.starts_with("application/x-www-form-urlencoded") {
            return None;
        }
        let body = String::from_utf8_lossy(hit.body);
        let value = body
            .split('&')
            .find_map(|pair| pair.strip_prefix("token="))?;
        Some(String::from_utf8_lossy(&decoded(value)).into_owned())
    });
    given.filter(|key| !key.is_empty())
}

/// What Slack says to a key that isn't valid: status 200 and an error in JSON.
fn answered(method: &str, has_key: bool, hit: &HttpHit<'_>, own: &str) -> Answer {
    let family = method.split('.').next().unwrap_or_default();
    let known = method.contains('.') && FAMILIES.contains(&family);
    let body = match (known, method) {
        (false, _) => json!({"ok": false, "error": "unknown_method", "req_method": method}),
        (true, "api.test") => json!({"ok": true, "args": {}}),
        (true, _) if has_key => json!({"ok": false, "error": "invalid_auth"}),
        (true, _) => json!({"ok": false, "error": "not_authed"}),
    };
    let request = Sha256::digest(format!("{own}{:?}{:?}{:?}", hit.at, hit.url, hit.headers));
    let request = HEXLOWER.encode(request.get(..16).unwrap_or_default());
    let headers = [
        ("Server", "Apache"),
        ("Vary", "Accept-Encoding"),
        ("X-Slack-Req-Id", &*request),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Xss-Protection", "0"),
        ("Pragma", "no-cache"),
        (
            "Cache-Control",
            "private, no-cache, no-store, must-revalidate",
        ),
        ("Expires", "Sat, 26 Jul 1997 05:00:00 GMT"),
        ("Content-Type", "application/json; charset=utf-8"),
        (
            "Access-Control-Expose-Headers",
            "x-slack-req-id, retry-after",
        ),
        ("Access-Control-Allow-Origin", "*"),
        (
            "Strict-Transport-Security",
            "max-age=31536000; includeSubDomains; preload",
        ),
        ("Referrer-Policy", "no-referrer"),
    ];
    Answer::Full {
        status: 200,
        headers: headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: body.to_string().into_bytes(),
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, request, token};

    fn call(rest: &str, headers: &[(&str, &str)], body: &[u8]) -> (Trip, Value) {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers: Vec<_> = headers.iter().map(own).collect();
        let hit = HttpHit {
            method: "POST",
            rest,
            headers: &headers,
            body,
            ..request()
        };
        let trip = (KIND.trip)(&token(&KIND), &Hit::Http(hit));
        let told = match &trip.answer {
            Answer::Full {
                status: 200, body, ..
            } => serde_json::from_slice(body).unwrap(),
            _ => Value::Null,
        };
        (trip, told)
    }

    #[test]
    fn the_key_has_slacks_form_and_stands_beside_the_address() {
        let made = minted(&KIND, &[]).unwrap();
        let key = made.fields[KEY].as_str().unwrap();
        let parts: Vec<&str> = key.split('-').collect();
        assert_eq!(parts[0], "xoxb");
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [4, 12, 13, 24], "{key}");
        assert!(
            parts[1]
                .bytes()
                .chain(parts[2].bytes())
                .all(|b| b.is_ascii_digit())
        );
        assert_eq!(made.renders["slack-api"], key);
        assert_eq!(made.aliases[0].key, key);
        let url = made.fields["api_url"].as_str().unwrap();
        assert!(url.starts_with("https://tokens.example.com/") && url.ends_with("/api/"));
        let text = format!("SLACK_BOT_TOKEN={key}\nSLACK_API_URL={url}\n");
        assert_eq!(made.file.unwrap().bytes, text.into_bytes());
    }

    #[test]
    fn each_method_is_refused_as_slack_does() {
        let token = token(&KIND);
        let key = token.fields[KEY].as_str().unwrap();
        let bearer = format!("Bearer {key}");
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let body = format!("channel=C1&token={key}");
        for (rest, headers, body, name, valid, told) in [
            (
                "api/auth.test",
                &[("Authorization", &*bearer)][..],
                "",
                "auth.test",
                Some("True"),
                json!({"ok": false, "error": "invalid_auth"}),
            ),
            (
                "api/chat.postMessage",
                &form,
                &*body,
                "chat.postMessage",
                Some("True"),
                json!({"ok": false, "error": "invalid_auth"}),
            ),
            (
                "api/users.list",
                &[("authorization", "bearer xoxb-1")],
                "",
                "users.list",
                Some("False"),
                json!({"ok": false, "error": "invalid_auth"}),
            ),
            (
                "api/conversations.list",
                &[],
                "token=ignored",
                "conversations.list",
                None,
                json!({"ok": false, "error": "not_authed"}),
            ),
            (
                "api/api.test",
                &[],
                "",
                "api.test",
                None,
                json!({"ok": true, "args": {}}),
            ),
            (
                "api/no.such",
                &[],
                "",
                "no.such",
                None,
                json!({"ok": false, "error": "unknown_method", "req_method": "no.such"}),
            ),
            ("about.html", &[], "", "POST /about.html", None, Value::Null),
            ("api/<b>", &[], "", "POST /api/<b>", None, Value::Null),
        ] {
            let (trip, got) = call(rest, headers, body.as_bytes());
            assert_eq!(got, told, "{rest}");
            assert!(trip.alert, "{rest}");
            assert_eq!(trip.fields["eventName"], name);
            assert_eq!(
                trip.fields.get(VALID).and_then(Value::as_str),
                valid,
                "{rest}"
            );
            assert_eq!(trip.fields[KEY], key);
        }
    }
}
