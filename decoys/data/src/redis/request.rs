//! Requests as bytes: arrays of bulk strings, and lines of words.

/// Longest line without its end, in bytes: `PROTO_INLINE_MAX_SIZE`.
pub(super) const MAX_INLINE: usize = 64 * 1024;
/// Most words of an array before a password was given.
const MAX_WORDS: i64 = 10;
/// Longest bulk string before a password was given, in bytes.
const MAX_BULK: i64 = 16 * 1024;
/// Longest bulk string at all, in bytes: `proto-max-bulk-len`.
const MAX_BULK_EVER: i64 = 512 * 1024 * 1024;
/// How much of one request is kept, in bytes. Longer ones are only counted.
const MAX_KEPT: usize = 20 * 1024;
/// How many words of one request are kept.
const MAX_WORDS_KEPT: usize = 1024;

/// One request: at least one word, unless nothing was asked.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// Its words, as far as they're kept.
    pub words: Vec<Vec<u8>>,
    /// How many words it has.
    pub count: usize,
    /// Length of all words with a byte between them, in bytes.
    pub length: usize,
    kept: usize,
}

impl Request {
    fn push(&mut self, word: &[u8]) {
        if self.count > 0 {
            self.length = self.length.saturating_add(1);
        }
        self.count = self.count.saturating_add(1);
        self.length = self.length.saturating_add(word.len());
        if self.words.len() >= MAX_WORDS_KEPT || (self.kept >= MAX_KEPT && !word.is_empty()) {
            return;
        }
        let fits = MAX_KEPT.saturating_sub(self.kept).min(word.len());
        self.kept = self.kept.saturating_add(fits);
        self.words.push(word.iter().take(fits).copied().collect());
    }
}

/// Why the server ends a conversation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    InlineTooBig,
    UnbalancedQuotes,
    ArrayCountTooBig,
    ArrayCount,
    ArrayCountUnauthenticated,
    BulkCountTooBig,
    /// Another byte where a bulk string should begin.
    NoBulk(u8),
    BulkCount,
    BulkCountUnauthenticated,
}

impl Fault {
    /// The server's text for it.
    pub fn text(&self) -> Vec<u8> {
        let text: &[u8] = match self {
            Self::InlineTooBig => b"too big inline request",
            Self::UnbalancedQuotes => b"unbalanced quotes in request",
            Self::ArrayCountTooBig => b"too big mbulk count string",
            Self::ArrayCount => b"invalid multibulk length",
            Self::ArrayCountUnauthenticated => b"unauthenticated multibulk length",
            Self::BulkCountTooBig => b"too big bulk count string",
            Self::BulkCount => b"invalid bulk length",
            Self::BulkCountUnauthenticated => b"unauthenticated bulk length",
            Self::NoBulk(byte) => {
                let mut text = b"expected '$', got '".to_vec();
                text.extend([*byte, b'\'']);
                return text;
            }
        };
        text.to_vec()
    }
}

/// Reads requests from a stream; keeps an array that has begun.
#[derive(Default)]
pub(super) struct Reader {
    array: Request,
    /// Bulk strings of the array still to come.
    awaited: i64,
}

impl Reader {
    /// The next whole request, taken from the front of `rest`; `None` when more is needed.
    pub fn next(&mut self, rest: &mut &[u8]) -> Result<Option<Request>, Fault> {
        loop {
            if self.awaited > 0 {
                if !self.bulk(rest)? {
                    return Ok(None);
                }
                if self.awaited == 0 {
                    return Ok(Some(std::mem::take(&mut self.array)));
                }
                continue;
            }
            match rest.first() {
                None => return Ok(None),
                Some(b'*') => {
                    let Some(count) = counted(rest, Fault::ArrayCountTooBig)? else {
                        return Ok(None);
                    };
                    let count = count.filter(|n| *n <= i64::from(i32::MAX));
                    let count = count.ok_or(Fault::ArrayCount)?;
                    if count > MAX_WORDS {
                        return Err(Fault::ArrayCountUnauthenticated);
                    }
                    self.awaited = count.max(0);
                }
                Some(_) => {
                    let Some(line) = line(rest)? else {
                        return Ok(None);
                    };
                    let request = words(line).ok_or(Fault::UnbalancedQuotes)?;
                    if request.count > 0 {
                        return Ok(Some(request));
                    }
                }
            }
        }
    }

