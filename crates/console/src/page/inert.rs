//! Captured text for the server-rendered pages: characters that cannot be seen are named. Markup
//! is the templates' business, which escape everything.

/// Longest captured text in a server-rendered page, in characters; the modules show all.
const MAX_SHOWN: usize = 400;

/// `text` with characters that cannot be seen as `[U+202E]`, cut at [`MAX_SHOWN`].
pub fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_SHOWN.saturating_mul(4)));
    for (count, c) in text.chars().enumerate() {
        if count == MAX_SHOWN {
            out.push('…');
            break;
        }
        if unseen(c) {
            out.push_str(&format!("[U+{:04X}]", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Controls, soft hyphen, joiners, bidirectional controls, blank fillers, variation selectors, tags.
fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'
            | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}'
            | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{ffff}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_named() {
        assert_eq!(
            inert("a\u{202e}b\n\u{0}c d é"),
            "a[U+202E]b[U+000A][U+0000]c d é"
        );
        assert_eq!(inert(&"x".repeat(5000)).chars().count(), MAX_SHOWN + 1);
    }
}
