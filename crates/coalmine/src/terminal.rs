//! What people read: lines on standard output, problems on standard error, colour where it shows.

use std::io::{IsTerminal, Write};
use std::process;

/// Prints `text` and ends the line. A reader that has gone away ends the program, as in `| head`.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        process::exit(0);
    }
}

/// Prints what went wrong.
pub fn problem(text: &str) {
    // Nobody is left to tell when standard error fails.
    let _ = writeln!(std::io::stderr().lock(), "coalmine: {text}");
}

/// Colours, or none where nobody sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colours(bool);

impl Colours {
    /// As standard output and `NO_COLOR` (no-color.org) want it.
    pub fn of_output() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(std::io::stdout().is_terminal() && !refused)
    }

    /// Without any.
    pub const fn none() -> Self {
        Self(false)
    }

    /// What matters most.
    pub fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What went well.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// What needs a look.
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// What may be skipped.
    pub fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// `text` without control characters: attackers choose what's shown, so none of it may steer a
/// terminal.
pub fn safe(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            // Bidirectional overrides reorder the rest of the line (Unicode TR 36, section 2.10).
            let steers =
                c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let escaped = steers.then(|| c.escape_unicode());
            let plain = (!steers).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_captured_can_steer_the_terminal() {
        assert_eq!(safe("root\x1b[2J\u{202e}é"), "root\\u{1b}[2J\\u{202e}é");
    }

    #[test]
    fn without_a_terminal_there_is_no_colour() {
        assert_eq!(Colours::none().bad("x"), "x");
        assert_eq!(Colours(true).bad("x"), "\x1b[31mx\x1b[0m");
    }
}
