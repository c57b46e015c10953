//! What a request asks for, read and written as Squid 5.7 does: leniently, and shown in a form that
//! is lower-cased, stripped and cut.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest target that is a URL, in bytes.
const MAX_URL: usize = 8191;
/// Longest host that is kept, in bytes; what's beyond is dropped.
const MAX_HOST: usize = 255;
/// Longest name of a scheme, in bytes.
const MAX_SCHEME: usize = 16;
/// Longest identifier of a URN's namespace (RFC 8141 section 2), in bytes.
const MAX_NAMESPACE: usize = 32;

/// Kinds of URL that make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    Ftp,
    Wais,
    Whois,
    CacheObject,
    Urn,
    /// What a tunnel goes to.
    Authority,
    /// Known or not, nothing is done for it.
    Other,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: Scheme,
    scheme_name: Vec<u8>,
    user: Vec<u8>,
    host: Vec<u8>,
    pub(super) port: u16,
    /// The scheme's own; not shown.
    usual_port: u16,
    pub(super) path: Vec<u8>,
}

impl Url {
    /// Reads the target of a request with `method`.
    pub(super) fn parse(method: &[u8], target: &[u8]) -> Option<Self> {
        if target.len() > MAX_URL {
            return None;
        }
        let text = until(target, |b| b == 0);
        if matches!(method, b"OPTIONS" | b"TRACE") && text == b"*" {
            return Some(Self {
                scheme: Scheme::Http,
                scheme_name: b"http".to_vec(),
                user: Vec::new(),
                host: Vec::new(),
                port: 80,
                usual_port: 80,
                path: b"*".to_vec(),
            });
        }
        if method == b"CONNECT" {
            return Self::authority(text);
        }
        let (name, scheme, default_port, rest) = scheme(text)?;
        if scheme == Scheme::Urn {
            return Self::urn(name, rest);
        }
        let rest = rest.strip_prefix(b"//")?;
        let (authority, rest) = split(rest, |b| matches!(b, b'/' | b'?' | b'#') || is_space(b));
        let mut path = Vec::new();
        if !rest.starts_with(b"/") {
            path.push(b'/');
        }
        path.extend(until(rest, |b| b == b'\r'));
        path.retain(|b| !is_space(*b));
        let (user, authority) = match authority.iter().rposition(|b| *b == b'@') {
            Some(at) => (
                authority.get(..at).unwrap_or_default(),
                authority.get(at.saturating_add(1)..).unwrap_or_default(),
            ),
            None => (<&[u8]>::default(), authority),
        };
        let (host, port) = match authority.strip_prefix(b"[") {
            Some(literal) => {
                let (host, after) = split(literal, |b| b == b']');
                (host, split(after, |b| b == b':').1.get(1..))
            }
            // More than one colon is taken for an address without its brackets.
            None if authority.iter().filter(|b| **b == b':').count() == 1 => {
                let (host, port) = split(authority, |b| b == b':');
                (host, port.get(1..))
            }
            None => (authority, None),
        };
        if host.is_empty() {
            return None;
        }
        let port = port.map_or(i64::from(default_port), |text| number(text).unwrap_or(0));
        Some(Self {
            scheme,
            scheme_name: name,
            user: unescape(user),
            host: hostname(host)?,
            port: valid_port(port)?,
            usual_port: default_port,
            path,
        })
    }

    /// `host:port` of a tunnel; whatever isn't a port means 443.
    fn authority(text: &[u8]) -> Option<Self> {
        let literal = text
            .strip_prefix(b"[")
            .map(|rest| split(rest, |b| b == b']'));
        let (host, port) = match literal {
            Some((host, after)) if !host.is_empty() => (host, after.strip_prefix(b"]:")),
            _ => {
                let (host, after) = split(text, |b| b == b':');
                (host, after.get(1..))
            }
        };
        if host.is_empty() {
            return None;
        }
        Some(Self {
            scheme: Scheme::Authority,
            scheme_name: Vec::new(),
            user: Vec::new(),
            host: hostname(host)?,
            port: valid_port(port.and_then(number).unwrap_or(443))?,
            usual_port: 0,
            path: Vec::new(),
        })
    }

