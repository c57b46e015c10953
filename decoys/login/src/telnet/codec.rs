//! The Telnet layer (RFC 854, RFC 855): commands and data out of bytes.

/// Longest subnegotiation kept, in bytes; what comes beyond is dropped.
pub const MAX_SUBNEGOTIATION: usize = 256;

/// Interpret as command.
pub const IAC: u8 = 255;
/// The sender is asked to use an option.
pub const DO: u8 = 253;
/// The sender is asked not to use an option.
pub const DONT: u8 = 254;
/// The sender will use an option.
pub const WILL: u8 = 251;
/// The sender won't use an option.
pub const WONT: u8 = 252;
/// Begin of a subnegotiation.
pub const SB: u8 = 250;
/// The place up to which earlier data counts for nothing.
pub const DM: u8 = 242;
/// Break.
pub const BRK: u8 = 243;
/// Interrupt process.
pub const IP: u8 = 244;
/// Abort output.
pub const AO: u8 = 245;
/// Are you there?
pub const AYT: u8 = 246;
/// Erase character.
pub const EC: u8 = 247;
/// Erase line.
pub const EL: u8 = 248;
/// End of file, suspend and abort (RFC 1184 section 2.5).
pub const EOF: u8 = 236;
/// See [`EOF`].
pub const SUSP: u8 = 237;
/// See [`EOF`].
pub const ABORT: u8 = 238;
/// End of a subnegotiation.
pub const SE: u8 = 240;

/// What the peer said.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A byte of data; the end of a line is one [`b'\n`] however the peer wrote it.
    Data(u8),
    /// A verb (`DO`, `DONT`, `WILL`, `WONT`) and its option.
    Option(u8, u8),
    /// A subnegotiation: option and parameters.
    Parameters(u8, Vec<u8>),
    /// A command without an option, e.g. [`AYT`].
    Command(u8),
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Data,
    /// After a carriage return, whose line feed or NUL says nothing more.
    Return,
    Command,
    Verb(u8),
    Parameters(Vec<u8>),
    /// After IAC inside a subnegotiation.
    ParametersCommand(Vec<u8>),
}

/// Takes bytes apart.
#[derive(Debug, Default)]
pub struct Decoder(State);

impl Decoder {
    /// The item that `byte` completes, if any.
    pub fn push(&mut self, byte: u8) -> Option<Item> {
        let (state, item) = match (std::mem::take(&mut self.0), byte) {
            (State::Return, b'\n' | 0) => (State::Data, None),
            (State::Data | State::Return, IAC) => (State::Command, None),
            (State::Data | State::Return, b'\r') => (State::Return, Some(Item::Data(b'\n'))),
            (State::Data | State::Return, _) => (State::Data, Some(Item::Data(byte))),
            (State::Command, IAC) => (State::Data, Some(Item::Data(IAC))),
            (State::Command, WILL..=DONT) => (State::Verb(byte), None),
            (State::Command, SB) => (State::Parameters(Vec::new()), None),
            (State::Command, _) => (State::Data, Some(Item::Command(byte))),
            (State::Verb(verb), _) => (State::Data, Some(Item::Option(verb, byte))),
            (State::Parameters(kept), IAC) => (State::ParametersCommand(kept), None),
            (State::Parameters(kept), _) => (State::Parameters(with(kept, byte)), None),
            (State::ParametersCommand(kept), IAC) => (State::Parameters(with(kept, byte)), None),
            (State::ParametersCommand(kept), _) => {
                let item = kept
                    .split_first()
                    .map(|(option, rest)| Item::Parameters(*option, rest.to_vec()));
                (State::Data, item)
            }
        };
        self.0 = state;
        item
    }
}

fn with(mut kept: Vec<u8>, byte: u8) -> Vec<u8> {
    if kept.len() < MAX_SUBNEGOTIATION {
        kept.push(byte);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(bytes: &[u8]) -> Vec<Item> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|b| decoder.push(*b)).collect()
    }

    fn data(items: Vec<Item>) -> Vec<u8> {
        items
            .into_iter()
            .map(|i| match i {
                Item::Data(b) => b,
                other => panic!("{other:?} isn't data"),
            })
            .collect()
    }

    #[test]
    fn every_line_end_is_one() {
        for line in ["a\r\nb", "a\r\0b", "a\nb", "a\rb"] {
            assert_eq!(data(items(line.as_bytes())), b"a\nb", "{line:?}");
        }
        assert_eq!(data(items(b"\r\r\n\n")), b"\n\n\n");
    }

    #[test]
    fn commands_are_taken_out_of_the_data() {
        assert_eq!(data(items(b"a\xff\xffb")), b"a\xffb");
        assert_eq!(
            items(b"\xff\xf4a\xff\x01"),
            [Item::Command(IP), Item::Data(b'a'), Item::Command(1)]
        );
        assert_eq!(
            items(b"\xff\xfb\x1f\xff\xfa\x1f\0\x50\xff\xff\x18\xff\xf0"),
            [
                Item::Option(WILL, 31),
                Item::Parameters(31, vec![0, 0x50, 0xff, 0x18])
            ]
        );
        assert_eq!(items(b"\xff\xfa\xff\xf0"), []);
    }

    #[test]
    fn subnegotiations_are_bounded() {
        let mut bytes = vec![IAC, SB, 24];
        bytes.extend([b'x'; 5000]);
        bytes.extend([IAC, SE]);
        let Some(Item::Parameters(24, kept)) = items(&bytes).pop() else {
            panic!("no parameters");
        };
        assert_eq!(kept.len(), MAX_SUBNEGOTIATION - 1);
    }
}
