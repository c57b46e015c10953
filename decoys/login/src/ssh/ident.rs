//! The identification exchange as OpenSSH's server holds it (RFC 4253 section 4.2, and what
//! OpenSSH 9.2 answers where the peer breaks it).

/// Longest identification line, in bytes without its end; OpenSSH's own bound.
pub const MAX_LINE: usize = 8192;

/// What a peer's identification line leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key exchange; the line without its end.
    Speak(Vec<u8>),
    /// This text, then the end.
    Refuse(&'static str),
    /// The end at once.
    Drop,
}

/// Reads one identification line byte by byte.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    after_cr: bool,
}

const INVALID: &str = "Invalid SSH identification string.\r\n";
const DIFFER: &str = "Protocol major versions differ.\r\n";

impl Reader {
    /// The verdict, once there is one.
    pub fn push(&mut self, byte: u8) -> Option<Verdict> {
        match byte {
            b'\r' => self.after_cr = true,
            b'\n' => return Some(judge(std::mem::take(&mut self.line))),
            0 => return Some(Verdict::Refuse(INVALID)),
            _ if self.after_cr => return Some(Verdict::Refuse(INVALID)),
            _ => self.line.push(byte),
        }
        (self.line.len() > MAX_LINE).then_some(Verdict::Refuse(INVALID))
    }
}

/// Judges a whole line.
fn judge(line: Vec<u8>) -> Verdict {
    let Some((major, minor, software)) = versions(&line) else {
        return Verdict::Refuse(INVALID);
    };
    if major != 2 && (major, minor) != (1, 99) {
        return Verdict::Refuse(DIFFER);
    }
    // OpenSSH hangs up on two old scanners.
    if software.starts_with(b"Probe-") || contains(software, b"SSH_Version_Mapper") {
        return Verdict::Drop;
    }
    Verdict::Speak(line)
}

/// The numbers and the rest of `SSH-%d.%d-%s`, read as C's `scanf` reads them.
fn versions(line: &[u8]) -> Option<(i64, i64, &[u8])> {
    let rest = line.strip_prefix(b"SSH-")?;
    let (major, rest) = number(rest)?;
    let (minor, rest) = number(rest.strip_prefix(b".")?)?;
    let software = rest.strip_prefix(b"-")?;
    (!software.is_empty()).then_some((major, minor, software))
}

/// A decimal number after optional white space and sign.
fn number(text: &[u8]) -> Option<(i64, &[u8])> {
    let text = text.trim_ascii_start();
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let end = text
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().fold(0_i64, |n, d| {
        n.saturating_mul(10)
            .saturating_add(i64::from(d.saturating_sub(b'0')))
    });
    Some((
        if negative {
            value.saturating_neg()
        } else {
            value
        },
        rest,
    ))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bytes: &[u8]) -> Option<Verdict> {
        let mut reader = Reader::default();
        bytes.iter().find_map(|b| reader.push(*b))
    }

    /// Every case was held against OpenSSH 9.2p1.
    #[test]
    fn lines_are_judged_as_openssh_judges_them() {
        for line in [
            "SSH-1111-OpenSSH_9.0\r\n",
            "SSH-1337\r\n",
            "\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "ssh-2.0-x\r\n",
            "SSH-2.0-\r\n",
            "SSH-2.0-a\0",
            "SSH-2.0-a\rb",
        ] {
            assert_eq!(
                verdict(line.as_bytes()),
                Some(Verdict::Refuse(INVALID)),
                "{line:?}"
            );
        }
        for line in [
            "SSH-1.5-x\r\n",
            "SSH-3.0-x\n",
            "SSH-99999999999999999999.0-x\n",
        ] {
            assert_eq!(
                verdict(line.as_bytes()),
                Some(Verdict::Refuse(DIFFER)),
                "{line:?}"
            );
        }
        for line in [
            "SSH-2.0-OpenSSH_9.2",
            "SSH-2.0-x a comment",
            "SSH-1.99-x",
            "SSH-2.5-x",
            "SSH- 2.0-x",
            "SSH-+2.0-x",
            "SSH-2.-1-x",
            "SSH-2.0-x\ty",
        ] {
            for end in ["\n", "\r\n", "\r\r\n"] {
                assert_eq!(
                    verdict(format!("{line}{end}").as_bytes()),
                    Some(Verdict::Speak(line.as_bytes().to_vec()))
                );
            }
        }
        for line in ["SSH-2.0-Probe-x\r\n", "SSH-2.0-SSH_Version_Mapper\r\n"] {
            assert_eq!(verdict(line.as_bytes()), Some(Verdict::Drop));
        }
    }

    #[test]
    fn an_endless_line_is_awaited_up_to_the_bound() {
        assert_eq!(verdict(&[b'a'; MAX_LINE]), None);
        assert_eq!(
            verdict(&[b'a'; MAX_LINE + 1]),
            Some(Verdict::Refuse(INVALID))
        );
    }
}