    fn urn(name: Vec<u8>, rest: &[u8]) -> Option<Self> {
        let (namespace, path) = split(rest, |b| !(b.is_ascii_alphanumeric() || b == b'-'));
        let is_sound = (2..=MAX_NAMESPACE).contains(&namespace.len())
            && !namespace.starts_with(b"-")
            && !namespace.ends_with(b"-")
            && path.starts_with(b":");
        is_sound.then(|| Self {
            scheme: Scheme::Urn,
            scheme_name: name,
            user: Vec::new(),
            host: Vec::new(),
            port: 0,
            usual_port: 0,
            path: rest.to_vec(),
        })
    }

    /// The same on the proxy itself.
    pub(super) fn at(self, host: &str, port: u16) -> Self {
        Self {
            scheme: Scheme::Http,
            scheme_name: b"http".to_vec(),
            host: host.as_bytes().to_ascii_lowercase(),
            port,
            usual_port: 80,
            ..self
        }
    }

    /// Host, and port where it isn't the scheme's own.
    pub(super) fn host_and_port(&self) -> Vec<u8> {
        let mut text = self.host.clone();
        if self.port != self.usual_port || self.host.is_empty() {
            text.extend(format!(":{}", self.port).bytes());
        }
        text
    }

    /// The whole of it; only the user names of FTP are shown.
    pub(super) fn whole(&self) -> Vec<u8> {
        let mut text = self.scheme_name.clone();
        match self.scheme {
            Scheme::Authority => return self.host_and_port(),
            Scheme::Urn => text.push(b':'),
            _ => {
                text.extend(b"://");
                if !self.user.is_empty() && self.scheme == Scheme::Ftp {
                    text.extend(escaped(&self.user));
                    text.push(b'@');
                }
                text.extend(self.host_and_port());
            }
        }
        text.extend(&self.path);
        text
    }

    /// The same without its query (`strip_query_terms`).
    pub(super) fn stripped(&self) -> Vec<u8> {
        let mut text = self.whole();
        if self.scheme != Scheme::Urn
            && let Some(at) = text.iter().position(|b| *b == b'?')
        {
            text.truncate(at.saturating_add(1));
        }
        text
    }

    /// As the page that asks for a login shows it: tunnels are shown as the site behind them.
    pub(super) fn site(&self) -> Vec<u8> {
        match self.scheme {
            Scheme::Authority => [&b"https://"[..], &self.host, b"/*"].concat(),
            _ => self.stripped(),
        }
    }

    /// Whether it asks for the proxy's own management (`acl manager`).
    pub(super) fn is_management(&self) -> bool {
        let is_web = matches!(self.scheme, Scheme::Http | Scheme::Https);
        self.scheme == Scheme::CacheObject
            || is_web && unescape(&self.path).starts_with(b"/squid-internal-mgr/")
    }
}

