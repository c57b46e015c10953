//! Credentials in requests: forms of every common encoding, and `Authorization`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coalmine_core::text::printable;
use serde_json::Value;

/// Fields of a form that are looked at.
const MAX_FIELDS: usize = 256;
/// Depth of a JSON body that is looked at.
const MAX_DEPTH: usize = 4;

/// Names of password fields, beside all that contain `pass` or `pwd`.
const PASSWORDS: &[&str] = &["pw", "pin", "secret", "psw", "psd", "log_pw"];
/// Names of user fields, best first, beside all that contain one of [`USER_WORDS`].
const USERS: &[&str] = &[
    "username", "user", "login", "email", "account", "log", "name", "uid", "userid", "usr", "u",
    "uname", "id",
];
const USER_WORDS: &[&str] = &["user", "login", "mail", "account"];

/// Somebody's claim to be somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
}

/// Credentials in a query or an urlencoded body.
pub(crate) fn urlencoded(input: &[u8]) -> Option<Credentials> {
    pick(
        form_urlencoded::parse(input)
            .take(MAX_FIELDS)
            .map(|(name, value)| (name.into_owned(), value.into_owned())),
    )
}

/// Credentials in a body of the given content type; a body says by itself when it's JSON.
pub(crate) fn body(content_type: &str, body: &[u8]) -> Option<Credentials> {
    let lower = content_type.to_ascii_lowercase();
    if lower.starts_with("multipart/") {
        let at = lower.find("boundary=")?.saturating_add("boundary=".len());
        let boundary = content_type.get(at..)?.split(';').next()?.trim();
        return pick(multipart(boundary.trim_matches('"'), body).into_iter());
    }
    if body.trim_ascii_start().starts_with(b"{") {
        let value: Value = serde_json::from_slice(body).ok()?;
        let mut fields = Vec::new();
        flatten(&value, MAX_DEPTH, &mut fields);
        return pick(fields.into_iter());
    }
    urlencoded(body)
}

/// Credentials in `Authorization`: Basic (RFC 7617), or the user of Digest (RFC 7616), whose
/// password doesn't travel.
pub(crate) fn authorization(value: &[u8]) -> Option<Credentials> {
    let at = value.iter().position(|b| *b == b' ')?;
    let (scheme, rest) = value.split_at_checked(at)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"basic") {
        let plain = STANDARD.decode(rest).ok()?;
        let colon = plain.iter().position(|b| *b == b':')?;
        let (user, password) = plain.split_at_checked(colon)?;
        return Some(Credentials {
            username: printable(user),
            password: printable(password.get(1..).unwrap_or_default()),
        });
    }
    if scheme.eq_ignore_ascii_case(b"digest") {
        let text = printable(rest);
        let (_, after) = text.split_once("username=\"")?;
        let (user, _) = after.split_once('"')?;
        return Some(Credentials {
            username: user.to_owned(),
            password: String::new(),
        });
    }
    None
}

/// The user and the password among named values; nothing without a password field.
fn pick(fields: impl Iterator<Item = (String, String)>) -> Option<Credentials> {
    let mut password = None;
    let mut user: Option<(usize, String)> = None;
    for (name, value) in fields {
        let name = name.to_ascii_lowercase();
        if name.contains("pass") || name.contains("pwd") || PASSWORDS.contains(&name.as_str()) {
            password.get_or_insert(value);
            continue;
        }
        let rank = USERS.iter().position(|n| *n == name).or_else(|| {
            USER_WORDS
                .iter()
                .any(|w| name.contains(w))
                .then_some(USERS.len())
        });
        if let Some(rank) = rank
            && user.as_ref().is_none_or(|(best, _)| rank < *best)
        {
            user = Some((rank, value));
        }
    }
    Some(Credentials {
        password: password?,
        username: user.map(|(_, value)| value).unwrap_or_default(),
    })
}

/// Scalars of a JSON value with their names.
fn flatten(value: &Value, depth: usize, fields: &mut Vec<(String, String)>) {
    let (Value::Object(object), Some(deeper)) = (value, depth.checked_sub(1)) else {
        return;
    };
    for (name, value) in object {
        if fields.len() >= MAX_FIELDS {
            return;
        }
        match value {
            Value::String(text) => fields.push((name.clone(), text.clone())),
            Value::Number(number) => fields.push((name.clone(), number.to_string())),
            other => flatten(other, deeper, fields),
        }
    }
}

/// Parts of `multipart/form-data` (RFC 7578): names and values.
fn multipart(boundary: &str, body: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    if boundary.is_empty() {
        return fields;
    }
    let mark = format!("--{boundary}");
    let mut rest = body;
    while fields.len() < MAX_FIELDS
        && let Some(start) = find(rest, mark.as_bytes())
    {
        rest = rest
            .get(start.saturating_add(mark.len())..)
            .unwrap_or_default();
        let end = find(rest, mark.as_bytes()).unwrap_or(rest.len());
        let part = rest.get(..end).unwrap_or_default();
        let Some(at) = find(part, b"\r\n\r\n") else {
            continue;
        };
        let head = printable(part.get(..at).unwrap_or_default());
        let value = part.get(at.saturating_add(4)..).unwrap_or_default();
        let value = value.strip_suffix(b"\r\n").unwrap_or(value);
        if let Some((_, after)) = head.split_once("name=\"")
            && let Some((name, _)) = after.split_once('"')
        {
            fields.push((name.to_owned(), printable(value)));
        }
    }
    fields
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(username: &str, password: &str) -> Option<Credentials> {
        Some(Credentials {
            username: username.to_owned(),
            password: password.to_owned(),
        })
    }

    #[test]
    fn forms_of_every_encoding() {
        assert_eq!(
            body(
                "application/x-www-form-urlencoded",
                b"log=ad%6din&pwd=a+b%26&id=9"
            ),
            pair("admin", "a b&")
        );
        assert_eq!(
            body(
                "application/json",
                br#"{"auth":{"Username":"eve","passWord":1234}}"#
            ),
            pair("eve", "1234")
        );
        assert_eq!(
            body(
                "multipart/form-data; boundary=\"xx\"",
                b"--xx\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na@b.c\r\n\
                  --xx\r\nContent-Disposition: form-data; name=\"passwd\"\r\n\r\np\r\nq\r\n--xx--\r\n",
            )
            .map(|c| c.username),
            Some("a@b.c".to_owned())
        );
        assert_eq!(body("text/plain", b"pw=only"), pair("", "only"));
    }

    #[test]
    fn a_form_without_password_is_none() {
        assert_eq!(urlencoded(b"user=a&q=b"), None);
        assert_eq!(body("application/json", br#"{"user":"a"}"#), None);
        assert_eq!(body("application/json", b"{\"password\":"), None);
        assert_eq!(body("multipart/form-data", b"--x"), None);
        assert_eq!(body("multipart/form-data; boundary=", b"--x"), None);
    }

    #[test]
    fn authorization_of_both_kinds() {
        assert_eq!(authorization(b"Basic YWRtaW46YTpi"), pair("admin", "a:b"));
        assert_eq!(authorization(b"basic  OnB3"), pair("", "pw"));
        assert_eq!(authorization(b"Basic !!!"), None);
        assert_eq!(authorization(b"Bearer abc"), None);
        assert_eq!(
            authorization(b"Digest realm=\"x\", username=\"bob\", nonce=\"1\""),
            pair("bob", "")
        );
    }
}
