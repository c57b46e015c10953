//! Credentials for a proxy: Basic (RFC 7617) and Digest (RFC 7616), and the digest's nonces.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coalmine_core::passwords::{self, Searches};
use coalmine_core::text::printable;
use coalmine_core::{Seed, Timestamp};
use md5::{Digest as _, Md5};

/// Longest digest that common passwords are tried against, all its fields together, in bytes: bounds
/// what one try costs.
const MAX_TRIED: usize = 1024;
/// Searches of the whole list that can be saved up, so that an attack by a list of passwords is
/// searched to its end. Beyond, only passwords made from the user's name are tried, so that a flood
/// doesn't cost a core: a search takes a few milliseconds.
const MAX_SAVED_SEARCHES: u32 = 1_000;
/// Searches of the whole list that each second adds.
const SEARCHES_A_SECOND: u32 = 30;
/// Longest user name from which passwords are made up, in bytes.
const MAX_NAME: usize = 64;
/// How long a nonce counts (`nonce_max_duration`), in seconds.
const NONCE_LIFE: i64 = 30 * 60;

/// What `Proxy-Authorization` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    Basic {
        username: String,
        password: Option<String>,
    },
    Digest(Digest),
}

/// A digest, each field as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    username: Vec<u8>,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    uri: Vec<u8>,
    response: Vec<u8>,
    algorithm: Vec<u8>,
    qop: Vec<u8>,
    cnonce: Vec<u8>,
    nc: Vec<u8>,
}

impl Credentials {
    /// Reads the value of `Proxy-Authorization`.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let at = value.iter().position(u8::is_ascii_whitespace)?;
        let (scheme, rest) = value.split_at_checked(at)?;
        if scheme.eq_ignore_ascii_case(b"basic") {
            let encoded = rest
                .split(u8::is_ascii_whitespace)
                .find(|w| !w.is_empty())?;
            let plain = STANDARD.decode(encoded).ok()?;
            let colon = plain.iter().position(|b| *b == b':');
            let (username, password) = plain.split_at_checked(colon.unwrap_or(plain.len()))?;
            return Some(Self::Basic {
                username: printable(username),
                password: password.get(1..).map(printable),
            });
        }
        if scheme.eq_ignore_ascii_case(b"digest") {
            let digest = Digest::parse(rest);
            return (!digest.username.is_empty()).then_some(Self::Digest(digest));
        }
        None
    }

    /// User name, and password as far as it's known; `method` is the request's.
    pub(super) fn told(
        &self,
        method: &[u8],
        searches: &Searches,
        now: Timestamp,
    ) -> (String, Option<String>) {
        match self {
            Self::Basic { username, password } => (username.clone(), password.clone()),
            Self::Digest(digest) => {
                let whole = || searches.may_search(SEARCHES_A_SECOND, MAX_SAVED_SEARCHES, now);
                (printable(&digest.username), digest.password(method, whole))
            }
        }
    }
}

impl Digest {
    fn parse(text: &[u8]) -> Self {
        let mut digest = Self::default();
        let mut rest = text;
        while let Some(equals) = rest.iter().position(|b| *b == b'=') {
            let (name, after) = rest.split_at_checked(equals).unwrap_or_default();
            let after = after.get(1..).unwrap_or_default().trim_ascii_start();
            let value;
            (value, rest) = value_of(after);
            let name = name.trim_ascii().trim_ascii_start();
            let name = name.strip_prefix(b",").unwrap_or(name).trim_ascii();
            let slot = match name.to_ascii_lowercase().as_slice() {
                b"username" => &mut digest.username,
                b"realm" => &mut digest.realm,
                b"nonce" => &mut digest.nonce,
                b"uri" => &mut digest.uri,
                b"response" => &mut digest.response,
                b"algorithm" => &mut digest.algorithm,
                b"qop" => &mut digest.qop,
                b"cnonce" => &mut digest.cnonce,
                b"nc" => &mut digest.nc,
                _ => continue,
            };
            *slot = value;
        }
        digest
    }