    /// Takes one bulk string from the front of `rest`; false when more is needed.
    fn bulk(&mut self, rest: &mut &[u8]) -> Result<bool, Fault> {
        let mut after = *rest;
        // A line that isn't whole isn't looked at.
        let first = after.first().copied();
        let Some(length) = counted(&mut after, Fault::BulkCountTooBig)? else {
            return Ok(false);
        };
        if let Some(first) = first.filter(|b| *b != b'$') {
            return Err(Fault::NoBulk(first));
        }
        let length = length.filter(|n| (0..=MAX_BULK_EVER).contains(n));
        let length = length.ok_or(Fault::BulkCount)?;
        if length > MAX_BULK {
            return Err(Fault::BulkCountUnauthenticated);
        }
        let whole = usize::try_from(length).ok().and_then(|length| {
            let (bulk, after) = after.split_at_checked(length)?;
            // The two bytes behind it aren't looked at.
            Some((bulk, after.get(2..)?))
        });
        let Some((bulk, after)) = whole else {
            return Ok(false);
        };
        self.array.push(bulk);
        self.awaited = self.awaited.saturating_sub(1);
        *rest = after;
        Ok(true)
    }
}

/// The number of a line such as `*3` or `$5`, taken from the front of `rest`; `None` when more is
/// needed, `Some(None)` when it's no number.
fn counted(rest: &mut &[u8], too_big: Fault) -> Result<Option<Option<i64>>, Fault> {
    // As the server searches: for the end of the line, but not past a zero.
    let end = rest.iter().position(|b| matches!(b, b'\r' | 0));
    let Some(end) = end.filter(|end| rest.get(*end) == Some(&b'\r')) else {
        if rest.len() > MAX_INLINE {
            return Err(too_big);
        }
        return Ok(None);
    };
    // The byte after `\r` must be there, whatever it is.
    let Some(after) = rest.get(end.saturating_add(2)..) else {
        return Ok(None);
    };
    let digits = rest.get(1..end).unwrap_or_default();
    *rest = after;
    Ok(Some(number(digits)))
}

/// One line without its end, taken from the front of `rest`; `None` when more is needed.
fn line<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Fault> {
    let all = *rest;
    let end = all.iter().position(|b| matches!(b, b'\n' | 0));
    let Some(end) = end.filter(|end| all.get(*end) == Some(&b'\n')) else {
        if all.len() > MAX_INLINE {
            return Err(Fault::InlineTooBig);
        }
        return Ok(None);
    };
    let line = all.get(..end).unwrap_or_default();
    *rest = all.get(end.saturating_add(1)..).unwrap_or_default();
    Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
}

/// A whole number as Redis takes it: no plus, no space, no zero before it.
pub(super) fn number(digits: &[u8]) -> Option<i64> {
    let bare = digits.strip_prefix(b"-").unwrap_or(digits);
    let plain = bare.iter().all(u8::is_ascii_digit);
    let leading = bare.first() == Some(&b'0') && digits != b"0";
    if !plain || leading {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Splits a line into words; `None` where quotes don't match.
fn words(line: &[u8]) -> Option<Request> {
    let mut request = Request::default();
    let mut rest = line;
    loop {
        while let [b' ' | b'\t'..=b'\r', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return Some(request);
        }
        request.push(&word(&mut rest)?);
    }
}

/// One word from the front of `rest`. A quote may begin inside a word, but ends it.
fn word(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut word = Vec::new();
    loop {
        let [first, after @ ..] = *rest else {
            return Some(word);
        };
        match first {
            b' ' | b'\n' | b'\r' | b'\t' => return Some(word),
            b'"' => {
                *rest = double_quoted(after, &mut word)?;
                return ends(rest).then_some(word);
            }
            b'\'' => {
                *rest = single_quoted(after, &mut word)?;
                return ends(rest).then_some(word);
            }
            byte => {
                word.push(*byte);
                *rest = after;
            }
        }
    }
}

/// Whether a word may end here.
fn ends(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b' ' | b'\t'..=b'\r'))
}

/// Adds to `word` what stands between double quotes; gives what follows them.
fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |b: &u8| char::from(*b).to_digit(16).unwrap_or(0);
                let value = digit(high).saturating_mul(16).saturating_add(digit(low));
                word.push(u8::try_from(value).unwrap_or(0));
                after
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        };
    }
}

/// Adds to `word` what stands between single quotes; gives what follows them.
fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'\'', after @ ..] => return Some(after),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        };
    }
}
