//! SASL as Cyrus SASL 2.1 plays its server inside slapd, for users that it doesn't know: DIGEST-MD5
//! (RFC 2831), CRAM-MD5 (RFC 2195), NTLM, SCRAM (RFC 5802), PLAIN (RFC 4616) and LOGIN.

use std::collections::HashSet;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coalmine_core::text::printable;
use coalmine_core::{Seed, Timestamp, passwords};
use coalmine_wire::ntlmssp;
use md5::{Digest, Md5};

use super::reply::{Reply, code};

/// Longest name whose own passwords are tried, in bytes.
const MAX_USER: usize = 128;
/// Searches of the whole list that can be saved up, and what each second adds. One takes up to 30
/// milliseconds.
const MAX_SAVED_SEARCHES: u32 = 60;
const SEARCHES_A_SECOND: u32 = 3;
/// The same for searches of frequent passwords and those made from the user's name. Beyond, none is
/// made, so that a flood doesn't cost a core.
const MAX_SAVED_LOOKS: u32 = 400;
const LOOKS_A_SECOND: u32 = 40;
/// Flags of NTLM (MS-NLMP section 2.2.2.5): both text encodings, the target's name, and that the
/// target is a server.
const UNICODE: u32 = 1;
const OEM: u32 = 2;
const REQUEST_TARGET: u32 = 4;
const TARGET_SERVER: u32 = 0x2_0000;

/// Searches for passwords, as many as there is time for.
#[derive(Default)]
pub(super) struct Searches {
    few: passwords::Searches,
    all: passwords::Searches,
}

impl Searches {
    /// The first common password that `fits`.
    pub fn find(&self, user: &str, now: Timestamp, fits: impl Fn(&str) -> bool) -> Option<String> {
        static FEW: LazyLock<Vec<String>> = LazyLock::new(|| passwords::frequent().collect());
        static ALL: LazyLock<Vec<String>> = LazyLock::new(|| {
            let few: HashSet<&String> = FEW.iter().collect();
            passwords::common()
                .filter(|word| !few.contains(word))
                .collect()
        });
        if !self.few.may_search(LOOKS_A_SECOND, MAX_SAVED_LOOKS, now) {
            return None;
        }
        if let Some(found) = FEW.iter().find(|password| fits(password)) {
            return Some(found.clone());
        }
        if !user.is_empty() && user.len() <= MAX_USER {
            let found = passwords::from_name(user).find(|password| fits(password));
            if found.is_some() {
                return found;
            }
        }
        if !self
            .all
            .may_search(SEARCHES_A_SECOND, MAX_SAVED_SEARCHES, now)
        {
            return None;
        }
        ALL.iter().find(|password| fits(password)).cloned()
    }
}

/// What a step came to.
pub(super) struct Outcome {
    pub reply: Reply,
    /// The conversation goes on in this state.
    pub next: Option<Exchange>,
    /// Who tried what.
    pub login: Option<Login>,
}

/// A login that was tried.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub mechanism: &'static str,
    pub user: String,
    /// In the clear, or a common one.
    pub password: Option<String>,
    /// What was sent for the password, as a line for offline guessing.
    pub line: Option<String>,
    /// The same of an NTLM response.
    pub ntlm_hash: Option<String>,
}

/// What the server told before.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub mechanism: Mechanism,
    challenge: Vec<u8>,
    /// LOGIN: the user's name.
    user: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    DigestMd5,
    CramMd5,
    Ntlm,
    Scram(&'static str),
    Plain,
    Login,
}

/// SCRAM's mechanisms as Debian's `libsasl2-modules` has them.
const SCRAM: [&str; 5] = [
    "SCRAM-SHA-512",
    "SCRAM-SHA-384",
    "SCRAM-SHA-256",
    "SCRAM-SHA-224",
    "SCRAM-SHA-1",
];