    /// Whether Squid looks at it at all: all fields that belong together, in shape.
    pub(super) fn is_sound(&self) -> bool {
        let by_qop = match self.qop.as_slice() {
            b"" => self.cnonce.is_empty() && self.nc.is_empty(),
            qop => qop == b"auth" && !self.cnonce.is_empty() && self.nc.len() == 8,
        };
        let is_md5 = self.algorithm.is_empty() || self.is_session() || self.algorithm == b"MD5";
        let named = [&self.username, &self.realm, &self.nonce, &self.uri];
        by_qop && is_md5 && named.iter().all(|f| !f.is_empty()) && self.response.len() == 32
    }

    /// Whether the nonce is one of ours and still counts.
    pub(super) fn is_fresh(&self, seed: &Seed, now: Timestamp) -> bool {
        nonce_time(seed, &self.nonce)
            .is_some_and(|made| (0..NONCE_LIFE).contains(&now.secs().saturating_sub(made)))
    }

    fn is_session(&self) -> bool {
        self.algorithm.eq_ignore_ascii_case(b"MD5-sess")
    }

    /// The password where it's a common one; else the digest as `john` takes it (format `hdaa`).
    /// `may_search` says whether there's time for the whole list.
    fn password(&self, method: &[u8], may_search: impl FnOnce() -> bool) -> Option<String> {
        let is_hex = self.response.len() == 32 && self.response.iter().all(u8::is_ascii_hexdigit);
        if !is_hex {
            return None;
        }
        let tried = [
            &self.username,
            &self.realm,
            &self.nonce,
            &self.uri,
            &self.cnonce,
            &self.nc,
            &self.qop,
        ];
        let length = tried.iter().map(|f| f.len()).sum::<usize>();
        if length.saturating_add(method.len()) <= MAX_TRIED
            && let Some(password) = self.recover(method, may_search())
        {
            return Some(password);
        }
        let parts = [
            &self.response,
            &self.username,
            &self.realm,
            method,
            &self.uri,
            &self.nonce,
            &self.nc,
            &self.cnonce,
            &self.qop,
        ];
        Some(printable(
            &[b"$response", &*parts.map(|p| [b"$", p].concat()).concat()].concat(),
        ))
    }

    fn recover(&self, method: &[u8], whole: bool) -> Option<String> {
        static COMMON: OnceLock<BTreeSet<String>> = OnceLock::new();
        let common = COMMON.get_or_init(|| passwords::common().collect());
        let response = self.response.to_ascii_lowercase();
        let target = md5(&[method, b":", &self.uri]);
        let tail = match self.qop.as_slice() {
            b"" => [&self.nonce, &b":"[..], &target].concat(),
            qop => [&*self.nonce, &*self.nc, &*self.cnonce, qop, &target].join(&b':'),
        };
        let gives = |password: &str| {
            let mut secret = md5(&[&self.username, b":", &self.realm, b":", password.as_bytes()]);
            if self.is_session() {
                secret = md5(&[&secret, b":", &self.nonce, b":", &self.cnonce]);
            }
            md5(&[&secret, b":", &tail]) == *response
        };
        if whole && let Some(found) = common.iter().find(|password| gives(password)) {
            return Some(found.clone());
        }
        if gives("") {
            return Some(String::new());
        }
        let name = std::str::from_utf8(&self.username).ok()?;
        if name.len() > MAX_NAME {
            return None;
        }
        passwords::from_name(name).find(|password| gives(password))
    }
}

/// A value up to its comma, or in quotes with `\` before what is meant as it is; and the rest.
fn value_of(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let comma = |text: &[u8]| text.iter().position(|b| *b == b',').unwrap_or(text.len());
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let (value, rest) = text.split_at_checked(comma(text)).unwrap_or_default();
        return (value.trim_ascii().to_vec(), rest);
    };
    let mut value = Vec::new();
    let mut rest = quoted;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => break,
            b'\\' => {
                value.extend(after.first());
                rest = after.get(1..).unwrap_or_default();
            }
            byte => value.push(*byte),
        }
    }
    (value, rest.get(comma(rest)..).unwrap_or_default())
}

