//! The few shapes of DER (X.690) that certificates and signatures are made of. Writing only.

use coalmine_core::Timestamp;
use data_encoding::BASE64;

use super::prose::civil;

/// A value of this tag.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut out = vec![tag];
    if len < 0x80 {
        out.push(u8::try_from(len).unwrap_or(0));
    } else {
        let bytes = len.to_be_bytes();
        let used = bytes.iter().skip_while(|b| **b == 0);
        out.push(0x80 | u8::try_from(used.clone().count()).unwrap_or(0));
        out.extend(used);
    }
    out.extend_from_slice(content);
    out
}

/// SEQUENCE
pub fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// SET OF, in the order that DER demands.
pub fn set(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    tlv(0x31, &parts.concat())
}

/// A constructed value of context tag `n`.
pub fn context(n: u8, content: &[u8]) -> Vec<u8> {
    tlv(0xa0 | n, content)
}

/// A primitive value of context tag `n`.
pub fn implicit(n: u8, content: &[u8]) -> Vec<u8> {
    tlv(0x80 | n, content)
}

/// INTEGER from its bytes, not negative.
pub fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    let mut content = bytes.get(zeros..).unwrap_or_default().to_vec();
    if content.first().is_none_or(|b| *b >= 0x80) {
        content.insert(0, 0);
    }
    tlv(2, &content)
}

/// OBJECT IDENTIFIER from its dotted form.
pub fn oid(dotted: &str) -> Vec<u8> {
    let mut arcs = dotted.split('.').filter_map(|arc| arc.parse::<u32>().ok());
    let (first, second) = (arcs.next().unwrap_or(0), arcs.next().unwrap_or(0));
    let mut content = Vec::new();
    for arc in std::iter::once(first.saturating_mul(40).saturating_add(second)).chain(arcs) {
        let groups = (32 - arc.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let bits = u8::try_from(arc >> (7 * group) & 0x7f).unwrap_or(0);
            content.push(if group == 0 { bits } else { bits | 0x80 });
        }
    }
    tlv(6, &content)
}

/// OCTET STRING
pub fn octets(bytes: &[u8]) -> Vec<u8> {
    tlv(4, bytes)
}

/// BIT STRING without its last `unused` bits.
pub fn bits(unused: u8, bytes: &[u8]) -> Vec<u8> {
    tlv(3, &[&[unused], bytes].concat())
}

/// UTF8String
pub fn utf8(text: &str) -> Vec<u8> {
    tlv(12, text.as_bytes())
}

/// PrintableString
pub fn printable(text: &str) -> Vec<u8> {
    tlv(19, text.as_bytes())
}

/// UTCTime until 2049, GeneralizedTime from then on (RFC 5280 section 4.1.2.5).
pub fn time(at: Timestamp) -> Vec<u8> {
    if civil(at).year() > 2049 {
        return tlv(
            24,
            format!("{}Z", civil(at).strftime("%Y%m%d%H%M%S")).as_bytes(),
        );
    }
    tlv(
        23,
        format!("{}Z", civil(at).strftime("%y%m%d%H%M%S")).as_bytes(),
    )
}

/// BOOLEAN TRUE
pub fn truth() -> Vec<u8> {
    tlv(1, &[0xff])
}

/// NULL
pub fn null() -> Vec<u8> {
    tlv(5, &[])
}

/// RFC 7468.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut lines = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        lines.push_str(line);
        lines.push('\n');
        rest = after;
    }
    lines + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_x690_says() {
        assert_eq!(
            oid("1.2.840.113549.1.7.2"),
            [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2]
        );
        assert_eq!(integer(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[]), [2, 1, 0]);
        assert_eq!(
            time(Timestamp::from_secs(0)),
            [b"\x17\x0d".as_slice(), b"700101000000Z"].concat()
        );
        assert_eq!(
            time(Timestamp::from_secs(2_524_608_000)),
            [b"\x18\x0f".as_slice(), b"20500101000000Z"].concat()
        );
        assert_eq!(tlv(4, &[7; 200])[..3], [4, 0x81, 200]);
        assert_eq!(tlv(4, &[7; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(
            set(vec![vec![2, 1, 9], vec![2, 1, 3]]),
            [0x31, 6, 2, 1, 3, 2, 1, 9]
        );
    }
}