/// `supportedSASLMechanisms`, in slapd's order; passwords in the clear only inside TLS.
pub(super) fn mechanisms(tls: bool) -> Vec<String> {
    let open = ["DIGEST-MD5", "CRAM-MD5", "NTLM"];
    let inside: &[&str] = if tls { &["PLAIN", "LOGIN"] } else { &[] };
    let all = SCRAM.iter().chain(&open).chain(inside);
    all.map(|name| (*name).to_owned()).collect()
}

impl Mechanism {
    fn find(name: &[u8]) -> Option<Self> {
        let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        let scram = SCRAM.into_iter().find(|known| {
            let bare = name.split_at_checked(known.len());
            bare.is_some_and(|(start, end)| {
                start.eq_ignore_ascii_case(known.as_bytes())
                    && (end.is_empty() || end.eq_ignore_ascii_case(b"-PLUS"))
            })
        });
        Some(match scram {
            Some(name) => Self::Scram(name),
            None if is("DIGEST-MD5") => Self::DigestMd5,
            None if is("CRAM-MD5") => Self::CramMd5,
            None if is("NTLM") => Self::Ntlm,
            None if is("PLAIN") => Self::Plain,
            None if is("LOGIN") => Self::Login,
            None => return None,
        })
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::DigestMd5 => "DIGEST-MD5",
            Self::CramMd5 => "CRAM-MD5",
            Self::Ntlm => "NTLM",
            Self::Scram(name) => name,
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}

/// The server's side.
pub(super) struct Sasl<'a> {
    /// The full name of the host: realm and name in challenges.
    pub host: &'a str,
    pub tls: bool,
    /// Of this challenge alone.
    pub seed: Seed,
    pub now: Timestamp,
    pub searches: &'a Searches,
}