/// MD5 of all parts together, in hex.
fn md5(parts: &[&[u8]]) -> Vec<u8> {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    hex::encode(md5.finalize()).into_bytes()
}

/// A nonce that nobody else could have made: four random bytes, the time hidden under them, and
/// eight bytes that prove both. `which` tells the nonces of one session apart.
pub(super) fn nonce(seed: &Seed, session: &Seed, which: u64, now: Timestamp) -> String {
    let random = session.take::<4>(&format!("nonce {which}"));
    let time = u32::try_from(now.secs()).unwrap_or(0) ^ mask(seed, random);
    let mut nonce = random.to_vec();
    nonce.extend(time.to_be_bytes());
    let proof = proof(seed, &nonce);
    nonce.extend(proof);
    hex::encode(nonce)
}

/// When a nonce was made, in Unix seconds, if it's one of ours.
fn nonce_time(seed: &Seed, nonce: &[u8]) -> Option<i64> {
    let bytes = hex::decode(nonce).ok().filter(|b| b.len() == 16)?;
    let (told, proved) = bytes.split_at_checked(8)?;
    let (random, time) = told.split_first_chunk::<4>()?;
    let time = u32::from_be_bytes(*time.first_chunk::<4>()?) ^ mask(seed, *random);
    (proof(seed, told) == proved).then_some(i64::from(time))
}

fn mask(seed: &Seed, random: [u8; 4]) -> u32 {
    u32::from_be_bytes(seed.take(&format!("proxy nonce time {}", hex::encode(random))))
}

