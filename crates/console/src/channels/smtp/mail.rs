//! What a mail says of itself: headers, links in its text, attached files. Pure and bounded.
//!
//! Source: RFC 5322 (headers), RFC 2045 to 2047 and 2183 (MIME).

use coalmine_core::text;
use coalmine_core::token::SmtpAttachment;
use data_encoding::BASE64;

use super::super::touch::Mail;

/// Most headers kept.
const MAX_HEADERS: usize = 100;
/// Most links told.
pub(crate) const MAX_LINKS: usize = 50;
/// Most attached files told.
const MAX_ATTACHMENTS: usize = 20;
/// Most parts looked at.
const MAX_PARTS: usize = 100;
/// Deepest part of a part.
const MAX_DEPTH: usize = 8;
/// Longest link.
const MAX_LINK: usize = 2048;

/// Reads a mail of which these bytes were kept, of `size`.
pub(crate) fn read(bytes: &[u8], size: u64) -> Mail {
    let (headers, body) = part(bytes);
    let mut mail = Mail {
        size,
        ..Mail::default()
    };
    let mut left = MAX_PARTS;
    walk(&headers, body, &mut mail, &mut left, 0);
    mail.headers = headers;
    mail.headers.truncate(MAX_HEADERS);
    mail
}

/// The headers of a mail or part, unfolded, and what follows them.
fn part(bytes: &[u8]) -> (Vec<(String, String)>, &[u8]) {
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == b'\n');
        let next = end.map_or(rest.len(), |end| end.saturating_add(1));
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let after = rest.get(next..).unwrap_or_default();
        if line.is_empty() {
            rest = after;
            break;
        }
        match (line.first(), headers.last_mut()) {
            (Some(b' ' | b'\t'), Some((_, value))) => {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
            _ => {
                let Some(colon) = line.iter().position(|b| *b == b':') else {
                    break;
                };
                let (name, value) = line.split_at(colon);
                // A field's name (RFC 5322 section 2.2); anything else is text already.
                if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
                    break;
                }
                if headers.len() <= MAX_HEADERS {
                    let value = value.get(1..).unwrap_or_default().trim_ascii().to_vec();
                    headers.push((text::printable(name.trim_ascii()), value));
                }
            }
        }
        rest = after;
    }
    let told = |(name, value): (String, Vec<u8>)| (name, text::printable(&value));
    (headers.into_iter().map(told).collect(), rest)
}

fn walk(
    headers: &[(String, String)],
    body: &[u8],
    mail: &mut Mail,
    left: &mut usize,
    depth: usize,
) {
    if *left == 0 || depth > MAX_DEPTH {
        return;
    }
    *left = left.saturating_sub(1);
    let kind = header(headers, "content-type").unwrap_or("text/plain");
    let (mime, _) = kind.split_once(';').unwrap_or((kind, ""));
    let mime = mime.trim().to_ascii_lowercase();
    if mime.starts_with("multipart/") {
        if let Some(boundary) = parameter(kind, "boundary") {
            for inner in pieces(body, boundary.as_bytes()) {
                let (headers, body) = part(inner);
                walk(&headers, body, mail, left, depth.saturating_add(1));
            }
        }
        return;
    }
    let coding = header(headers, "content-transfer-encoding").unwrap_or_default();
    let decoded = decode(coding, body);
    let disposition = header(headers, "content-disposition").unwrap_or_default();
    let name = parameter(disposition, "filename").or_else(|| parameter(kind, "name"));
    let attached = disposition
        .trim_start()
        .to_ascii_lowercase()
        .starts_with("attachment");
    if attached || name.is_some() {
        if mail.attachments.len() < MAX_ATTACHMENTS {
            mail.attachments.push(SmtpAttachment {
                name: name.unwrap_or_default(),
                mime: text::cut(&mime),
                size: decoded.len(),
            });
        }
    } else if mime.starts_with("text/") {
        links(&String::from_utf8_lossy(&decoded), &mut mail.links);
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut headers = headers.iter();
    let found = headers.find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// A parameter of a header, without its quotes; RFC 2231's form with a charset counts too.
fn parameter(value: &str, name: &str) -> Option<String> {
    for piece in value.split(';').skip(1) {
        let Some((key, value)) = piece.split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim().trim_matches('"'));
        if key.eq_ignore_ascii_case(name) {
            return Some(text::cut(value));
        }
        let extended = key.strip_suffix('*');
        if extended.is_some_and(|key| key.eq_ignore_ascii_case(name)) {
            let value = value.rsplit('\'').next().unwrap_or(value);
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            return Some(text::cut(&value));
        }
    }
    None
}

/// The parts between lines of two hyphens and the boundary.
fn pieces<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (None, 0_usize);
    for line in body.split_inclusive(|b| *b == b'\n') {
        let end = at.saturating_add(line.len());
        let marks = line
            .strip_prefix(b"--")
            .and_then(|line| line.strip_prefix(boundary))
            .map(<[u8]>::trim_ascii)
            .filter(|rest| rest.is_empty() || *rest == b"--");
        if let Some(mark) = marks {
            if let Some(piece) = start.and_then(|start: usize| body.get(start..at)) {
                // The line's end before a boundary belongs to the boundary (RFC 2046 section 5.1.1).
                let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
                pieces.push(piece.strip_suffix(b"\r").unwrap_or(piece));
            }
            start = mark.is_empty().then_some(end);
        }
        if pieces.len() >= MAX_PARTS {
            return pieces;
        }
        at = end;
    }
    pieces.extend(start.and_then(|start| body.get(start..)));
    pieces
}

