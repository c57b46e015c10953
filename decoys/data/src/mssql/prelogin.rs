//! PRELOGIN and its answer (MS-TDS 2.2.6.5).

use super::answer;

/// Options in a message; there are ten kinds.
const MAX_OPTIONS: usize = 32;

const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;
const THREAD: u8 = 3;
const MARS: u8 = 4;
const TRACE: u8 = 5;
const TERMINATOR: u8 = 0xff;

/// What two sides agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    /// The first login packet alone.
    Off,
    /// Everything.
    On,
    /// Nothing.
    NotSupported,
}

/// What a client asks for.
pub(super) struct Prelogin<'a> {
    options: Vec<(u8, &'a [u8])>,
    encryption: Encryption,
}

impl<'a> Prelogin<'a> {
    /// None where the real server drops the connection: what doesn't begin with a version, what
    /// points outside of itself, and wishes for encryption that don't exist.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let mut options = Vec::new();
        let mut rest = message;
        loop {
            let (&kind, after) = rest.split_first()?;
            if kind == TERMINATOR {
                break;
            }
            let (place, after) = after.split_first_chunk::<4>()?;
            let [a, b, c, d] = *place;
            let start = usize::from(u16::from_be_bytes([a, b]));
            let length = usize::from(u16::from_be_bytes([c, d]));
            options.push((kind, message.get(start..start.checked_add(length)?)?));
            if options.len() > MAX_OPTIONS {
                return None;
            }
            rest = after;
        }
        let (first, version) = options.first()?;
        if (*first, version.len()) != (VERSION, 6) {
            return None;
        }
        let wish = options.iter().find(|(kind, _)| *kind == ENCRYPTION);
        let encryption = match wish.map(|(_, value)| *value) {
            Some([0x00 | 0x80]) => Encryption::Off,
            Some([0x01 | 0x03 | 0x81 | 0x83]) => Encryption::On,
            Some([0x02]) | None => Encryption::NotSupported,
            Some(_) => return None,
        };
        Some(Self {
            options,
            encryption,
        })
    }

    /// What a server that forces nothing agrees to. Inside TLS there's nothing to agree on.
    pub(super) fn encryption(&self, strict: bool) -> Encryption {
        if strict {
            Encryption::NotSupported
        } else {
            self.encryption
        }
    }

    /// The answer of a server of this version: version and encryption always, of the rest what was
    /// asked for, in the order of their numbers. Servers outside of Azure leave the rest out.
    pub(super) fn answer(&self, version: (u8, u8, u16), encryption: Encryption) -> Vec<u8> {
        let (major, minor, build) = version;
        let [high, low] = build.to_be_bytes();
        let asked = |wanted| {
            let found = self.options.iter().find(|(kind, _)| *kind == wanted);
            found.map(|(_, value)| *value)
        };
        let mut values = vec![
            (VERSION, vec![major, minor, high, low, 0, 0]),
            (
                ENCRYPTION,
                vec![match encryption {
                    Encryption::Off => 0,
                    Encryption::On => 1,
                    Encryption::NotSupported => 2,
                }],
            ),
        ];
        if let Some(name) = asked(INSTANCE) {
            values.push((INSTANCE, vec![u8::from(!is_default(name))]));
        }
        if asked(THREAD).is_some() {
            values.push((THREAD, Vec::new()));
        }
        if let Some(wanted) = asked(MARS) {
            values.push((MARS, vec![u8::from(wanted == [1])]));
        }
        if asked(TRACE).is_some() {
            values.push((TRACE, Vec::new()));
        }
        let mut start = values.len().saturating_mul(5).saturating_add(1);
        let mut list = Vec::new();
        let mut data = Vec::new();
        for (kind, value) in values {
            list.push(kind);
            for number in [start, value.len()] {
                list.extend(u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes());
            }
            start = start.saturating_add(value.len());
            data.extend(value);
        }
        list.push(TERMINATOR);
        list.extend(data);
        answer::packet(0, &list)
    }
}

/// Whether a client asks for the default instance, or for none.
fn is_default(name: &[u8]) -> bool {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    name.is_empty() || name.eq_ignore_ascii_case(b"MSSQLServer")
}
