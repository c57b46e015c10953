//! Logins by the means of Windows in a field of HTTP: NTLM (MS-NTHT), Negotiate (RFC 4559), Kerberos,
//! beside Basic and Digest.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coalmine_core::{Bird, Seed, Timestamp};
use coalmine_wire::accept::{Acceptor, Login, Step};
use coalmine_wire::kerberos::ApReq;
use coalmine_wire::ntlmssp::{Negotiate, Target, Version};
use coalmine_wire::spnego::Mech;

use super::login::{self, Credentials};

/// Longest token that is decoded; HTTP.sys takes heads of 16 KiB.
const MAX_TOKEN: usize = 16 * 1024;

const IN_DOMAIN: &[Mech] = &[Mech::MsKerberos, Mech::Kerberos, Mech::Ntlm];
const ALONE: &[Mech] = &[Mech::Ntlm];

/// The machine that asks for logins.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    target: Target,
    mechs: &'static [Mech],
}

impl Host {
    /// `bird` as a Windows.
    pub(crate) fn of(bird: &Bird) -> Self {
        let version = Version::from(bird.machine.system.windows_version());
        let domain = bird.domain_names();
        Self {
            target: Target::windows(&bird.netbios_name(), &bird.dns_name(), domain, version),
            mechs: if domain.is_some() { IN_DOMAIN } else { ALONE },
        }
    }
}

/// One connection's side of the conversation: NTLM authenticates connections, not requests.
#[derive(Debug)]
pub(crate) struct Gate {
    host: Host,
    seed: Seed,
    begun: u32,
    acceptor: Option<Acceptor>,
}

/// What a request's field comes to.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// The conversation goes on with this challenge.
    Continue(String),
    /// A password in the clear.
    Basic(Credentials),
    /// The user of a Digest.
    Digest(String),
    /// A response to a challenge.
    Ntlm(Box<Login>),
    /// A ticket.
    Kerberos(ApReq),
    /// Nothing that's known, or a token that is none.
    Unknown,
}

impl Gate {
    pub(crate) fn new(host: &Host, seed: &Seed) -> Self {
        Self {
            host: host.clone(),
            seed: seed.derive("windows login"),
            begun: 0,
            acceptor: None,
        }
    }

    /// The value of `Authorization` or `Proxy-Authorization`.
    pub(crate) fn hear(&mut self, value: &[u8], now: Timestamp) -> Attempt {
        let (scheme, rest) = split(value);
        if let Some(found) = login::authorization(value) {
            return match scheme.eq_ignore_ascii_case("digest") {
                true => Attempt::Digest(found.username),
                false => Attempt::Basic(found),
            };
        }
        let word = ["Negotiate", "NTLM", "Kerberos"]
            .into_iter()
            .find(|word| scheme.eq_ignore_ascii_case(word));
        let (Some(word), Some(token)) = (word, decode(rest)) else {
            return Attempt::Unknown;
        };
        if word == "Kerberos" {
            return ApReq::parse(&token).map_or(Attempt::Unknown, Attempt::Kerberos);
        }
        let mut acceptor = match self.acceptor.take() {
            // A first message begins anew.
            Some(acceptor) if Negotiate::parse(&token).is_err() => acceptor,
            _ => {
                self.begun = self.begun.saturating_add(1);
                let challenge = self.seed.take(&format!("challenge {}", self.begun));
                Acceptor::new(self.host.target.clone(), challenge, self.host.mechs)
            }
        };
        match acceptor.token(&token, now.filetime()) {
            Ok(Step::Continue(answer)) => {
                self.acceptor = Some(acceptor);
                Attempt::Continue(format!("{word} {}", STANDARD.encode(answer)))
            }
            Ok(Step::Login(login)) => Attempt::Ntlm(Box::new(login)),
            Ok(Step::Kerberos(request)) => Attempt::Kerberos(request),
            Err(_) => Attempt::Unknown,
        }
    }
}

/// The scheme, and what follows it.
pub(crate) fn split(value: &[u8]) -> (&str, &[u8]) {
    let value = value.trim_ascii();
    let at = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(at).unwrap_or((value, &[]));
    (
        std::str::from_utf8(scheme).unwrap_or_default(),
        rest.trim_ascii(),
    )
}

/// HTTP.sys' answer to a first message for IIS.
pub(super) fn not_authorized(challenge: &str, now: Timestamp) -> Vec<u8> {
    let date = now.format("%a, %d %b %Y %H:%M:%S GMT");
    format!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: text/html; charset=us-ascii\r\n\
         Server: Microsoft-HTTPAPI/2.0\r\nWWW-Authenticate: {challenge}\r\nDate: {date}\r\n\
         Content-Length: {}\r\n\r\n{NOT_AUTHORIZED}",
        NOT_AUTHORIZED.len()
    )
    .into_bytes()
}

