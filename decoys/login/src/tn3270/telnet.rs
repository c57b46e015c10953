//! The Telnet layer (RFC 854, RFC 855) with records (RFC 885), which are binary.

/// Longest record and subnegotiation kept, in bytes; what comes beyond is dropped.
const MAX_RECORD: usize = 8 * 1024;
const MAX_SUBNEGOTIATION: usize = 256;

pub(super) const IAC: u8 = 255;
pub(super) const DONT: u8 = 254;
pub(super) const DO: u8 = 253;
pub(super) const WONT: u8 = 252;
pub(super) const WILL: u8 = 251;
pub(super) const SB: u8 = 250;
/// Abort output: the key SysReq (RFC 2355 section 10.5).
const AO: u8 = 245;
/// Interrupt process: the key Attn (RFC 2355 section 10.5).
const IP: u8 = 244;
const BREAK: u8 = 243;
pub(super) const SE: u8 = 240;
pub(super) const EOR: u8 = 239;

/// What the peer said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A whole record.
    Record(Vec<u8>),
    /// A verb (`DO`, `DONT`, `WILL`, `WONT`) and its option.
    Option(u8, u8),
    /// A subnegotiation, its option first.
    Parameters(Vec<u8>),
    SystemRequest,
    Attention,
}

#[derive(Default)]
enum State {
    #[default]
    Data,
    Command,
    Verb(u8),
    Parameters,
    /// After IAC inside a subnegotiation.
    ParametersCommand,
}

/// Takes bytes apart.
#[derive(Default)]
pub(super) struct Decoder {
    state: State,
    record: Vec<u8>,
    parameters: Vec<u8>,
}

impl Decoder {
    /// The item that `byte` completes, if any.
    pub(super) fn push(&mut self, byte: u8) -> Option<Item> {
        let (state, item) = match (std::mem::take(&mut self.state), byte) {
            (State::Data, IAC) => (State::Command, None),
            (State::Data, _) | (State::Command, IAC) => {
                keep(&mut self.record, byte, MAX_RECORD);
                (State::Data, None)
            }
            (State::Command, WILL..=DONT) => (State::Verb(byte), None),
            (State::Command, SB) => {
                self.parameters.clear();
                (State::Parameters, None)
            }
            (State::Command, EOR) => {
                let record = std::mem::take(&mut self.record);
                (State::Data, Some(Item::Record(record)))
            }
            (State::Command, AO) => (State::Data, Some(Item::SystemRequest)),
            (State::Command, IP | BREAK) => (State::Data, Some(Item::Attention)),
            (State::Command, _) => (State::Data, None),
            (State::Verb(verb), _) => (State::Data, Some(Item::Option(verb, byte))),
            (State::Parameters, IAC) => (State::ParametersCommand, None),
            (State::Parameters, _) | (State::ParametersCommand, IAC) => {
                keep(&mut self.parameters, byte, MAX_SUBNEGOTIATION);
                (State::Parameters, None)
            }
            (State::ParametersCommand, _) => {
                let parameters = std::mem::take(&mut self.parameters);
                (State::Data, Some(Item::Parameters(parameters)))
            }
        };
        self.state = state;
        item
    }
}

fn keep(kept: &mut Vec<u8>, byte: u8, most: usize) {
    if kept.len() < most {
        kept.push(byte);
    }
}

/// `data` as a record.
pub(super) fn record(data: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(data.len().saturating_add(2));
    for byte in data {
        record.push(*byte);
        if *byte == IAC {
            record.push(IAC);
        }
    }
    record.extend([IAC, EOR]);
    record
}

/// A subnegotiation; `body` begins with its option and has no IAC.
pub(super) fn subnegotiation(body: &[u8]) -> Vec<u8> {
    [&[IAC, SB], body, &[IAC, SE]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(bytes: &[u8]) -> Vec<Item> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|b| decoder.push(*b)).collect()
    }

    #[test]
    fn records_options_and_keys_are_told_apart() {
        let bytes = b"ab\xff\xffc\xff\xfb\x18\xff\xef\xff\xfa\x28\x02\xff\xff\xff\xf0\xff\xf5\xff\xf4\xff\xf3\xff\xf1";
        let wanted = [
            Item::Option(WILL, 24),
            Item::Record(b"ab\xffc".to_vec()),
            Item::Parameters(vec![0x28, 2, 0xff]),
            Item::SystemRequest,
            Item::Attention,
            Item::Attention,
        ];
        assert_eq!(items(bytes), wanted);
        assert_eq!(record(b"a\xff"), b"a\xff\xff\xff\xef");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut bytes = vec![b'x'; 3 * MAX_RECORD];
        bytes.extend([IAC, SB]);
        bytes.extend([b'x'; 5_000]);
        bytes.extend([IAC, SE, IAC, EOR]);
        let [Item::Parameters(parameters), Item::Record(record)] = &items(&bytes)[..] else {
            panic!("not two");
        };
        assert_eq!(
            (parameters.len(), record.len()),
            (MAX_SUBNEGOTIATION, MAX_RECORD)
        );
    }
}