impl Sasl<'_> {
    /// The first message of a conversation.
    pub fn start(&self, name: &[u8], credentials: Option<&[u8]>) -> Outcome {
        let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        if is("EXTERNAL") {
            return refused(
                code::AUTH_METHOD_NOT_SUPPORTED,
                "SASL(-4): no mechanism available: ",
            );
        }
        if is("ANONYMOUS") {
            return refused(
                code::AUTH_METHOD_NOT_SUPPORTED,
                "SASL(-4): no mechanism available: security flags do not match required",
            );
        }
        let Some(mechanism) = Mechanism::find(name) else {
            let mut text = b"SASL(-4): no mechanism available: Couldn't find mech ".to_vec();
            text.extend(name);
            return refused(code::AUTH_METHOD_NOT_SUPPORTED, text);
        };
        let in_clear = matches!(mechanism, Mechanism::Plain | Mechanism::Login);
        if in_clear && !self.tls {
            return Outcome {
                // The client has sent it all the same.
                login: (mechanism == Mechanism::Plain)
                    .then(|| credentials.and_then(plain))
                    .flatten(),
                ..refused(
                    code::INAPPROPRIATE_AUTH,
                    "SASL(-16): encryption needed to use mechanism: \
                     security flags do not match required",
                )
            };
        }
        match (mechanism, credentials) {
            (Mechanism::DigestMd5, _) => {
                let nonce = STANDARD.encode(self.seed.take::<32>("nonce"));
                let challenge = format!(
                    "nonce=\"{nonce}\",realm=\"{}\",qop=\"auth,auth-int,auth-conf\",\
                     cipher=\"rc4-40,rc4-56,rc4,des,3des\",maxbuf=65536,charset=utf-8,\
                     algorithm=md5-sess",
                    self.host
                );
                challenged(mechanism, nonce.into_bytes(), challenge.into_bytes())
            }
            (Mechanism::CramMd5, None) => {
                let number = self.seed.number("number", 0, u64::from(u32::MAX));
                let time = self.now.secs().rem_euclid(0xff_ffff);
                let challenge = format!("<{number}.{time}@{}>", self.host).into_bytes();
                challenged(mechanism, challenge.clone(), challenge)
            }
            (Mechanism::CramMd5, Some(_)) => refused(
                code::OTHER,
                "SASL(-5): bad protocol / cancel: Remote sent first but mech does not allow it.",
            ),
            (Mechanism::Scram(_), Some(b"")) => challenged(mechanism, Vec::new(), Vec::new()),
            (Mechanism::Login, None | Some(b"")) => {
                challenged(mechanism, Vec::new(), b"Username:".to_vec())
            }
            (_, None) => challenged(mechanism, Vec::new(), Vec::new()),
            (_, Some(credentials)) => {
                let exchange = Exchange {
                    mechanism,
                    challenge: Vec::new(),
                    user: None,
                };
                self.go_on(exchange, credentials)
            }
        }
    }

    /// A further message.
    pub fn go_on(&self, exchange: Exchange, credentials: &[u8]) -> Outcome {
        match exchange.mechanism {
            Mechanism::DigestMd5 => self.digest(&exchange, credentials),
            Mechanism::CramMd5 => self.cram(&exchange, credentials),
            Mechanism::Ntlm if exchange.challenge.is_empty() => self.ntlm_challenge(credentials),
            Mechanism::Ntlm => ntlm(&exchange, credentials),
            Mechanism::Scram(name) => scram(name, credentials),
            Mechanism::Plain => self.plain(credentials),
            Mechanism::Login => match exchange.user {
                None => Outcome {
                    next: Some(Exchange {
                        user: Some(credentials.to_vec()),
                        ..exchange
                    }),
                    reply: proceed(b"Password:".to_vec()),
                    login: None,
                },
                Some(user) => {
                    let login = Login {
                        mechanism: "LOGIN",
                        user: printable(&user),
                        password: Some(printable(credentials)),
                        ..Login::default()
                    };
                    let text = "SASL(-13): user not found: checkpass failed";
                    tried(Reply::new(code::INVALID_CREDENTIALS, text), login)
                }
            },
        }
    }

    /// PLAIN, in the order of Cyrus' checks.
    fn plain(&self, message: &[u8]) -> Outcome {
        let broken = |text: &str| {
            let text = format!("SASL(-5): bad protocol / cancel: {text}");
            refused(code::OTHER, text)
        };
        let mut parts = message.split(|b| *b == 0);
        let (_, user, password) = (parts.next(), parts.next(), parts.next());
        let Some(user) = user else {
            return broken("Can only find author (no password)");
        };
        if password.is_none() {
            return broken("Can only find author/en (no password)");
        }
        let login = plain(message).unwrap_or_default();
        let reply = if parts.next().is_some() {
            let text = "SASL(-5): bad protocol / cancel: Got more data than we were expecting in \
                        the PLAIN plugin\n";
            Reply::new(code::OTHER, text)
        } else if user.is_empty() {
            let text = "SASL(-14): authorization failure: Invalid syntax";
            Reply::new(code::INSUFFICIENT_ACCESS, text)
        } else {
            let text = "SASL(-13): user not found: Password verification failed";
            Reply::new(code::INVALID_CREDENTIALS, text)
        };
        tried(reply, login)
    }

    fn cram(&self, exchange: &Exchange, response: &[u8]) -> Outcome {
        let space = response.iter().rposition(|b| *b == b' ');
        let parts = space.and_then(|at| response.split_at_checked(at));
        let Some((user, digest)) = parts.filter(|(user, _)| !user.is_empty()) else {
            return refused(
                code::OTHER,
                "SASL(-5): bad protocol / cancel: need authentication name",
            );
        };
        let digest = digest.trim_ascii();
        let shown = printable(user);
        let password = <[u8; 16]>::try_from(hex::decode(digest).unwrap_or_default())
            .ok()
            .and_then(|digest| {
                self.searches.find(&shown, self.now, |password| {
                    hmac_md5(password.as_bytes(), &exchange.challenge) == digest
                })
            });
        // hashcat's mode 10200.
        let line = format!(
            "$cram_md5${}${}",
            STANDARD.encode(&exchange.challenge),
            STANDARD.encode(response)
        );
        let login = Login {
            mechanism: "CRAM-MD5",
            user: shown,
            password,
            line: Some(line),
            ntlm_hash: None,
        };
        tried(unknown_user(), login)
    }

    fn digest(&self, exchange: &Exchange, response: &[u8]) -> Outcome {
        let failed = |text: &str| {
            let text = format!("SASL(-13): authentication failure: {text}");
            Reply::new(code::INVALID_CREDENTIALS, text)
        };
        if response.is_empty() {
            return refused_with(failed("input expected in DIGEST-MD5, step 2"));
        }
        let Some(fields) = directives(response) else {
            return refused_with(failed("Parse error"));
        };
        let get = |name: &str| {
            let field = fields
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
            field.map(|(_, value)| value.as_slice())
        };
        if get("charset").is_some_and(|set| !set.eq_ignore_ascii_case(b"utf-8")) {
            return refused(
                code::OTHER,
                "SASL(-1): generic failure: client doesn't support UTF-8",
            );
        }
        let buffer = get("maxbuf").and_then(|n| str::from_utf8(n).ok()?.parse::<u32>().ok());
        if buffer.is_some_and(|size| size <= 16) {
            return refused_with(failed("maxbuf parameter too small"));
        }
        let needed = [
            ("username", "username"),
            ("nonce", "nonce"),
            ("cnonce", "cnonce"),
            ("digest-uri", "digesturi"),
            ("response", "response"),
        ];
        let answer = Answer {
            user: get("username").unwrap_or_default(),
            realm: get("realm").unwrap_or_default(),
            nonce: &exchange.challenge,
            cnonce: get("cnonce").unwrap_or_default(),
            count: get("nc").unwrap_or_default(),
            qop: get("qop").unwrap_or(b"auth"),
            uri: get("digest-uri").unwrap_or_default(),
            response: get("response").unwrap_or_default(),
            authorize: get("authzid"),
        };
        let reply = match needed.iter().find(|(name, _)| get(name).is_none()) {
            Some((_, told)) => failed(&format!("required parameters missing: {told}")),
            None if get("nonce") != Some(&exchange.challenge) => {
                failed("nonce changed: authentication aborted")
            }
            None if !answer.uri.starts_with(b"ldap/") => {
                failed("bad digest-uri: doesn't match service")
            }
            None if answer.user.is_empty() => Reply::new(
                code::INSUFFICIENT_ACCESS,
                "SASL(-14): authorization failure: unable to canonify user and get auxprops",
            ),
            None => unknown_user(),
        };
        if get("username").is_none() && get("response").is_none() {
            return refused_with(reply);
        }
        let user = printable(answer.user);
        let password = answer
            .is_whole()
            .then(|| self.searches.find(&user, self.now, answer.fits()));
        let login = Login {
            mechanism: "DIGEST-MD5",
            user,
            password: password.flatten(),
            line: Some(answer.line()),
            ntlm_hash: None,
        };
        tried(reply, login)
    }

    /// The answer to the first message of NTLM.
    fn ntlm_challenge(&self, first: &[u8]) -> Outcome {
        let flags = first
            .strip_prefix(b"NTLMSSP\0\x01\0\0\0")
            .filter(|rest| rest.len() >= 20)
            .and_then(|rest| rest.first_chunk::<4>());
        let Some(flags) = flags else {
            return refused(
                code::OTHER,
                "SASL(-5): bad protocol / cancel: client didn't issue valid NTLM request",
            );
        };
        // Cyrus takes the lowest byte for a signed one.
        let low = if flags[0] < 0x80 { 0xffff } else { 0xff };
        let mut flags = u32::from_le_bytes(*flags) & 0xffff;
        if low == 0xff {
            flags |= 0xff00;
        }
        if flags & UNICODE != 0 {
            flags &= !OEM;
        }
        let mut target = Vec::new();
        if flags & REQUEST_TARGET != 0 {
            flags |= TARGET_SERVER;
            let name = self.host.to_ascii_uppercase();
            if flags & UNICODE == 0 {
                target.extend(name.bytes());
            } else {
                target.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
            }
        }
        let nonce = self.seed.take::<8>("ntlm nonce");
        let length = u16::try_from(target.len())
            .unwrap_or_default()
            .to_le_bytes();
        let mut message = b"NTLMSSP\0\x02\0\0\0".to_vec();
        message.extend(length);
        message.extend(length);
        message.extend(48u32.to_le_bytes());
        message.extend(flags.to_le_bytes());
        message.extend(nonce);
        message.extend([0; 16]);
        message.extend(target);
        challenged(Mechanism::Ntlm, nonce.to_vec(), message)
    }
}

