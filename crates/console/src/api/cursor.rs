//! Cursors: base64 of integers with colons between them; opaque for clients.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Longest cursor read, in characters.
const MAX_CURSOR: usize = 256;

/// Writes a cursor.
pub fn encode(fields: &[i64]) -> String {
    let text: Vec<String> = fields.iter().map(i64::to_string).collect();
    STANDARD.encode(text.join(":"))
}

/// Reads a cursor of `N` fields.
pub fn decode<const N: usize>(text: &str) -> Option<[i64; N]> {
    if text.len() > MAX_CURSOR {
        return None;
    }
    // Clients that build URLs by hand send the padding's `=` and `+` as they like.
    let bytes = STANDARD.decode(text.replace(' ', "+")).ok()?;
    let fields: Vec<i64> = std::str::from_utf8(&bytes)
        .ok()?
        .split(':')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    fields.try_into().ok()
}

/// The cursor object: two cursors, each with a link that works alone.
pub fn object(next: Option<&str>, prev: Option<&str>, link: impl Fn(&str) -> String) -> Value {
    json!({
        "next": next,
        "next_link": next.map(&link),
        "prev": prev,
        "prev_link": prev.map(&link),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_nonsense_is_refused() {
        let cursor = encode(&[153, 147, 160, 5, 0, 0, 2, 2]);
        assert_eq!(cursor, "MTUzOjE0NzoxNjA6NTowOjA6Mjoy");
        assert_eq!(decode(&cursor), Some([153, 147, 160, 5, 0, 0, 2, 2]));
        assert_eq!(decode::<3>(&cursor), None);
        for bad in ["", "next", "!!!", "MTphOjM=", &"A".repeat(300)] {
            assert_eq!(decode::<8>(bad), None, "{bad}");
        }
    }
}
