//! What a server without SMB 1 makes of it: the one request by which clients ask for something later
//! (MS-SMB2 3.3.5.3), and what Responder's `RunFinger.py` sends.

use super::message::Fields;

/// Most dialects read of one offer.
const MAX_DIALECTS: usize = 64;

const NEGOTIATE: u8 = 0x72;
const SESSION_SETUP: u8 = 0x73;

/// What was asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) wants: Wants,
    /// The number of the event kind for this step of `RunFinger.py`.
    pub(super) finger: Option<u32>,
}

/// What the client can speak.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// Any dialect since 2.1.
    Any,
    /// Dialect 2.0.2.
    Smb202,
    /// Nothing later than SMB 1.
    Smb1,
    /// Not a negotiation at all.
    Other,
}

/// Reads a message of SMB 1 (MS-CIFS 2.2.3.1, 2.2.4.52.1).
pub(super) fn read(bytes: &[u8]) -> Option<Asked> {
    let fields = Fields(bytes);
    if fields.array::<4>(0)? != *b"\xffSMB" {
        return None;
    }
    let command = fields.u8(4)?;
    let header = Head {
        flags: fields.u8(9)?,
        flags2: fields.u16(10)?,
        tree: fields.u16(24)?,
        process: fields.u16(26)?,
        multiplex: fields.u16(30)?,
    };
    let words = usize::from(fields.u8(32)?);
    let data = words.checked_mul(2)?.checked_add(33)?;
    let length = usize::from(fields.u16(data)?);
    let data = bytes.get(data.checked_add(2)?..)?;
    let data = data.get(..length).unwrap_or(data);
    if command == SESSION_SETUP {
        let system: Vec<u8> = "Windows 2002 5.1"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let finger = header.flags2 == 0xc817 && data.windows(system.len()).any(|w| w == system);
        return Some(Asked {
            wants: Wants::Other,
            finger: finger.then_some(5009),
        });
    }
    if command != NEGOTIATE {
        return Some(Asked {
            wants: Wants::Other,
            finger: None,
        });
    }
    let dialects: Vec<&[u8]> = data
        .split(|byte| *byte == 0)
        .filter_map(|name| name.strip_prefix(&[2]))
        .take(MAX_DIALECTS)
        .collect();
    let wants = if dialects.contains(&&b"SMB 2.???"[..]) {
        Wants::Any
    } else if dialects.contains(&&b"SMB 2.002"[..]) {
        Wants::Smb202
    } else {
        Wants::Smb1
    };
    Some(Asked {
        finger: header.finger(&dialects),
        wants,
    })
}

/// The part of a header by which tools are known.
struct Head {
    flags: u8,
    flags2: u16,
    tree: u16,
    process: u16,
    multiplex: u16,
}

impl Head {
    /// Which request of `RunFinger.py` this is. Real clients set flags or number their processes.
    fn finger(&self, dialects: &[&[u8]]) -> Option<u32> {
        let zero = self.tree == 0 && self.process == 0 && self.multiplex == 0;
        let only_one = dialects == [b"NT LM 0.12"];
        let later = dialects.iter().any(|name| name.starts_with(b"SMB 2."));
        if only_one && self.process == 0x1b3c && self.multiplex == 1 && self.flags2 == 0 {
            return Some(5012);
        }
        let dialect = (only_one && self.flags == 0x18 && self.flags2 == 0xc853)
            || (later && self.flags == 0 && self.flags2 == 0);
        (zero && dialect).then_some(5011)
    }
}

/// Samba's answer where no dialect is common: no dialect at all, under the request's own numbers.
pub(super) fn refusal(request: &[u8]) -> Option<Vec<u8>> {
    let mut reply = b"\xffSMB\x72\0\0\0\0\x88\x13\xc0".to_vec();
    reply.extend([0; 12]);
    // Tree, process, user and multiplex numbers.
    reply.extend(request.get(24..32)?);
    reply.extend(b"\x01\xff\xff\0\0");
    Some(reply)
}