/// The last message of NTLM.
fn ntlm(exchange: &Exchange, last: &[u8]) -> Outcome {
    let authenticate = ntlmssp::Authenticate::parse(last);
    let (Ok(answer), Ok(challenge)) = (
        authenticate,
        <[u8; 8]>::try_from(exchange.challenge.as_slice()),
    ) else {
        return refused(
            code::OTHER,
            "SASL(-5): bad protocol / cancel: client didn't issue valid NTLM response",
        );
    };
    let reply = if answer.lm.len() < 24 && answer.nt.len() < 24 {
        Reply::new(
            code::OTHER,
            "SASL(-5): bad protocol / cancel: client issued incorrect/nonexistent responses",
        )
    } else {
        unknown_user()
    };
    let user = match answer.domain.as_str() {
        "" => answer.user.clone(),
        domain => format!("{domain}\\{}", answer.user),
    };
    let login = Login {
        mechanism: "NTLM",
        user: printable(user.as_bytes()),
        ntlm_hash: answer.hash(&challenge),
        ..Login::default()
    };
    tried(reply, login)
}

/// SCRAM ends with the first message of a user that isn't known.
fn scram(mechanism: &'static str, first: &[u8]) -> Outcome {
    let mut parts = first.split(|b| *b == b',');
    let mut next = || parts.next().unwrap_or_default();
    let (binding, authorize, user, nonce) = (next(), next(), next(), next());
    let binding_known = matches!(binding, b"n" | b"y") || binding.starts_with(b"p=");
    let user = user.strip_prefix(b"n=").filter(|user| !user.is_empty());
    let (true, Some(user), true) = (binding_known, user, nonce.starts_with(b"r=")) else {
        let text = format!("SASL(-5): bad protocol / cancel: Invalid {mechanism} input");
        return refused(code::OTHER, text);
    };
    let reply = if authorize.is_empty() {
        unknown_user()
    } else {
        Reply::new(
            code::INSUFFICIENT_ACCESS,
            "SASL(-14): authorization failure: unable to canonify authorization ID",
        )
    };
    let user = printable(user).replace("=2C", ",").replace("=3D", "=");
    let login = Login {
        mechanism,
        user,
        ..Login::default()
    };
    tried(reply, login)
}

