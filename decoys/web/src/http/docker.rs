//! The Docker Engine API, version 1.41 (docs.docker.com/engine/api/v1.41), of a host that listens
//! without TLS, has no images and can't reach a registry. Every answer is JSON with a line feed, as
//! Go writes it.

use coalmine_core::Timestamp;
use coalmine_core::text::printable;
use serde_json::{Value, json};

use super::head::Head;
use super::reply::Reply;
use super::site::Site;
use super::{parse, skin};

/// The newest version of the API that is spoken.
const API: (u32, u32) = (1, 41);
/// The oldest.
const OLDEST: (u32, u32) = (1, 12);
/// Longest name that an error repeats, in bytes.
const MAX_REPEATED: usize = 256;

const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";

const VERSION: &str = include_str!("../../skins/dockerApi/version.json");
const INFO: &str = include_str!("../../skins/dockerApi/info.json");
const NETWORKS: &str = include_str!("../../skins/dockerApi/networks.json");
const DISK: &str = include_str!("../../skins/dockerApi/df.json");

/// An answer: code, phrase, body.
type Said = (u16, &'static str, String);

/// What the engine says to a request with this body.
pub(super) fn reply(site: &Site, head: &Head, body: &[u8], now: Timestamp) -> Reply {
    let path = parse::latin1(&head.path);
    let method = parse::latin1(&head.line.method);
    let (version, path) = versioned(&path);
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    if parts.as_slice() == ["_ping"] && matches!(method.as_str(), "GET" | "HEAD") {
        return ping(site, &method);
    }
    if method == "OPTIONS" {
        let mut reply = Reply::dynamic(200, "OK", "", Vec::new());
        reply.content_type = None;
        reply.fields = engine(site);
        return reply;
    }
    let Some(said) = route((site, now), &method, &parts, head, body) else {
        // The router knows no such page; no middleware has seen it, so nothing of the engine's is told.
        let mut reply = Reply::dynamic(404, "Not Found", "application/json", Vec::new());
        reply.body = message("page not found").into_bytes();
        return reply;
    };
    let (code, phrase, text) = match version {
        Some(version) if version > API => bad(&format!(
            "client version {}.{} is too new. Maximum supported API version is {}.{}",
            version.0, version.1, API.0, API.1
        )),
        Some(version) if version < OLDEST => bad(&format!(
            "client version {}.{} is too old. Minimum supported API version is {}.{}, please upgrade your client to a newer version",
            version.0, version.1, OLDEST.0, OLDEST.1
        )),
        _ => said,
    };
    let mut reply = Reply::dynamic(code, phrase, "application/json", text.into_bytes());
    reply.fields = engine(site);
    reply
}

/// Fields that every answer of the engine has.
fn engine(site: &Site) -> Vec<(&'static str, String)> {
    vec![
        ("Api-Version", format!("{}.{}", API.0, API.1)),
        ("Docker-Experimental", "false".to_owned()),
        ("Ostype", "linux".to_owned()),
        ("Server", site.face.server.clone()),
    ]
}

fn ping(site: &Site, method: &str) -> Reply {
    let body = if method == "HEAD" { "" } else { "OK" };
    let mut reply = Reply::dynamic(200, "OK", "text/plain; charset=utf-8", body.into());
    if method == "HEAD" {
        reply.content_type = None;
    }
    reply.fields = engine(site);
    reply.fields.extend([
        ("Builder-Version", "1".to_owned()),
        (
            "Cache-Control",
            "no-cache, no-store, must-revalidate".to_owned(),
        ),
        ("Pragma", "no-cache".to_owned()),
    ]);
    reply
}

/// The version that a path begins with, and the path without it.
fn versioned(path: &str) -> (Option<(u32, u32)>, &str) {
    let found = path.strip_prefix("/v").and_then(|rest| {
        let (version, _) = rest.split_once('/')?;
        let (major, minor) = version.split_once('.')?;
        let version = (major.parse().ok()?, minor.parse().ok()?);
        Some((version, rest.get(rest.find('/')?..)?))
    });
    match found {
        Some((version, rest)) => (Some(version), rest),
        None => (None, path),
    }
}

/// The answer of the page that `parts` name, if there is one for the method.
fn route(
    (site, now): (&Site, Timestamp),
    method: &str,
    parts: &[&str],
    head: &Head,
    body: &[u8],
) -> Option<Said> {
    let reads = matches!(method, "GET" | "HEAD");
    if reads {
        let whole = match parts {
            ["version"] => VERSION,
            ["info"] => INFO,
            ["containers", "json"] | ["images", "json"] | ["plugins"] => "[]\n",
            ["networks"] => NETWORKS,
            ["volumes"] => "{\"Volumes\":[],\"Warnings\":null}\n",
            ["system", "df"] => DISK,
            _ => return named(method, parts),
        };
        let mut words = site.words.clone();
        words.push(("systemtime", now.format("%Y-%m-%dT%H:%M:%S.%6fZ")));
        return Some((200, "OK", skin::fill(whole, &words)));
    }
    match (method, parts) {
        ("POST", ["containers", "create"]) => Some(create(head, body)),
        ("POST", ["images", "create"]) => Some(failed(
            "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host",
        )),
        ("POST", ["auth"]) => Some((
            401,
            "Unauthorized",
            message(
                "Get \"https://registry-1.docker.io/v2/\": unauthorized: incorrect username or password",
            ),
        )),
        ("POST", ["containers", "prune"]) => Some((
            200,
            "OK",
            "{\"ContainersDeleted\":null,\"SpaceReclaimed\":0}\n".to_owned(),
        )),
        ("POST", ["images", "prune"]) => Some((
            200,
            "OK",
            "{\"ImagesDeleted\":null,\"SpaceReclaimed\":0}\n".to_owned(),
        )),
        ("POST", ["build"]) => Some(failed("Cannot locate specified Dockerfile: Dockerfile")),
        ("POST", ["swarm", "join" | "init"]) => {
            Some(bad("invalid JSON: unexpected end of JSON input"))
        }
        _ => named(method, parts),
    }
}

/// Pages about something that has a name: there is nothing of that name.
fn named(method: &str, parts: &[&str]) -> Option<Said> {
    let missing = |what: &str, name: &str| {
        let name: String = name.chars().take(MAX_REPEATED).collect();
        Some((404, "Not Found", message(&format!("{what}: {name}"))))
    };
    match (method, parts) {
        (
            "GET" | "HEAD",
            [
                "containers",
                name,
                "json" | "top" | "logs" | "stats" | "changes" | "export" | "archive",
            ],
        )
        | (
            "POST",
            [
                "containers",
                name,
                "start" | "stop" | "restart" | "kill" | "exec" | "attach" | "pause" | "unpause"
                | "rename" | "resize" | "update" | "wait",
            ],
        )
        | ("DELETE", ["containers", name])
        | ("PUT", ["containers", name, "archive"]) => missing("No such container", name),
        ("POST", ["exec", name, "start" | "resize"]) | ("GET", ["exec", name, "json"]) => {
            missing("No such exec instance", name)
        }
        ("GET" | "HEAD", ["images", name @ .., "json" | "history" | "get"])
        | ("POST", ["images", name @ .., "push" | "tag"])
        | ("DELETE", ["images", name @ ..])
            if !name.is_empty() =>
        {
            missing("No such image", &tagged(&name.join("/")))
        }
        ("GET" | "DELETE", ["volumes", name]) => {
            let name: String = name.chars().take(MAX_REPEATED).collect();
            Some((
                404,
                "Not Found",
                message(&format!("get {name}: no such volume")),
            ))
        }
        ("GET" | "DELETE", ["networks", name]) => {
            let name: String = name.chars().take(MAX_REPEATED).collect();
            Some((
                404,
                "Not Found",
                message(&format!("network {name} not found")),
            ))
        }
        ("GET", ["swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs"])
        | ("POST", ["services" | "secrets" | "configs", "create"]) => {
            Some((503, "Service Unavailable", message(NO_SWARM)))
        }
        _ => None,
    }
}

/// A fault in JSON in the words of Go's `encoding/json`.
fn go_json_error(body: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected EOF".to_owned();
    }
    let line = body
        .split(|b| *b == b'\n')
        .nth(error.line().saturating_sub(1));
    let at = line.and_then(|line| line.get(error.column().saturating_sub(1)));
    let character = match at {
        Some(b'\'') => "'\\''".to_owned(),
        Some(b'"') => "'\"'".to_owned(),
        Some(byte) if byte.is_ascii_control() => format!("'{}'", byte.escape_ascii()),
        Some(byte) => format!("'{}'", char::from(*byte)),
        None => "'\\n'".to_owned(),
    };
    let said = error.to_string();
    let place = if said.starts_with("key must be a string") || said.starts_with("trailing comma") {
        "looking for beginning of object key string"
    } else if said.starts_with("expected `:`") {
        "after object key"
    } else if said.starts_with("expected `,` or `}`") {
        "after object key:value pair"
    } else if said.starts_with("expected `,` or `]`") {
        "after array element"
    } else if said.starts_with("control character") {
        "in string literal"
    } else if said.starts_with("invalid escape") {
        "in string escape code"
    } else {
        "looking for beginning of value"
    };
    format!("invalid character {character} {place}")
}

