//! SIP requests as pjsip reads them: whatever has a broken field isn't a request.

use super::MAX_HEADERS;

/// A request that can be answered.
pub(super) struct Request {
    pub(super) method: Vec<u8>,
    /// The user that the request URI names, if any.
    pub(super) has_user: bool,
    /// Full names in lower case, and values without the line breaks in them.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) vias: Vec<Via>,
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) call_id: Vec<u8>,
    /// The number and the method of CSeq.
    pub(super) sequence: (u32, Vec<u8>),
}

/// One hop (RFC 3261 section 20.42).
pub(super) struct Via {
    pub(super) transport: Vec<u8>,
    /// Host and port, as sent.
    pub(super) sent_by: Vec<u8>,
    pub(super) parameters: Parameters,
}

/// The value of From or To.
pub(super) struct Party {
    pub(super) display: Vec<u8>,
    /// Without what a URI may not hold here (RFC 3261 section 19.1.1, table 1).
    pub(super) uri: Vec<u8>,
    pub(super) parameters: Parameters,
}

/// Names, and values where there are any.
pub(super) type Parameters = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// How many bytes a message takes up to its body; `None` while that isn't all there.
pub(super) fn head_length(input: &[u8]) -> Option<usize> {
    let end = input.windows(3).position(|w| w == b"\n\r\n")?;
    Some(end.saturating_add(3))
}

/// The length of the body that the head tells, if it does.
pub(super) fn content_length(head: &[u8]) -> Option<usize> {
    let value = head.split(|b| *b == b'\n').skip(1).find_map(|line| {
        let colon = line.iter().position(|b| *b == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let name = name.trim_ascii();
        let is_length =
            name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"l");
        is_length.then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })?;
    number(value).and_then(|length| usize::try_from(length).ok())
}

impl Request {
    /// Reads the request line and the fields; the body doesn't matter.
    pub(super) fn parse(input: &[u8]) -> Option<Self> {
        let start = input.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
        let mut lines = input
            .get(start..)?
            .split(|b| *b == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = lines.next()?;
        let mut words = first.split(|b| *b == b' ').filter(|w| !w.is_empty());
        let (method, uri, version) = (words.next()?, words.next()?, words.next()?);
        let is_line = words.next().is_none() && version.eq_ignore_ascii_case(b"SIP/2.0");
        if !is_line || !is_token(method) {
            return None;
        }
        let target = uri_parts(uri)?;
        let headers = fields(lines)?;
        let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        let mut vias = Vec::new();
        for (_, value) in headers.iter().filter(|(name, _)| name == "via") {
            for one in outside_quotes(value, b',') {
                vias.push(Via::parse(one)?);
            }
        }
        let call_id = find("call-id")?.clone();
        let mut words = find("cseq")?
            .split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty());
        let (count, named) = (number(words.next()?)?, words.next()?);
        if vias.is_empty() || call_id.is_empty() || words.next().is_some() || !is_token(named) {
            return None;
        }
        let limited = |name: &str, most: u32| match find(name) {
            Some(value) => number(value).is_some_and(|n| n <= most),
            None => true,
        };
        if !limited("max-forwards", 255) || !limited("content-length", i32::MAX.unsigned_abs()) {
            return None;
        }
        Some(Self {
            method: method.to_vec(),
            has_user: target.user.is_some_and(|user| !user.is_empty()),
            vias,
            from: Party::parse(find("from")?)?,
            to: Party::parse(find("to")?)?,
            call_id,
            sequence: (count, named.to_vec()),
            headers,
        })
    }
}

