//! Filters of searches (RFC 4511 section 4.5.1.7): their text (RFC 4515), and whether an entry
//! matches, in the three values of X.511.

use coalmine_core::text::MAX_FIELD;
use coalmine_wire::Malformed;
use coalmine_wire::ber::{OCTET_STRING, Reader, SEQUENCE};

/// Deepest filter, as slapd reads it.
const MAX_DEPTH: usize = 1_000;

/// What an entry says to one assertion; `None` where it can't be said.
pub(super) trait Entry {
    fn has(&self, attribute: &[u8]) -> Option<bool>;
    fn equals(&self, attribute: &[u8], value: &[u8]) -> Option<bool>;
}

/// A filter that was read.
pub(super) struct Filter {
    /// As RFC 4515 writes it; the end is cut off where it's longer than an event's field.
    pub text: String,
    /// Whether the entry matches.
    pub matches: Option<bool>,
}

/// Why a filter can't be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadFilter {
    Malformed,
    TooDeep,
}

impl From<Malformed> for BadFilter {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Reads the filter at the front of `reader` and holds `entry` to it.
pub(super) fn read(reader: &mut Reader, entry: &dyn Entry) -> Result<Filter, BadFilter> {
    let mut text = String::new();
    let matches = item(reader, entry, 0, &mut text)?;
    if text.len() > MAX_FIELD {
        text.truncate(text.floor_char_boundary(MAX_FIELD));
    }
    Ok(Filter { text, matches })
}

fn item(
    reader: &mut Reader,
    entry: &dyn Entry,
    depth: usize,
    text: &mut String,
) -> Result<Option<bool>, BadFilter> {
    if depth > MAX_DEPTH {
        return Err(BadFilter::TooDeep);
    }
    let (tag, contents) = reader.any()?;
    let mut inside = Reader::new(contents);
    let deeper = depth.saturating_add(1);
    put(text, b"(");
    let matches = match tag {
        0xa0 | 0xa1 => {
            // "and" of nothing is true, "or" of nothing is false (RFC 4526).
            let decides = tag == 0xa1;
            put(text, if decides { b"|" } else { b"&" });
            let mut all = Some(!decides);
            while !inside.is_empty() {
                let one = item(&mut inside, entry, deeper, text)?;
                if one == Some(decides) || all == Some(decides) {
                    all = Some(decides);
                } else if one.is_none() {
                    all = None;
                }
            }
            all
        }
        0xa2 => {
            put(text, b"!");
            item(&mut inside, entry, deeper, text)?.map(|b| !b)
        }
        0xa3 | 0xa5 | 0xa6 | 0xa8 => {
            let (_, attribute) = inside.any()?;
            let (_, value) = inside.any()?;
            put(text, attribute);
            let sign: &[u8] = match tag {
                0xa5 => b">=",
                0xa6 => b"<=",
                0xa8 => b"~=",
                _ => b"=",
            };
            put(text, sign);
            escape(text, value);
            match tag {
                0xa3 | 0xa8 => entry.equals(attribute, value),
                // Nothing that is shown here has an order.
                _ => None,
            }
        }
        0xa4 => {
            put(text, inside.take(OCTET_STRING)?);
            put(text, b"=");
            substrings(inside.reader(SEQUENCE)?, text)?;
            // Nothing that is shown here is matched in pieces.
            None
        }
        0x87 => {
            put(text, contents);
            put(text, b"=*");
            entry.has(contents)
        }
        0xa9 => extensible(inside, entry, text)?,
        _ => {
            put(text, b"?=undefined");
            None
        }
    };
    put(text, b")");
    Ok(matches)
}

fn substrings(mut pieces: Reader, text: &mut String) -> Result<(), BadFilter> {
    let mut starred = false;
    while !pieces.is_empty() {
        let (place, piece) = pieces.any()?;
        if place != 0x80 && !starred {
            put(text, b"*");
        }
        escape(text, piece);
        starred = place != 0x82;
        if starred {
            put(text, b"*");
        }
    }
    Ok(())
}

fn extensible(
    mut inside: Reader,
    entry: &dyn Entry,
    text: &mut String,
) -> Result<Option<bool>, BadFilter> {
    let rule = inside.optional(0x81)?;
    let attribute = inside.optional(0x82)?;
    let value = inside.take(0x83)?;
    let of_name = inside.optional(0x84)?;
    put(text, attribute.unwrap_or_default());
    if of_name.is_some_and(|b| b.first().is_some_and(|b| *b != 0)) {
        put(text, b":dn");
    }
    if let Some(rule) = rule {
        put(text, b":");
        put(text, rule);
    }
    put(text, b":=");
    escape(text, value);
    Ok(match (rule, attribute) {
        (None, Some(attribute)) => entry.equals(attribute, value),
        _ => None,
    })
}

/// Adds `bytes`, as long as the text isn't full.
fn put(text: &mut String, bytes: &[u8]) {
    if text.len() <= MAX_FIELD {
        text.push_str(&coalmine_core::text::printable(bytes));
    }
}

/// The same for a value, whose special characters are written in hex (RFC 4515 section 3).
fn escape(text: &mut String, value: &[u8]) {
    for chunk in value.utf8_chunks() {
        if text.len() > MAX_FIELD {
            return;
        }
        for letter in chunk.valid().chars() {
            match letter {
                '*' | '(' | ')' | '\\' | '\0' => {
                    text.push_str(&format!("\\{:02x}", u32::from(letter)));
                }
                letter => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\{byte:02x}"));
        }
    }
}
