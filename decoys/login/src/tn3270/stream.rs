//! The 3270 data stream (IBM GA23-0059): screens out, keys and fields in.

use super::ebcdic;

/// Most fields taken from one key press.
const MAX_FIELDS: usize = 64;

/// Erase/Write, in the form of SNA terminals (GA23-0059, chapter 3).
const ERASE_WRITE: u8 = 0xf5;
/// The same, with the larger screen of the terminal's model.
const ERASE_WRITE_ALTERNATE: u8 = 0x7e;
/// Write control character: restore the keyboard, nothing is modified.
const WCC: u8 = 0xc3;
/// Orders (chapter 4).
const SET_BUFFER_ADDRESS: u8 = 0x11;
const START_FIELD: u8 = 0x1d;
const INSERT_CURSOR: u8 = 0x13;

/// Field attributes (chapter 4.4.1).
pub(super) const PROTECTED: u8 = 0x20;
pub(super) const NUMERIC: u8 = 0x10;
pub(super) const BRIGHT: u8 = 0x08;
pub(super) const HIDDEN: u8 = 0x0c;

/// Six bits as a graphic character (appendix D, "buffer addresses and attributes").
#[rustfmt::skip]
const GRAPHIC: [u8; 64] = [
    0x40, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f,
    0x50, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f,
    0x60, 0x61, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
    0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0x7a, 0x7b, 0x7c, 0x7d, 0x7e, 0x7f,
];

/// How large a screen is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: u16,
    /// Whether this is the model's own size and not 24 by 80.
    pub(super) alternate: bool,
}

impl Size {
    pub(super) const USUAL: Self = Self {
        columns: 80,
        alternate: false,
    };

    /// By the terminal's type (RFC 2355 section 7.1): models 2 to 5.
    pub(super) fn of_type(name: &str) -> Self {
        let model = name
            .strip_prefix("IBM-3278-")
            .or_else(|| name.strip_prefix("IBM-3279-"))
            .and_then(|rest| rest.bytes().next());
        Self {
            columns: if model == Some(b'5') { 132 } else { 80 },
            alternate: matches!(model, Some(b'3'..=b'5')),
        }
    }

    fn address(self, row: u16, column: u16) -> u16 {
        row.saturating_mul(self.columns).saturating_add(column)
    }
}

/// A screen under construction.
pub(super) struct Screen {
    size: Size,
    bytes: Vec<u8>,
}

impl Screen {
    /// An empty one.
    pub(super) fn new(size: Size) -> Self {
        let command = if size.alternate {
            ERASE_WRITE_ALTERNATE
        } else {
            ERASE_WRITE
        };
        Self {
            size,
            bytes: vec![command, WCC],
        }
    }

    /// A field: its attribute stands at `row` and `column` (from 0), its text behind it.
    pub(super) fn field(&mut self, row: u16, column: u16, attribute: u8, text: &str) -> &mut Self {
        self.bytes.push(SET_BUFFER_ADDRESS);
        self.bytes.extend(address(self.size.address(row, column)));
        self.bytes.extend([START_FIELD, graphic(attribute.into())]);
        self.bytes.extend(ebcdic::encode(text));
        self
    }

    /// The cursor, at the place behind what was written last.
    pub(super) fn cursor(&mut self) -> &mut Self {
        self.bytes.push(INSERT_CURSOR);
        self
    }

    /// The data stream.
    pub(super) fn done(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

fn graphic(six: u16) -> u8 {
    GRAPHIC
        .get(usize::from(six & 0x3f))
        .copied()
        .unwrap_or(0x40)
}

/// A buffer address of 12 bits, which reach beyond 27 by 132.
fn address(address: u16) -> [u8; 2] {
    [graphic(address >> 6), graphic(address)]
}

/// Which key was pressed (chapter 3, "attention identifiers").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Enter,
    Clear,
    /// Program attention 1 to 3.
    Attention(u8),
    /// Program function 1 to 24.
    Function(u8),
    /// A light pen, a structured field or something else that no panel asks for.
    Other,
}

impl Key {
    fn of_code(code: u8) -> Self {
        match code {
            0x7d => Self::Enter,
            0x6d => Self::Clear,
            0x6c => Self::Attention(1),
            0x6e => Self::Attention(2),
            0x6b => Self::Attention(3),
            0xf1..=0xf9 => Self::Function(code & 0x0f),
            0x7a..=0x7c => Self::Function(code.wrapping_sub(0x70)),
            0xc1..=0xc9 => Self::Function((code & 0x0f).saturating_add(12)),
            0x4a..=0x4c => Self::Function(code.wrapping_sub(0x4a).saturating_add(22)),
            _ => Self::Other,
        }
    }
}

/// A key press with the fields that were typed into.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Press {
    pub(super) key: Key,
    /// Address behind the field's attribute, and its text.
    fields: Vec<(u16, String)>,
}

impl Press {
    /// Reads an inbound record; nothing where it's empty.
    pub(super) fn parse(record: &[u8]) -> Option<Self> {
        let (code, rest) = record.split_first()?;
        let key = Key::of_code(*code);
        // A short read has no cursor address and no fields.
        let rest = match key {
            Key::Clear | Key::Attention(_) | Key::Other => &[],
            _ => rest.get(2..).unwrap_or_default(),
        };
        let mut fields = Vec::new();
        let mut pieces = Pieces(rest);
        while let Some((at, data)) = pieces.next_piece()
            && fields.len() < MAX_FIELDS
        {
            fields.push((at, ebcdic::decode(data)));
        }
        Some(Self { key, fields })
    }

