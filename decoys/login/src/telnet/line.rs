//! Line editing and echo as a Unix terminal does them in its cooked mode.

/// Longest line, in bytes; what is typed beyond is dropped, as the Linux terminal does.
pub const MAX_LINE: usize = 4095;

/// What a key leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Key {
    /// More keys.
    Edit,
    /// A whole line, with or without its end typed.
    Line(Vec<u8>),
    /// A line that Ctrl-D completed: its newline isn't shown yet.
    Unended(Vec<u8>),
    /// Ctrl-D on an empty line.
    End,
    /// A key that interrupts, aborts or suspends (its byte): the line is gone.
    Signal(u8),
}

/// A line being typed.
#[derive(Debug, Default)]
pub struct Line {
    /// As they came; only the terminal's view of them is narrowed.
    bytes: Vec<u8>,
    /// Characters have seven bits.
    narrow: bool,
    /// The next key stands for itself.
    literal: bool,
}

impl Line {
    /// A line of a terminal whose characters have seven bits, as telnetd sets it up for clients
    /// that didn't agree to binary transmission.
    pub fn narrow() -> Self {
        Self {
            narrow: true,
            ..Self::default()
        }
    }

    /// A key. What the terminal shows goes to `echo`; nothing does where `shown` is false.
    pub fn key(&mut self, byte: u8, shown: bool, echo: &mut Vec<u8>) -> Key {
        let mut seen = Vec::new();
        let key = self.press(byte, &mut seen);
        if shown {
            echo.extend(seen);
        }
        key
    }

    fn press(&mut self, byte: u8, echo: &mut Vec<u8>) -> Key {
        let seen = self.seen(byte);
        match seen {
            _ if self.literal => {
                self.literal = false;
                self.add(byte, echo);
            }
            b'\n' | b'\r' => {
                echo.extend(b"\r\n");
                return Key::Line(std::mem::take(&mut self.bytes));
            }
            // Ctrl-C, Ctrl-Z, Ctrl-\
            3 | 0x1a | 0x1c => {
                self.bytes.clear();
                show(seen, echo);
                return Key::Signal(seen);
            }
            // Ctrl-D
            4 if self.bytes.is_empty() => return Key::End,
            4 => return Key::Unended(std::mem::take(&mut self.bytes)),
            // Flow control
            0x11 | 0x13 => {}
            // Ctrl-R shows the line again.
            0x12 => {
                echo.extend(b"^R\r\n");
                for byte in &self.bytes {
                    show(self.seen(*byte), echo);
                }
            }
            // Ctrl-U
            0x15 => while self.erase(echo).is_some() {},
            // Ctrl-V
            0x16 => {
                self.literal = true;
                echo.extend(b"^\x08");
            }
            // Ctrl-W: blanks, then a word
            0x17 => {
                while self.bytes.last().is_some_and(|b| !is_word(*b)) {
                    self.erase(echo);
                }
                while self.bytes.last().is_some_and(|b| is_word(*b)) {
                    self.erase(echo);
                }
            }
            // Delete, the terminal's erase key
            0x7f => {
                self.erase(echo);
            }
            _ => self.add(byte, echo),
        }
        Key::Edit
    }

    fn add(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if self.bytes.len() < MAX_LINE {
            self.bytes.push(byte);
            show(self.seen(byte), echo);
        }
    }

    /// The character that the terminal takes `byte` for.
    fn seen(&self, byte: u8) -> u8 {
        if self.narrow { byte & 0x7f } else { byte }
    }

    /// Takes the last byte back, on the screen too.
    fn erase(&mut self, echo: &mut Vec<u8>) -> Option<u8> {
        let byte = self.bytes.pop()?;
        let mut shown = Vec::new();
        show(self.seen(byte), &mut shown);
        for _ in shown {
            echo.extend(b"\x08 \x08");
        }
        Some(byte)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Shows a byte; control characters as `^A`.
fn show(byte: u8, echo: &mut Vec<u8>) {
    match byte {
        b'\t' | b' '..=0x7e | 0x80.. => echo.push(byte),
        0..=0x1f => echo.extend([b'^', byte | 0x40]),
        0x7f => echo.extend(b"^?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The echo of `keys` and the last key's effect.
    fn typed(keys: &[u8]) -> (String, Key) {
        let mut line = Line::default();
        let mut echo = Vec::new();
        let mut last = Key::Edit;
        for key in keys {
            last = line.key(*key, true, &mut echo);
        }
        (String::from_utf8(echo).unwrap(), last)
    }

    /// Every case was held against login(1) on a Linux terminal.
    #[test]
    fn editing_looks_as_on_a_linux_terminal() {
        let (echo, key) = typed(b" x\x7fab\x15cd\n");
        assert_eq!(echo, " x\x08 \x08ab\x08 \x08\x08 \x08\x08 \x08cd\r\n");
        assert_eq!(key, Key::Line(b"cd".to_vec()));
        let (echo, key) = typed(b"abc\x17d\x12e\x7f\x7f\x7f\x7f\x7f\n");
        assert_eq!(
            echo,
            "abc\x08 \x08\x08 \x08\x08 \x08d^R\r\nde\x08 \x08\x08 \x08\r\n"
        );
        assert_eq!(key, Key::Line(Vec::new()));
        let (echo, _) = typed(b"x\x1b[Ay\tz\x01");
        assert_eq!(echo, "x^[[Ay\tz^A");
        assert_eq!(typed(b"u\x03"), ("u^C".to_owned(), Key::Signal(3)));
        assert_eq!(typed(b"u\x1c"), ("u^\\".to_owned(), Key::Signal(0x1c)));
        assert_eq!(typed(b"\x04"), (String::new(), Key::End));
        assert_eq!(
            typed(b"ab\x04"),
            ("ab".to_owned(), Key::Unended(b"ab".to_vec()))
        );
        let (echo, key) = typed(b"\x16\x7fx\x7f\x7f\x7f\n");
        assert_eq!(echo, "^\x08^?x\x08 \x08\x08 \x08\x08 \x08\r\n");
        assert_eq!(key, Key::Line(Vec::new()));
    }

    #[test]
    fn a_narrow_terminal_sees_seven_bits_and_nothing_is_lost() {
        let mut line = Line::narrow();
        let mut echo = Vec::new();
        for byte in b"a\xffb\xc3\xa9" {
            line.key(*byte, true, &mut echo);
        }
        assert_eq!(echo, b"a\x08 \x08bC)");
        let key = line.key(b'\n', true, &mut echo);
        assert_eq!(key, Key::Line(b"b\xc3\xa9".to_vec()));
    }

    #[test]
    fn hidden_lines_and_long_lines() {
        let mut line = Line::default();
        let mut echo = Vec::new();
        for _ in 0..MAX_LINE + 10 {
            line.key(b'x', false, &mut echo);
        }
        assert_eq!(
            line.key(b'\n', false, &mut echo),
            Key::Line(vec![b'x'; MAX_LINE])
        );
        assert!(echo.is_empty());
    }
}