/// The scheme by name and kind, its port, and what follows its colon.
fn scheme(text: &[u8]) -> Option<(Vec<u8>, Scheme, u16, &[u8])> {
    let (name, rest) = split(text, |b| {
        !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_'))
    });
    let rest = rest.strip_prefix(b":")?;
    if name.len() > MAX_SCHEME || !name.first().is_some_and(u8::is_ascii_alphabetic) {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let (scheme, port) = match name.as_slice() {
        b"http" => (Scheme::Http, 80),
        b"https" => (Scheme::Https, 443),
        b"ftp" => (Scheme::Ftp, 21),
        b"wais" => (Scheme::Wais, 210),
        b"whois" => (Scheme::Whois, 43),
        b"cache_object" => (Scheme::CacheObject, 3128),
        b"urn" => (Scheme::Urn, 0),
        b"coap" => (Scheme::Other, 5683),
        b"coaps" => (Scheme::Other, 5684),
        _ => (Scheme::Other, 0),
    };
    Some((name, scheme, port, rest))
}

/// A host in lower case, without white space and final dots; addresses in their usual form.
fn hostname(host: &[u8]) -> Option<Vec<u8>> {
    let mut host = host.to_ascii_lowercase();
    host.retain(|b| !is_space(*b));
    while host.last() == Some(&b'.') {
        host.pop();
    }
    if host.starts_with(b".") || host.windows(2).any(|w| w == b"..") {
        return None;
    }
    let text = std::str::from_utf8(&host).unwrap_or_default();
    let address = match ipv4(&host) {
        Some(address) => Some(IpAddr::V4(address)),
        None => text.parse().ok().map(|a: Ipv6Addr| a.to_canonical()),
    };
    // The address of no machine stays as it was written.
    match address.filter(|a| !a.is_unspecified()) {
        Some(IpAddr::V4(address)) => return Some(address.to_string().into_bytes()),
        Some(IpAddr::V6(address)) => return Some(ipv6(address).into_bytes()),
        None => {}
    }
    host.truncate(MAX_HOST);
    Some(host)
}

/// An address as C's `inet_ntop` writes it, in brackets: one that ends in an IPv4 address shows it.
fn ipv6(address: Ipv6Addr) -> String {
    let number = address.to_bits();
    match u32::try_from(number) {
        Ok(low) if low > 0xffff => format!("[::{}]", Ipv4Addr::from_bits(low)),
        _ => format!("[{address}]"),
    }
}

/// An address as C's `inet_aton` takes it: one to four numbers, decimal, octal or hex, of which the
/// last fills what is left.
fn ipv4(host: &[u8]) -> Option<Ipv4Addr> {
    let mut numbers = Vec::new();
    for part in host.split(|b| *b == b'.').take(5) {
        let text = std::str::from_utf8(part).ok()?;
        let (digits, radix) = match text.strip_prefix("0x") {
            Some(hex) => (hex, 16),
            None if text.len() > 1 && text.starts_with('0') => (text, 8),
            None => (text, 10),
        };
        if digits.starts_with('+') {
            return None;
        }
        numbers.push(u32::from_str_radix(digits, radix).ok()?);
    }
    let (last, first) = numbers.split_last()?;
    let room = 32_u32.checked_sub(u32::try_from(first.len()).ok()?.checked_mul(8)?)?;
    if room == 0 || u64::from(*last) >= 1_u64.checked_shl(room)? {
        return None;
    }
    let mut address = 0_u32;
    for number in first {
        address = address
            .checked_mul(256)?
            .checked_add(u32::from(u8::try_from(*number).ok()?))?;
    }
    let address = address.checked_shl(room).unwrap_or(0).checked_add(*last)?;
    Some(Ipv4Addr::from(address))
}

/// A number as C's `atoi` reads it, wrapping as it wraps; nothing where there's no digit.
fn number(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii_start();
    let (is_negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let (digits, _) = split(text, |b| !b.is_ascii_digit());
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().fold(0_i64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(i64::from(digit.saturating_sub(b'0')))
    });
    let number = if is_negative {
        number.saturating_neg()
    } else {
        number
    };
    Some(number & 0xffff_ffff)
}

fn valid_port(port: i64) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port > 0)
}

/// Resolves `%41`; what isn't hex stays.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        let byte = match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high.saturating_mul(16) | low).ok(),
            _ => None,
        };
        rest = match byte.filter(|b| *b != 0) {
            Some(byte) => {
                plain.push(byte);
                after.get(2..).unwrap_or_default()
            }
            None => {
                plain.push(*first);
                after
            }
        };
    }
    plain
}

/// `text` with whatever may not stand in a user name written as `%41`.
fn escaped(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:".contains(byte) {
            escaped.push(*byte);
        } else {
            escaped.extend(format!("%{byte:02X}").bytes());
        }
    }
    escaped
}

/// White space as C's `isspace` knows it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 0x09..=0x0d)
}

/// `text` before and from the first byte that `ends`.
fn split(text: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let at = text.iter().position(|b| ends(*b)).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, &[]))
}

fn until(text: &[u8], ends: impl Fn(u8) -> bool) -> &[u8] {
    split(text, ends).0
}