/// The fields up to the empty line, folded ones in one piece (RFC 3261 section 7.3.1).
fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Vec<(String, Vec<u8>)>> {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for line in lines {
        if line.is_empty() {
            break;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            let (_, value) = fields.last_mut()?;
            value.push(b' ');
            value.extend(line.trim_ascii());
            continue;
        }
        let colon = line.iter().position(|b| *b == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let name = name.trim_ascii_end();
        if !is_token(name) || fields.len() >= MAX_HEADERS {
            return None;
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        fields.push((full_name(name), value.to_vec()));
    }
    Some(fields)
}

/// The name in lower case, and in full where it came in one letter (RFC 3261 section 20).
fn full_name(name: &[u8]) -> String {
    let lower = name.to_ascii_lowercase();
    let full = match lower.as_slice() {
        b"a" => "accept-contact",
        b"b" => "referred-by",
        b"c" => "content-type",
        b"d" => "request-disposition",
        b"e" => "content-encoding",
        b"f" => "from",
        b"i" => "call-id",
        b"j" => "reject-contact",
        b"k" => "supported",
        b"l" => "content-length",
        b"m" => "contact",
        b"o" => "event",
        b"r" => "refer-to",
        b"s" => "subject",
        b"t" => "to",
        b"u" => "allow-events",
        b"v" => "via",
        b"x" => "session-expires",
        b"y" => "identity",
        // Tokens are ASCII.
        other => return String::from_utf8_lossy(other).into_owned(),
    };
    full.to_owned()
}

impl Via {
    fn parse(value: &[u8]) -> Option<Self> {
        let mut pieces = outside_quotes(value, b';').into_iter();
        let mut words = pieces
            .next()?
            .split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty());
        let (protocol, sent_by) = (words.next()?, words.next()?);
        let mut names = protocol.split(|b| *b == b'/');
        let (sip, version, transport) = (names.next()?, names.next()?, names.next()?);
        let is_sip = sip.eq_ignore_ascii_case(b"SIP") && version == b"2.0";
        if !is_sip || names.next().is_some() || words.next().is_some() || !is_token(transport) {
            return None;
        }
        host_and_port(sent_by)?;
        Some(Self {
            transport: transport.to_ascii_uppercase(),
            sent_by: sent_by.to_vec(),
            parameters: parameters(pieces)?,
        })
    }
}

impl Party {
    fn parse(value: &[u8]) -> Option<Self> {
        let mut quoted = false;
        let open = value.iter().position(|b| {
            quoted ^= *b == b'"';
            !quoted && *b == b'<'
        });
        let (display, uri, rest) = match open {
            Some(open) => {
                let (display, rest) = value.split_at_checked(open)?;
                let close = rest.iter().position(|b| *b == b'>')?;
                let (uri, rest) = rest.split_at_checked(close)?;
                (display.trim_ascii(), uri.get(1..)?, rest.get(1..)?)
            }
            // Without brackets, what follows the URI belongs to the field.
            None => {
                let end = value.iter().position(|b| *b == b';');
                let (uri, rest) = value.split_at_checked(end.unwrap_or(value.len()))?;
                (&[][..], uri, rest)
            }
        };
        let display = display
            .strip_prefix(b"\"")
            .map_or(Some(display), |inner| inner.strip_suffix(b"\""))?;
        let mut pieces = outside_quotes(rest, b';').into_iter();
        if !pieces.next()?.trim_ascii().is_empty() {
            return None;
        }
        Some(Self {
            display: display.to_vec(),
            uri: allowed_here(uri.trim_ascii())?,
            parameters: parameters(pieces)?,
        })
    }

    pub(super) fn tag(&self) -> Option<&[u8]> {
        let tag = self.parameters.iter().find(|(name, _)| name == b"tag");
        tag.and_then(|(_, value)| value.as_deref())
    }
}

/// A URI in From or To as pjsip repeats it: without port, transport, method, TTL, address, looseness
/// and headers.
fn allowed_here(uri: &[u8]) -> Option<Vec<u8>> {
    let parts = uri_parts(uri)?;
    let Some(host) = parts.host else {
        return Some(uri.to_vec());
    };
    let mut text = parts.scheme.to_ascii_lowercase();
    text.push(b':');
    if let Some(user) = parts.user {
        text.extend(user);
        text.push(b'@');
    }
    text.extend(host);
    for piece in parts.rest {
        let name = piece.split(|b| *b == b'=').next().unwrap_or_default();
        let known: [&[u8]; 5] = [b"transport", b"method", b"ttl", b"maddr", b"lr"];
        if !known.iter().any(|k| name.eq_ignore_ascii_case(k)) {
            text.push(b';');
            text.extend(piece);
        }
    }
    Some(text)
}

/// A SIP URI taken apart; other schemes have no host.
struct UriParts<'a> {
    scheme: &'a [u8],
    user: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    /// Its parameters.
    rest: Vec<&'a [u8]>,
}

fn uri_parts(uri: &[u8]) -> Option<UriParts<'_>> {
    let colon = uri.iter().position(|b| *b == b':')?;
    let (scheme, rest) = uri.split_at_checked(colon)?;
    let rest = rest.get(1..).filter(|rest| !rest.is_empty())?;
    let is_clean = |b: &u8| !b.is_ascii_whitespace() && !matches!(b, b'<' | b'>' | b'"');
    if !is_token(scheme) || !rest.iter().all(is_clean) {
        return None;
    }
    if !scheme.eq_ignore_ascii_case(b"sip") && !scheme.eq_ignore_ascii_case(b"sips") {
        return Some(UriParts {
            scheme,
            user: None,
            host: None,
            rest: Vec::new(),
        });
    }
    let (user, rest) = match rest.iter().position(|b| *b == b'@') {
        Some(at) => {
            let (user, rest) = rest.split_at_checked(at)?;
            (Some(user), rest.get(1..)?)
        }
        None => (None, rest),
    };
    let rest = rest.split(|b| *b == b'?').next()?;
    let mut pieces = rest.split(|b| *b == b';');
    let (host, _) = host_and_port(pieces.next()?)?;
    Some(UriParts {
        scheme,
        user,
        host: Some(host),
        rest: pieces.collect(),
    })
}

/// A host, and the number behind it.
fn host_and_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let end = match text.first()? {
        b'[' => text.iter().position(|b| *b == b']')?.checked_add(1)?,
        _ => text.iter().position(|b| *b == b':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at_checked(end)?;
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(b);
    if host.is_empty() || !host.iter().all(is_name) {
        return None;
    }
    let port = match rest.split_first() {
        None => None,
        Some((b':', digits)) => Some(number(digits).and_then(|n| u16::try_from(n).ok())?),
        Some(_) => return None,
    };
    Some((host, port))
}

fn parameters<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Parameters> {
    pieces
        .map(|piece| {
            let mut halves = piece.splitn(2, |b| *b == b'=');
            let name = halves.next()?.trim_ascii();
            let value = halves.next().map(|v| v.trim_ascii().to_vec());
            (is_token(name) && value.as_ref().is_none_or(|v| !v.is_empty()))
                .then(|| (name.to_ascii_lowercase(), value))
        })
        .collect()
}

/// Splits where `mark` isn't between quotes.
fn outside_quotes(value: &[u8], mark: u8) -> Vec<&[u8]> {
    let mut quoted = false;
    value
        .split(|b| {
            quoted ^= *b == b'"';
            !quoted && *b == mark
        })
        .collect()
}

/// Letters, digits and what RFC 3261 section 25.1 allows besides.
fn is_token(text: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(b);
    !text.is_empty() && text.iter().all(allowed)
}

fn number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().all(u8::is_ascii_digit) && !text.is_empty();
    let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
    text.parse().ok().filter(|n| *n <= i32::MAX.unsigned_abs())
}
