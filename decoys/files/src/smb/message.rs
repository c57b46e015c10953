//! Headers and fields of SMB2 messages (MS-SMB2 2.2.1).

/// Length of a header, in bytes.
pub(super) const HEADER: usize = 64;

/// Commands (2.2.1.2).
pub(super) mod command {
    pub(in super::super) const NEGOTIATE: u16 = 0;
    pub(in super::super) const SESSION_SETUP: u16 = 1;
    pub(in super::super) const LOGOFF: u16 = 2;
    pub(in super::super) const TREE_CONNECT: u16 = 3;
    pub(in super::super) const TREE_DISCONNECT: u16 = 4;
    pub(in super::super) const CREATE: u16 = 5;
    pub(in super::super) const CLOSE: u16 = 6;
    pub(in super::super) const FLUSH: u16 = 7;
    pub(in super::super) const READ: u16 = 8;
    pub(in super::super) const WRITE: u16 = 9;
    pub(in super::super) const LOCK: u16 = 10;
    pub(in super::super) const IOCTL: u16 = 11;
    pub(in super::super) const CANCEL: u16 = 12;
    pub(in super::super) const ECHO: u16 = 13;
    pub(in super::super) const QUERY_DIRECTORY: u16 = 14;
    pub(in super::super) const CHANGE_NOTIFY: u16 = 15;
    pub(in super::super) const QUERY_INFO: u16 = 16;
    pub(in super::super) const SET_INFO: u16 = 17;
    pub(in super::super) const OPLOCK_BREAK: u16 = 18;
}

/// Flags (2.2.1.2).
pub(super) mod flags {
    pub(in super::super) const RESPONSE: u32 = 1;
    pub(in super::super) const ASYNC: u32 = 2;
    pub(in super::super) const RELATED: u32 = 4;
    pub(in super::super) const SIGNED: u32 = 8;
}

/// Where the signature stands in a header.
pub(super) const SIGNATURE: std::ops::Range<usize> = 48..64;

/// A request's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) charge: u16,
    pub(super) command: u16,
    pub(super) credits: u16,
    pub(super) flags: u32,
    /// Offset of the next message of a compound; 0 in the last.
    pub(super) next: u32,
    pub(super) message: u64,
    /// Process and tree, or the id of an asynchronous request.
    pub(super) process: u32,
    pub(super) tree: u32,
    pub(super) session: u64,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let fields = Fields(bytes);
        if fields.u32(0)? != u32::from_le_bytes(*b"\xfeSMB") || fields.u16(4)? != 64 {
            return None;
        }
        bytes.get(..HEADER)?;
        Some(Self {
            charge: fields.u16(6)?,
            command: fields.u16(12)?,
            credits: fields.u16(14)?,
            flags: fields.u32(16)?,
            next: fields.u32(20)?,
            message: fields.u64(24)?,
            process: fields.u32(32)?,
            tree: fields.u32(36)?,
            session: fields.u64(40)?,
        })
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The same with the number under which a waiting request is known.
    pub(super) fn asynchronous(self, id: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = id.to_le_bytes();
        Self {
            process: u32::from_le_bytes([a, b, c, d]),
            tree: u32::from_le_bytes([e, f, g, h]),
            ..self
        }
    }

    /// The number under which an asynchronous request is known.
    pub(super) fn async_id(&self) -> u64 {
        u64::from(self.process) | (u64::from(self.tree) << 32)
    }
}

/// Little-endian fields of a piece of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn chunk<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk::<N>().copied()
    }

    pub(super) fn u8(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    pub(super) fn u16(self, at: usize) -> Option<u16> {
        self.chunk(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(self, at: usize) -> Option<u32> {
        self.chunk(at).map(u32::from_le_bytes)
    }

    pub(super) fn u64(self, at: usize) -> Option<u64> {
        self.chunk(at).map(u64::from_le_bytes)
    }

    pub(super) fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.chunk(at)
    }

    /// `length` bytes from `at`.
    pub(super) fn slice(self, at: usize, length: usize) -> Option<&'a [u8]> {
        self.0.get(at..)?.get(..length)
    }
}

/// One request of a message: its header, and everything from there to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) header: Header,
    pub(super) bytes: &'a [u8],
}

impl<'a> Request<'a> {
    /// The body's fields, or `None` where the body doesn't have the size that its command wants.
    pub(super) fn body(&self, size: u16) -> Option<Fields<'a>> {
        let body = Fields(self.bytes.get(HEADER..)?);
        // An odd size counts one byte of what varies, which may be missing.
        let least = usize::from(size & !1);
        (body.u16(0)? == size && body.0.len() >= least).then_some(body)
    }

    /// A buffer that the body names by its offset from the header.
    pub(super) fn buffer(
        &self,
        offset: impl Into<u64>,
        length: impl Into<u64>,
    ) -> Option<&'a [u8]> {
        let length = usize::try_from(length.into()).ok()?;
        if length == 0 {
            return Some(&[]);
        }
        let offset = usize::try_from(offset.into()).ok()?;
        if offset < HEADER {
            return None;
        }
        Fields(self.bytes).slice(offset, length)
    }
}

/// A message in the making.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn zeros(&mut self, count: usize) -> &mut Self {
        self.0.resize(self.0.len().saturating_add(count), 0);
        self
    }

    /// `text` in UTF-16.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for unit in text.encode_utf16() {
            self.u16(unit);
        }
        self
    }

    /// Zeros until the length from `start` is a multiple of eight.
    pub(super) fn align(&mut self, start: usize) -> &mut Self {
        let over = self.0.len().saturating_sub(start) % 8;
        if over > 0 {
            self.zeros(8_usize.saturating_sub(over));
        }
        self
    }

    /// Puts a number where room was left for it.
    pub(super) fn patch(&mut self, at: usize, value: u32) {
        put(&mut self.0, at, &value.to_le_bytes());
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Overwrites what stands at `at`, as far as there is room.
pub(super) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(room) = bytes.get_mut(at..) {
        for (to, from) in room.iter_mut().zip(value) {
            *to = *from;
        }
    }
}

/// How many bytes `text` takes in UTF-16.
pub(super) fn wide(text: &str) -> u32 {
    let units = text.encode_utf16().count();
    u32::try_from(units.saturating_mul(2)).unwrap_or(u32::MAX)
}

/// Text in UTF-16; what is none becomes U+FFFD.
pub(super) fn narrow(bytes: &[u8]) -> String {
    let units = bytes.as_chunks::<2>().0.iter();
    char::decode_utf16(units.map(|unit| u16::from_le_bytes(*unit)))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// A length as the protocol counts.
pub(super) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