/// `POST /containers/create`: the image is never there.
fn create(head: &Head, body: &[u8]) -> Said {
    let kind = head.text("content-type").unwrap_or_default();
    if !body.is_empty() && kind.split(';').next().map(str::trim) != Some("application/json") {
        let kind: String = kind.chars().take(MAX_REPEATED).collect();
        return bad(&format!(
            "Content-Type specified ({kind}) must be 'application/json'"
        ));
    }
    if body.is_empty() {
        return bad("config cannot be empty in order to create a container");
    }
    // A decoder reads the first value; what follows it is nobody's business.
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    let config = match values.next() {
        Some(Ok(config)) => config,
        Some(Err(error)) => return bad(&go_json_error(body, &error)),
        None => return bad("EOF"),
    };
    let other = match config {
        Value::Object(_) => None,
        Value::Null => return bad("config cannot be empty in order to create a container"),
        Value::Array(_) => Some("array"),
        Value::String(_) => Some("string"),
        Value::Number(_) => Some("number"),
        Value::Bool(_) => Some("bool"),
    };
    if let Some(other) = other {
        let text = "into Go value of type runconfig.ContainerConfigWrapper";
        return bad(&format!("json: cannot unmarshal {other} {text}"));
    }
    match config.get("Image").and_then(Value::as_str) {
        Some(image) if !image.is_empty() => {
            let image: String = image.chars().take(MAX_REPEATED).collect();
            let text = format!("No such image: {}", tagged(&image));
            (404, "Not Found", message(&printable(text.as_bytes())))
        }
        _ => bad("no command specified"),
    }
}