fn proof(seed: &Seed, told: &[u8]) -> [u8; 8] {
    seed.take(&format!("proxy nonce proof {}", hex::encode(told)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: &str, method: &str) -> Option<(String, Option<String>)> {
        Credentials::parse(value.as_bytes()).map(|c| {
            c.told(
                method.as_bytes(),
                &Searches::default(),
                Timestamp::from_secs(1),
            )
        })
    }

    fn pair(user: &str, password: Option<&str>) -> Option<(String, Option<String>)> {
        Some((user.to_owned(), password.map(str::to_owned)))
    }

    #[test]
    fn basic_is_read_in_every_shape() {
        for (value, wanted) in [
            ("Basic dXNlcjpwYXNz", pair("user", Some("pass"))),
            ("BASIC   dXNlcjpwYXNz x", pair("user", Some("pass"))),
            ("Basic YTpiOmM=", pair("a", Some("b:c"))),
            ("Basic dXNlcjo=", pair("user", Some(""))),
            ("Basic dXNlcg==", pair("user", None)),
            ("Basic OnB3", pair("", Some("pw"))),
            ("Basic /wA6YQ==", pair("\\xff\0", Some("a"))),
            ("Basic !!!", None),
            ("Basic ", None),
            ("Basic", None),
            ("NTLM TlRMTVNTUAAB", None),
            ("Bearer abc", None),
            ("", None),
        ] {
            assert_eq!(told(value, "GET"), wanted, "{value}");
        }
    }

    /// The example of RFC 7616 section 3.9.1, whose password is no common one.
    #[test]
    fn a_digest_is_told_as_crackers_take_it() {
        let value = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
             algorithm=MD5, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
             response=\"8ca523f5e9506fed4657c9700eebdbec\"";
        let line = "$response$8ca523f5e9506fed4657c9700eebdbec$Mufasa$http-auth@example.org$GET\
             $/dir/index.html$7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v$00000001\
             $f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ$auth";
        assert_eq!(told(value, "GET"), pair("Mufasa", Some(line)));
        assert_eq!(
            told("Digest username=\"a\\\"b\"", "GET"),
            pair("a\"b", None)
        );
        assert_eq!(told("Digest realm=\"a\"", "GET"), None);
    }

    /// Digests of curl 7.88.1 and of the older form without `qop`.
    #[test]
    fn common_passwords_are_recovered() {
        let realm = "Squid proxy-caching web server";
        let digest = |user: &str, password: &str, qop: &str, sess: bool| {
            let mut secret = md5(&[format!("{user}:{realm}:{password}").as_bytes()]);
            if sess {
                secret = md5(&[&secret, b":abc:xyz"]);
            }
            let target = md5(&[b"CONNECT:example.com:443"]);
            let middle = if qop.is_empty() {
                "abc"
            } else {
                "abc:00000001:xyz:auth"
            };
            let response = md5(&[&secret, b":", middle.as_bytes(), b":", &target]);
            let response = String::from_utf8(response).unwrap();
            let algorithm = if sess { ", algorithm=MD5-sess" } else { "" };
            format!(
                "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"abc\", uri=\"example.com:443\", \
                 response=\"{response}\"{qop}{algorithm}"
            )
        };
        let qop = ", cnonce=\"xyz\", nc=00000001, qop=auth";
        for (user, password, qop, sess) in [
            ("bob", "letmein", qop, false),
            ("bob", "letmein", "", false),
            ("bob", "Password1", qop, true),
            ("bob", "", qop, false),
            ("files", "Files2024", qop, false),
        ] {
            let value = digest(user, password, qop, sess);
            assert_eq!(
                told(&value, "CONNECT"),
                pair(user, Some(password)),
                "{value}"
            );
        }
        let rare = told(&digest("bob", "xK9#vq", qop, false), "CONNECT")
            .unwrap()
            .1;
        assert!(rare.unwrap().starts_with("$response$"));
        // Too long to try.
        let long = "x".repeat(MAX_TRIED);
        let value = digest(&long, "letmein", qop, false);
        assert!(
            told(&value, "CONNECT")
                .unwrap()
                .1
                .unwrap()
                .starts_with("$response$")
        );
    }

    #[test]
    fn a_flood_is_searched_for_only_so_often() {
        let target = md5(&[b"GET:/"]);
        let digest = |password: &str| {
            let secret = md5(&[b"files:r:", password.as_bytes()]);
            let response = md5(&[&secret, b":abc:", &target]);
            let response = String::from_utf8(response).unwrap();
            let value = format!(
                "Digest username=\"files\", realm=\"r\", nonce=\"abc\", uri=\"/\", response=\"{response}\""
            );
            Credentials::parse(value.as_bytes()).unwrap()
        };
        let searches = Searches::default();
        let at = Timestamp::from_secs;
        let found = |password: &str, now| digest(password).told(b"GET", &searches, now).1.unwrap();
        // The first second adds what each adds.
        for _ in 0..SEARCHES_A_SECOND {
            assert_eq!(found("letmein", at(1)), "letmein");
        }
        assert!(found("letmein", at(1)).starts_with("$response$"));
        assert_eq!(found("files2024", at(1)), "files2024");
        assert_eq!(found("letmein", at(2)), "letmein");
    }

    #[test]
    fn nonces_are_known_again_for_half_an_hour() {
        let (seed, session) = (Seed::new([1; 32]), Seed::new([2; 32]));
        let now = Timestamp::from_secs(1_760_100_000);
        let made = nonce(&seed, &session, 0, now);
        assert_eq!(made.len(), 32);
        assert_ne!(made, nonce(&seed, &session, 1, now));
        let digest = |nonce: &str| Digest {
            nonce: nonce.as_bytes().to_vec(),
            ..Digest::default()
        };
        let after = |secs| Timestamp::from_secs(now.secs() + secs);
        assert!(digest(&made).is_fresh(&seed, after(NONCE_LIFE - 1)));
        assert!(!digest(&made).is_fresh(&seed, after(NONCE_LIFE)));
        assert!(!digest(&made).is_fresh(&session, now));
        assert!(!digest(&made[..30]).is_fresh(&seed, now));
        assert!(!digest(&"0".repeat(32)).is_fresh(&seed, now));
    }
}
