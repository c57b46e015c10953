//! T.125 (MCS) and T.124 (GCC): what the client says of itself, and the channels (MS-RDPBCGR
//! section 2.2.1.3 to 2.2.1.9).

use coalmine_core::decoy::Broken;
use coalmine_wire::ber;

use super::reader::{Reader, text16};

/// Most static channels (MS-RDPBCGR 2.2.1.3.4).
const MAX_CHANNELS: u32 = 31;
/// The channel that everything but the static channels goes through.
pub(super) const IO_CHANNEL: u16 = 1003;
/// The first static channel.
const FIRST_CHANNEL: u16 = 1004;
/// User ids are counted from here (T.125 section 10).
const FIRST_USER: u16 = 1001;

/// What the Connect-Initial says of the client (`TS_UD_CS_CORE` and the other blocks).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Client {
    pub width: u16,
    pub height: u16,
    /// Windows' number of the keyboard layout.
    pub keyboard: u32,
    /// Build of the client's Windows, or what it claims.
    pub build: u32,
    /// The client machine's name, cut at 15 characters.
    pub name: String,
    /// Names of the static channels that it asks for.
    pub channels: Vec<String>,
    /// It wants the console's session (`mstsc /admin`).
    pub console: bool,
    /// It knows the message channel.
    message_channel: bool,
}

impl Client {
    /// Reads a Connect-Initial (T.125 section 7, in BER).
    pub(super) fn parse(pdu: &[u8]) -> Result<Self, Broken> {
        // [APPLICATION 101] has two bytes of tag.
        let rest = pdu.strip_prefix(&[0x7f]).ok_or(Broken)?;
        if rest.first() != Some(&0x65) {
            return Err(Broken);
        }
        // The second one read alone is a tag of one byte.
        let inside = rest.get(1..).and_then(contents).ok_or(Broken)?;
        let mut inside = ber::Reader::new(inside);
        let mut take = |tag| inside.take(tag).map_err(|_| Broken);
        for tag in [
            ber::OCTET_STRING,
            ber::OCTET_STRING,
            ber::BOOLEAN,
            ber::SEQUENCE,
            ber::SEQUENCE,
            ber::SEQUENCE,
        ] {
            take(tag)?;
        }
        Self::conference(take(ber::OCTET_STRING)?)
    }

    /// Reads the Conference Create Request (T.124 section 8.7, in PER).
    fn conference(user_data: &[u8]) -> Result<Self, Broken> {
        let mut data = Reader::new(user_data);
        // Object key of T.124, length, and a request of which only the user data means anything.
        if data.take(7)? != b"\x00\x05\x00\x14\x7c\x00\x01" {
            return Err(Broken);
        }
        data.per_length()?;
        data.take(8)?;
        if data.take(4)? != b"Duca" {
            return Err(Broken);
        }
        data.per_length()?;
        let mut client = Self::default();
        let mut core = false;
        while !data.is_empty() {
            let (kind, length) = (data.u16()?, data.u16()?);
            let body = data.take(usize::from(length).checked_sub(4).ok_or(Broken)?)?;
            match kind {
                0xc001 => {
                    client.core(body)?;
                    core = true;
                }
                0xc003 => client.network(body)?,
                0xc004 => client.console = body.first().is_some_and(|flags| flags & 2 != 0),
                0xc006 => client.message_channel = true,
                _ => {}
            }
        }
        core.then_some(client).ok_or(Broken)
    }

    fn core(&mut self, body: &[u8]) -> Result<(), Broken> {
        let mut body = Reader::new(body);
        body.u32()?;
        self.width = body.u16()?;
        self.height = body.u16()?;
        body.u32()?;
        self.keyboard = body.u32()?;
        self.build = body.u32()?;
        self.name = text16(body.take(32)?);
        Ok(())
    }

    fn network(&mut self, body: &[u8]) -> Result<(), Broken> {
        let mut body = Reader::new(body);
        let count = body.u32()?;
        if count > MAX_CHANNELS {
            return Err(Broken);
        }
        self.channels.clear();
        for _ in 0..count {
            let name = body.take(8)?;
            body.u32()?;
            let end = name.iter().position(|b| *b == 0).unwrap_or(8);
            let name = name.get(..end).unwrap_or_default();
            self.channels.push(coalmine_core::text::printable(name));
        }
        Ok(())
    }

    /// Ids of the static channels.
    fn channel_ids(&self) -> impl Iterator<Item = u16> {
        (FIRST_CHANNEL..).take(self.channels.len())
    }

    /// The id after the static channels: the message channel's where there is one.
    fn next_id(&self) -> u16 {
        let count = u16::try_from(self.channels.len()).unwrap_or_default();
        FIRST_CHANNEL.saturating_add(count)
    }

    /// The id that the client gets as user.
    pub(super) fn user(&self) -> u16 {
        self.next_id()
            .saturating_add(u16::from(self.message_channel))
    }

    /// Whether a channel is there to be joined.
    pub(super) fn has(&self, channel: u16) -> bool {
        (IO_CHANNEL..=self.user()).contains(&channel)
    }