/// The name of an image with its tag.
fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

fn message(text: &str) -> String {
    // Go writes `<`, `>` and `&` in JSON as escapes.
    let mut line = json!({ "message": text })
        .to_string()
        .replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e");
    line.push('\n');
    line
}

fn bad(text: &str) -> Said {
    (400, "Bad Request", message(text))
}

fn failed(text: &str) -> Said {
    (500, "Internal Server Error", message(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_in_json_are_told_in_go_s_words() {
        let told = |body: &str| {
            let mut values = serde_json::Deserializer::from_str(body).into_iter::<Value>();
            let error = values.next().unwrap().unwrap_err();
            go_json_error(body.as_bytes(), &error)
        };
        for (body, wanted) in [
            ("x", "invalid character 'x' looking for beginning of value"),
            (
                "<a>",
                "invalid character '<' looking for beginning of value",
            ),
            (
                "{x",
                "invalid character 'x' looking for beginning of object key string",
            ),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            (
                "{\"a\":1 \"b\"}",
                "invalid character '\"' after object key:value pair",
            ),
            ("[1 2]", "invalid character '2' after array element"),
            ("{\"a\":", "unexpected EOF"),
            (
                "{\n\n  'a'",
                "invalid character '\\'' looking for beginning of object key string",
            ),
        ] {
            assert_eq!(told(body), wanted, "{body}");
        }
    }
}
