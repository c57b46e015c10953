//! What rides in the labels left of a token, matched from the left in any case. What can't be
//! decoded stands as it was sent.

use coalmine_core::text;
use data_encoding::{BASE32_NOPAD, Encoding};

/// The labels before the first that is `marker`, and those behind it; `None` without one.
pub fn before<'a>(labels: &'a [String], marker: &str) -> Option<(&'a [String], &'a [String])> {
    let at = labels.iter().position(|l| l.eq_ignore_ascii_case(marker))?;
    let (data, rest) = labels.split_at(at);
    Some((data, rest.get(1..).unwrap_or_default()))
}

/// The first label that begins with `letter`, without it.
pub fn lettered(labels: &[String], letter: char) -> Option<&str> {
    labels.iter().find_map(|label| {
        let mut letters = label.chars();
        letters
            .next()
            .is_some_and(|first| first.eq_ignore_ascii_case(&letter))
            .then_some(letters.as_str())
    })
}

/// Base32 (RFC 4648 section 6) in either case, with or without padding. Bits left over in the last
/// character are ignored: senders cut where a label ends.
pub fn decode(label: &str) -> Option<Vec<u8>> {
    lenient()
        .decode(label.trim_end_matches('=').to_ascii_uppercase().as_bytes())
        .ok()
}

/// Base32 as text; as sent where it is not that.
pub fn base32(label: &str) -> String {
    decode(label).map_or_else(|| text::cut(label), |bytes| text::printable(&bytes))
}

/// An address with dashes for its dots or colons, or in base32; as sent where it is neither.
pub fn address(label: &str) -> String {
    let is_address = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
    let candidates = [
        label.replace('-', "."),
        label.replace('-', ":"),
        base32(label),
    ];
    candidates
        .into_iter()
        .find(|text| is_address(text))
        .unwrap_or_else(|| text::cut(label))
}

fn lenient() -> Encoding {
    let mut specification = BASE32_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().unwrap_or(BASE32_NOPAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_decoded_or_stand_as_sent() {
        assert_eq!(base32("nbSWY3DP"), "hello");
        assert_eq!(base32("MZXW6==="), "foo");
        assert_eq!(base32("user-1"), "user-1");
        assert_eq!(base32("777Q"), "\\xff\\xff");
        assert_eq!(address("10-0-0-5"), "10.0.0.5");
        assert_eq!(address("fe80--1"), "fe80::1");
        assert_eq!(address(&BASE32_NOPAD.encode(b"10.0.0.5")), "10.0.0.5");
        assert_eq!(address("none"), "none");
    }

    #[test]
    fn markers_and_letters_match_in_any_case() {
        let labels = ["uAB", "Owin", "mm", "42"].map(str::to_owned);
        let (data, rest) = before(&labels, "MM").unwrap();
        assert_eq!((data, rest), (&labels[..2], &labels[3..]));
        assert_eq!(lettered(data, 'U'), Some("AB"));
        assert_eq!(lettered(data, 'o'), Some("win"));
        assert_eq!(lettered(data, 'i'), None);
        assert_eq!(before(&labels, "INI"), None);
    }
}