    /// The Connect-Response: the server's version of RDP, no encryption of RDP's own, the channels
    /// (MS-RDPBCGR 2.2.1.4).
    pub(super) fn connect_response(&self, version: u32, requested: u32) -> Vec<u8> {
        let mut blocks = Vec::new();
        let mut block = |kind: u16, body: &[u8]| {
            let length = u16::try_from(body.len().saturating_add(4)).unwrap_or_default();
            blocks.extend(kind.to_le_bytes());
            blocks.extend(length.to_le_bytes());
            blocks.extend(body);
        };
        // Edge actions and dynamic time zones are known.
        let early = 7u32;
        let words = [version, requested, early].map(u32::to_le_bytes);
        block(0x0c01, words.as_flattened());
        let count = u16::try_from(self.channels.len()).unwrap_or_default();
        let mut network = [IO_CHANNEL, count].map(u16::to_le_bytes).concat();
        network.extend(self.channel_ids().flat_map(u16::to_le_bytes));
        if count % 2 == 1 {
            network.extend([0, 0]);
        }
        block(0x0c03, &network);
        // Neither method nor level: TLS encrypts.
        block(0x0c02, &[0; 8]);
        if self.message_channel {
            block(0x0c04, &self.next_id().to_le_bytes());
        }
        // The length of all, 0x2a, is a constant of the protocol that nobody reads.
        let mut user_data =
            b"\x00\x05\x00\x14\x7c\x00\x01\x2a\x14\x76\x0a\x01\x01\x00\x01\xc0\x00McDn".to_vec();
        user_data.extend(per_length(blocks.len()));
        user_data.extend(blocks);
        let mut body = b"\x0a\x01\x00\x02\x01\x00\x30\x1a\x02\x01\x22\x02\x01\x03\x02\x01\x00\
            \x02\x01\x01\x02\x01\x00\x02\x01\x01\x02\x03\x00\xff\xf8\x02\x01\x02\x04"
            .to_vec();
        body.extend(long_length(user_data.len()));
        body.extend(user_data);
        let mut response = vec![0x7f, 0x66];
        response.extend(long_length(body.len()));
        response.extend(body);
        response
    }
}

/// One of the domain's messages, in PER (T.125 section 7).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    ErectDomain,
    AttachUser,
    Join { channel: u16 },
    Send { channel: u16, data: &'a [u8] },
    Disconnect,
}

impl<'a> Message<'a> {
    /// Reads one that a client sends.
    pub(super) fn parse(pdu: &'a [u8]) -> Result<Self, Broken> {
        let mut pdu = Reader::new(pdu);
        Ok(match pdu.u8()? >> 2 {
            1 => Self::ErectDomain,
            8 => Self::Disconnect,
            10 => Self::AttachUser,
            14 => {
                pdu.take(2)?;
                Self::Join {
                    channel: pdu.u16_be()?,
                }
            }
            25 => {
                pdu.take(2)?;
                let channel = pdu.u16_be()?;
                pdu.u8()?;
                let length = pdu.per_length()?;
                Self::Send {
                    channel,
                    data: pdu.take(length)?,
                }
            }
            _ => return Err(Broken),
        })
    }
}

/// Lets the client in as `user`.
pub(super) fn attach_confirm(user: u16) -> Vec<u8> {
    let [high, low] = user.saturating_sub(FIRST_USER).to_be_bytes();
    vec![0x2e, 0, high, low]
}

/// Joins `user` to `channel`.
pub(super) fn join_confirm(user: u16, channel: u16) -> Vec<u8> {
    let [high, low] = user.saturating_sub(FIRST_USER).to_be_bytes();
    let [channel_high, channel_low] = channel.to_be_bytes();
    vec![
        0x3e,
        0,
        high,
        low,
        channel_high,
        channel_low,
        channel_high,
        channel_low,
    ]
}

/// Data from the server on the channel that everything goes through.
pub(super) fn indication(data: &[u8]) -> Vec<u8> {
    // The server itself is user 1002.
    let mut pdu = vec![0x68, 0, 1, 0x03, 0xeb, 0x70];
    pdu.extend(per_length(data.len()));
    pdu.extend(data);
    pdu
}

/// The provider's own word for the end.
pub(super) const DISCONNECT: [u8; 2] = [0x21, 0x80];

/// A PER length determinant of two bytes from 128 on (X.691 section 10.9).
fn per_length(length: usize) -> Vec<u8> {
    let length = u16::try_from(length).unwrap_or_default();
    let [high, low] = length.to_be_bytes();
    if length < 0x80 {
        vec![low]
    } else {
        vec![0x80 | high, low]
    }
}

/// A BER length in the form with two bytes, as the real server always writes it.
fn long_length(length: usize) -> [u8; 3] {
    let [high, low] = u16::try_from(length).unwrap_or_default().to_be_bytes();
    [0x82, high, low]
}

/// Contents of a BER value whose length comes first.
fn contents(rest: &[u8]) -> Option<&[u8]> {
    let tagged = [&[ber::SEQUENCE], rest.get(..rest.len().min(6))?].concat();
    let whole = ber::whole(&tagged).ok()??;
    let head = match rest.first()? {
        long @ 0x81..=0x84 => usize::from(long & 0x7f).checked_add(1)?,
        _ => 1,
    };
    rest.get(head..whole.checked_sub(1)?)
}