/// Authorization name, user and password of PLAIN.
fn plain(message: &[u8]) -> Option<Login> {
    let mut parts = message.splitn(3, |b| *b == 0);
    let (_, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Login {
        mechanism: "PLAIN",
        user: printable(user),
        password: Some(printable(password)),
        ..Login::default()
    })
}

fn refused(code: i64, text: impl Into<Vec<u8>>) -> Outcome {
    refused_with(Reply::new(code, text))
}

fn refused_with(reply: Reply) -> Outcome {
    Outcome {
        reply,
        next: None,
        login: None,
    }
}

fn tried(reply: Reply, login: Login) -> Outcome {
    Outcome {
        reply,
        next: None,
        login: Some(login),
    }
}

fn unknown_user() -> Reply {
    Reply::new(
        code::INVALID_CREDENTIALS,
        "SASL(-13): user not found: no secret in database",
    )
}

fn challenged(mechanism: Mechanism, challenge: Vec<u8>, said: Vec<u8>) -> Outcome {
    Outcome {
        reply: proceed(said),
        next: Some(Exchange {
            mechanism,
            challenge,
            user: None,
        }),
        login: None,
    }
}

fn proceed(said: Vec<u8>) -> Reply {
    Reply {
        credentials: Some(said),
        ..Reply::new(code::SASL_BIND_IN_PROGRESS, "SASL(0): successful result: ")
    }
}