    /// What was typed into the field whose attribute stands at `row` and `column`.
    pub(super) fn field(&self, size: Size, row: u16, column: u16) -> Option<&str> {
        let at = size.address(row, column).saturating_add(1);
        let field = self.fields.iter().find(|(address, _)| *address == at);
        field.map(|(_, text)| text.as_str())
    }

    /// What was typed at all: of a screen with one field.
    pub(super) fn typed(&self) -> &str {
        self.fields.first().map_or("", |(_, text)| text)
    }
}

/// An inbound stream's fields; data before the first address is of an unformatted screen.
struct Pieces<'a>(&'a [u8]);

impl<'a> Pieces<'a> {
    fn next_piece(&mut self) -> Option<(u16, &'a [u8])> {
        let (at, rest) = match self.0 {
            [] => return None,
            [SET_BUFFER_ADDRESS, high, low, rest @ ..] => (unpack(*high, *low), rest),
            [SET_BUFFER_ADDRESS, ..] => return None,
            rest => (0, rest),
        };
        let end = rest.iter().position(|byte| *byte == SET_BUFFER_ADDRESS);
        let (data, rest) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        self.0 = rest;
        Some((at, data))
    }
}

/// An address of 14 bits where the two highest are zero, else of 12.
fn unpack(high: u8, low: u8) -> u16 {
    let (high, low) = (u16::from(high), u16::from(low));
    if high & 0xc0 == 0 {
        (high << 8) | low
    } else {
        ((high & 0x3f) << 6) | (low & 0x3f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_orders_and_text() {
        let mut screen = Screen::new(Size::USUAL);
        screen
            .field(0, 0, PROTECTED, "A")
            .field(23, 79, HIDDEN, "")
            .cursor();
        let wanted = [
            0xf5, 0xc3, 0x11, 0x40, 0x40, 0x1d, 0x60, 0xc1, 0x11, 0x5d, 0x7f, 0x1d, 0x4c, 0x13,
        ];
        assert_eq!(screen.done(), wanted);
        let large = Size::of_type("IBM-3278-5-E");
        assert_eq!(Screen::new(large).done(), [0x7e, 0xc3]);
        assert_eq!(large.address(26, 131), 3563);
    }

    #[test]
    fn models_have_their_sizes() {
        for (name, columns, alternate) in [
            ("IBM-3278-2", 80, false),
            ("IBM-3279-2-E", 80, false),
            ("IBM-3279-3-E", 80, true),
            ("IBM-3278-4-E", 80, true),
            ("IBM-3278-5", 132, true),
            ("IBM-DYNAMIC", 80, false),
        ] {
            assert_eq!(Size::of_type(name), Size { columns, alternate }, "{name}");
        }
    }

    #[test]
    fn keys_have_their_codes() {
        for (code, key) in [
            (0x7d, Key::Enter),
            (0x6d, Key::Clear),
            (0x6c, Key::Attention(1)),
            (0x6e, Key::Attention(2)),
            (0x6b, Key::Attention(3)),
            (0xf1, Key::Function(1)),
            (0xf9, Key::Function(9)),
            (0x7a, Key::Function(10)),
            (0x7c, Key::Function(12)),
            (0xc1, Key::Function(13)),
            (0xc9, Key::Function(21)),
            (0x4a, Key::Function(22)),
            (0x4c, Key::Function(24)),
            (0x7e, Key::Other),
        ] {
            assert_eq!(Key::of_code(code), key, "{code:02x}");
        }
    }

    #[test]
    fn fields_come_at_addresses_of_both_widths() {
        // Row 7, column 19: 579.
        for at in [[0xc9, 0xc3], [0x02, 0x43], [0x49, 0x43]] {
            let mut record = vec![0x7d, 0x40, 0x40, 0x11];
            record.extend(at);
            record.extend([0xe2, 0, 0xe8, 0x11, 0x40, 0xc1]);
            let press = Press::parse(&record).unwrap();
            assert_eq!(press.key, Key::Enter);
            assert_eq!(press.field(Size::USUAL, 7, 18), Some("SY"), "{at:02x?}");
            assert_eq!(press.field(Size::USUAL, 0, 0), Some(""));
            assert_eq!(press.field(Size::USUAL, 0, 1), None);
        }
        let press = Press::parse(&[0x7d, 0x40, 0x40, 0xe3]).unwrap();
        assert_eq!(press.typed(), "T");
        assert_eq!(Press::parse(&[0x6c, 1, 2, 3]).unwrap().typed(), "");
        assert_eq!(Press::parse(&[0x7d, 0, 0, 0x11, 0x40]).unwrap().typed(), "");
        assert_eq!(Press::parse(&[]), None);
    }

    #[test]
    fn fields_are_bounded() {
        let mut record = vec![0x7d, 0x40, 0x40];
        record.extend([0x11, 0x40, 0x40].repeat(1_000));
        assert_eq!(Press::parse(&record).unwrap().fields.len(), MAX_FIELDS);
    }
}