fn decode(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding.trim().to_ascii_lowercase().as_str() {
        "base64" => {
            let alphabet = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
            let mut digits: Vec<u8> = body.iter().copied().filter(alphabet).collect();
            // What is cut off in the middle of four is lost.
            while digits.len() % 4 == 1 {
                digits.pop();
            }
            while !digits.len().is_multiple_of(4) {
                digits.push(b'=');
            }
            let mut lenient = BASE64.specification();
            lenient.check_trailing_bits = false;
            let decoded = lenient.encoding().ok().and_then(|e| e.decode(&digits).ok());
            decoded.unwrap_or_default()
        }
        "quoted-printable" => quoted(body),
        _ => body.to_vec(),
    }
}

/// RFC 2045 section 6.7.
fn quoted(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'=', [b'\r', b'\n', after @ ..] | [b'\n', after @ ..]) => after,
            (b'=', [a, b, after @ ..]) => {
                let pair = [*a, *b];
                match data_encoding::HEXLOWER_PERMISSIVE.decode(&pair) {
                    Ok(byte) => out.extend(byte),
                    Err(_) => out.extend([b'=', *a, *b]),
                }
                after
            }
            (other, after) => {
                out.push(*other);
                after
            }
        };
    }
    out
}

/// URLs of the web in a text, each once.
fn links(text: &str, links: &mut Vec<String>) {
    let mut rest = text;
    while let Some(at) = rest.find("http") {
        let found = rest.get(at..).unwrap_or_default();
        rest = found.get(4..).unwrap_or_default();
        if !(found.starts_with("http://") || found.starts_with("https://")) {
            continue;
        }
        let ends = |c: char| c.is_whitespace() || c.is_control() || "<>\"'`\\{}|^".contains(c);
        let link = found.split(ends).next().unwrap_or_default();
        let link = link.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']']);
        let known = links.iter().any(|known| known == link);
        if links.len() < MAX_LINKS && link.len() <= MAX_LINK && !known {
            links.push(link.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "From: a@example.com\r\nSubject: two\r\n lines\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=\"b-1\"\r\n\r\npreamble http://not.told/\r\n--b-1\r\n\
Content-Type: multipart/alternative; boundary=in\r\n\r\n--in\r\n\
Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
See https://example.com/a?b=3Dc=\r\nd, or (http://example.com/x).\r\n--in\r\n\
Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n\
PGEgaHJlZj0iaHR0cDovL2h0bWwuZXhhbXBsZS8iPng8L2E+\r\n--in--\r\n--b-1\r\n\
Content-Type: application/pdf; name=\"old.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\
Content-Disposition: attachment; filename=\"plan.pdf\"\r\n\r\naGVs\r\nbG8=\r\n--b-1\r\n\
Content-Type: image/png\r\nContent-Disposition: attachment; filename*=utf-8''%C3%A9.png\r\n\r\nabc\r\n--b-1--\r\nhttp://not.told/\r\n";

    #[test]
    fn headers_links_and_files_are_found() {
        let mail = read(MAIL.as_bytes(), 7);
        assert_eq!(mail.size, 7);
        assert_eq!(
            mail.headers[1],
            ("Subject".to_owned(), "two lines".to_owned())
        );
        assert_eq!(
            mail.links,
            [
                "https://example.com/a?b=cd",
                "http://example.com/x",
                "http://html.example/"
            ]
        );
        let files: Vec<_> = mail
            .attachments
            .iter()
            .map(|file| (file.name.as_str(), file.mime.as_str(), file.size))
            .collect();
        assert_eq!(
            files,
            [
                ("plan.pdf", "application/pdf", 5),
                ("é.png", "image/png", 3)
            ]
        );
    }

    #[test]
    fn broken_mails_are_read_as_far_as_they_go() {
        assert_eq!(read(b"", 0), Mail::default());
        let plain = read(b"hello http://a.example/ there", 0);
        assert_eq!((plain.headers.len(), plain.links.len()), (0, 1));
        let cut = MAIL.split_at(MAIL.find("bG8=").unwrap()).0;
        assert_eq!(read(cut.as_bytes(), 0).attachments[0].size, 3);
        for end in 0..MAIL.len() {
            read(&MAIL.as_bytes()[..end], 0);
        }
        let nested = "Content-Type: multipart/a; boundary=a\r\n\r\n--a\r\n".repeat(200);
        assert_eq!(read(nested.as_bytes(), 0).links.len(), 0);
    }

    #[test]
    fn there_is_a_limit_to_everything() {
        let many: String = (0..500).map(|n| format!("http://a.example/{n} ")).collect();
        let many = format!("\r\n{many}");
        assert_eq!(read(many.as_bytes(), 0).links.len(), MAX_LINKS);
        let headers = "A: b\r\n".repeat(5_000) + "\r\nhttp://a.example/";
        let mail = read(headers.as_bytes(), 0);
        assert_eq!((mail.headers.len(), mail.links.len()), (MAX_HEADERS, 1));
        let file = "--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n".repeat(300);
        let files = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{file}");
        assert_eq!(read(files.as_bytes(), 0).attachments.len(), MAX_ATTACHMENTS);
    }
}