/// A directive of DIGEST-MD5 and its value.
type Directive = (Vec<u8>, Vec<u8>);

/// `name=value` and `name="value"`, with commas between (RFC 2831 section 7.1).
pub(super) fn directives(text: &[u8]) -> Option<Vec<Directive>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let skip = |b: &u8| !matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b',');
        let Some(start) = rest.iter().position(skip) else {
            return Some(fields);
        };
        rest = rest.get(start..)?;
        let equals = rest.iter().position(|b| *b == b'=')?;
        let (name, after) = rest.split_at_checked(equals)?;
        let after = after.get(1..)?.trim_ascii_start();
        let (value, after) = match after.strip_prefix(b"\"") {
            Some(after) => quoted(after)?,
            None => {
                let end = after.iter().position(|b| *b == b',').unwrap_or(after.len());
                let (value, after) = after.split_at_checked(end)?;
                (value.trim_ascii_end().to_vec(), after)
            }
        };
        fields.push((name.trim_ascii_end().to_vec(), value));
        rest = after;
    }
}

fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((value, rest)),
            b'\\' => {
                let (&byte, after) = rest.split_first()?;
                value.push(byte);
                rest = after;
            }
            byte => value.push(byte),
        }
    }
}

/// A client's answer to a challenge of DIGEST-MD5.
pub(super) struct Answer<'a> {
    pub user: &'a [u8],
    pub realm: &'a [u8],
    pub nonce: &'a [u8],
    pub cnonce: &'a [u8],
    pub count: &'a [u8],
    pub qop: &'a [u8],
    pub uri: &'a [u8],
    pub response: &'a [u8],
    pub authorize: Option<&'a [u8]>,
}

impl Answer<'_> {
    fn is_whole(&self) -> bool {
        self.response.len() == 32 && !self.cnonce.is_empty()
    }

    /// What tells whether it was made with a password (RFC 2831 section 2.1.2.1).
    pub fn fits(&self) -> impl Fn(&str) -> bool {
        let mut tail = vec![&b":"[..], self.nonce, b":", self.cnonce];
        if let Some(authorize) = self.authorize {
            tail.extend([&b":"[..], authorize]);
        }
        let tail = tail.concat();
        let empty: &[u8] = match self.qop {
            b"auth" => b"",
            _ => b":00000000000000000000000000000000",
        };
        let a2 = hex::encode(md5(&[b"AUTHENTICATE:", self.uri, empty]));
        let last = [
            &b":"[..],
            self.nonce,
            b":",
            self.count,
            b":",
            self.cnonce,
            b":",
            self.qop,
            b":",
            a2.as_bytes(),
        ]
        .concat();
        let response = <[u8; 16]>::try_from(hex::decode(self.response).unwrap_or_default());
        let first = [self.user, b":", self.realm, b":"].concat();
        move |password| {
            let secret = md5(&[&first, password.as_bytes()]);
            let a1 = hex::encode(md5(&[&secret, &tail]));
            response.as_ref() == Ok(&md5(&[a1.as_bytes(), &last]))
        }
    }

    /// As john takes it in format `dmd5`.
    pub fn line(&self) -> String {
        let mut fields = vec![
            self.user,
            self.realm,
            self.nonce,
            self.uri,
            self.cnonce,
            self.count,
            self.qop,
            self.response,
        ];
        fields.extend(self.authorize);
        let fields: Vec<_> = fields.into_iter().map(printable).collect();
        format!("$DIGEST-MD5${}", fields.join("$"))
    }
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// HMAC with MD5 (RFC 2104).
pub(super) fn hmac_md5(key: &[u8], text: &[u8]) -> [u8; 16] {
    let hashed;
    let key = if key.len() > 64 {
        hashed = md5(&[key]);
        &hashed[..]
    } else {
        key
    };
    let mut inner = [0x36; 64];
    let mut outer = [0x5c; 64];
    for ((i, o), k) in inner.iter_mut().zip(&mut outer).zip(key) {
        *i ^= k;
        *o ^= k;
    }
    md5(&[&outer, &md5(&[&inner, text])])
}
