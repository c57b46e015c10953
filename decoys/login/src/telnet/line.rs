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
    /// Ctrl-C, or Ctrl-D on an empty line: the program ends.
    Quit,
}

/// A line being typed.
#[derive(Debug, Default)]
pub struct Line(Vec<u8>);

impl Line {
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
        match byte {
            b'\n' => {
                echo.extend(b"\r\n");
                return Key::Line(std::mem::take(&mut self.0));
            }
            // Ctrl-C
            3 => {
                echo.extend(b"^C");
                return Key::Quit;
            }
            // Ctrl-D
            4 if self.0.is_empty() => return Key::Quit,
            4 => return Key::Line(std::mem::take(&mut self.0)),
            // Flow control
            0x11 | 0x13 => {}
            // Ctrl-R shows the line again.
            0x12 => {
                echo.extend(b"^R\r\n");
                for byte in &self.0 {
                    show(*byte, echo);
                }
            }
            // Ctrl-U
            0x15 => while self.erase(echo).is_some() {},
            // Ctrl-W: blanks, then a word
            0x17 => {
                while self.0.last().is_some_and(|b| !is_word(*b)) {
                    self.erase(echo);
                }
                while self.0.last().is_some_and(|b| is_word(*b)) {
                    self.erase(echo);
                }
            }
            // Delete, the terminal's erase key
            0x7f => {
                self.erase(echo);
            }
            _ if self.0.len() >= MAX_LINE => {}
            _ => {
                self.0.push(byte);
                show(byte, echo);
            }
        }
        Key::Edit
    }

    /// Takes the last byte back, on the screen too.
    fn erase(&mut self, echo: &mut Vec<u8>) -> Option<u8> {
        let byte = self.0.pop()?;
        let mut shown = Vec::new();
        show(byte, &mut shown);
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
        assert_eq!(typed(b"u\x03"), ("u^C".to_owned(), Key::Quit));
        assert_eq!(typed(b"\x04"), (String::new(), Key::Quit));
        assert_eq!(
            typed(b"ab\x04"),
            ("ab".to_owned(), Key::Line(b"ab".to_vec()))
        );
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