/// The page of it.
const NOT_AUTHORIZED: &str = "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\"\"http://www.w3.org/TR/html4/strict.dtd\">\r\n\
    <HTML><HEAD><TITLE>Not Authorized</TITLE>\r\n\
    <META HTTP-EQUIV=\"Content-Type\" Content=\"text/html; charset=us-ascii\"></HEAD>\r\n\
    <BODY><h2>Not Authorized</h2>\r\n<hr><p>HTTP Error 401. The requested resource requires user authentication.</p>\r\n</BODY></HTML>\r\n";

/// A user with the domain, as Windows writes it.
pub(crate) fn account(domain: &str, user: &str) -> String {
    match domain {
        "" => user.to_owned(),
        domain => format!("{domain}\\{user}"),
    }
}

/// NTLM's first message in a field, which names the client's machine now and then.
pub(crate) fn negotiate(value: &[u8]) -> Option<Negotiate> {
    Negotiate::parse(&decode(split(value).1)?).ok()
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() > MAX_TOKEN {
        return None;
    }
    STANDARD.decode(text).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The challenge in a token of the server's, in hexadecimal digits.
    pub(crate) fn challenge(token: &str) -> String {
        hex::encode(&STANDARD.decode(token).unwrap()[24..32])
    }

    /// NTLMv1's last message, made of ones and twos, from `WKS`.
    pub(crate) fn last(domain: &str, user: &str) -> String {
        let wide =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let mut last = b"NTLMSSP\0\x03\0\0\0".to_vec();
        let parts = [
            vec![1; 24],
            vec![2; 24],
            wide(domain),
            wide(user),
            wide("WKS"),
            vec![],
        ];
        let mut offset = 64_u32;
        for part in &parts {
            let length = u16::try_from(part.len()).unwrap();
            last.extend(length.to_le_bytes());
            last.extend(length.to_le_bytes());
            last.extend(offset.to_le_bytes());
            offset += u32::from(length);
        }
        last.extend(1_u32.to_le_bytes());
        last.extend(parts.concat());
        STANDARD.encode(last)
    }

    fn gate() -> Gate {
        let bird = Bird::sample();
        Gate::new(&Host::of(&bird), &bird.seed)
    }

    fn hear(gate: &mut Gate, value: &str) -> Attempt {
        gate.hear(value.as_bytes(), Timestamp::from_secs(1_790_000_000))
    }

    #[test]
    fn each_first_message_is_challenged_anew() {
        let mut gate = gate();
        let first = "NTLM TlRMTVNTUAABAAAABoIIAAAAAAAAAAAAAAAAAAAAAAA=";
        let mut challenge = || match hear(&mut gate, first) {
            Attempt::Continue(answer) => answer,
            other => panic!("{other:?}"),
        };
        let (one, two) = (challenge(), challenge());
        assert!(one.starts_with("NTLM TlRMTVNTUAACAAAA"), "{one}");
        assert_ne!(one, two);
        let token = STANDARD.decode(one.split_once(' ').unwrap().1).unwrap();
        // Target name in OEM letters behind the version of Server 2019.
        assert_eq!(token[48..52], [10, 0, 0x63, 0x45]);
        assert_eq!(token[56..64], *b"FILES-02");
    }

    #[test]
    fn the_page_before_a_login_is_as_long_as_http_sys_own() {
        let answer = not_authorized("NTLM AAAA", Timestamp::from_secs(0));
        assert!(
            String::from_utf8(answer)
                .unwrap()
                .contains("Content-Length: 341\r\n")
        );
    }

    #[test]
    fn what_is_no_token_is_unknown() {
        for value in [
            "",
            "Negotiate",
            "NTLM !",
            "NTLM AAAA",
            "Kerberos AAAA",
            "CredSSP AAAA",
            "Basic x",
            // NTLM's last message without a challenge before it.
            "NTLM TlRMTVNTUAADAAAA",
        ] {
            assert!(
                matches!(hear(&mut gate(), value), Attempt::Unknown),
                "{value}"
            );
        }
        let long = format!("NTLM {}", "A".repeat(MAX_TOKEN + 4));
        assert!(matches!(hear(&mut gate(), &long), Attempt::Unknown));
    }

    #[test]
    fn passwords_and_digests_are_told_apart() {
        match hear(&mut gate(), "basic YWRtaW46aHVudGVyMg==") {
            Attempt::Basic(found) => {
                assert_eq!((&*found.username, &*found.password), ("admin", "hunter2"));
            }
            other => panic!("{other:?}"),
        }
        let digest = hear(&mut gate(), "Digest username=\"anna\", realm=\"x\"");
        assert!(matches!(digest, Attempt::Digest(user) if user == "anna"));
    }
}
