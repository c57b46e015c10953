//! What the server says: packets and tokens (MS-TDS 2.2.3 and 2.2.7).

use coalmine_core::decoy::Packets;

use super::{END_OF_MESSAGE, PRELOGIN};

/// Longest packet before two sides have agreed on another, in bytes.
const MAX_ANSWER: usize = 4096;
/// Longest name that an error repeats, in characters.
const MAX_NAME: usize = 128;

/// Type of the server's packets.
const RESPONSE: u8 = 0x04;
const ERROR: u8 = 0xaa;
const SSPI: u8 = 0xed;
const DONE: u8 = 0xfd;
/// Status of a DONE after an error.
const DONE_ERROR: u16 = 2;

/// How tokens are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Before TDS 7: text in bytes.
    Old,
    /// TDS 7.0 and 7.1: short numbers.
    V70,
    /// TDS 7.2 and later.
    V72,
}

impl Dialect {
    /// By LOGIN7's version; none where that is no version of TDS 7. Servers answer newer clients as
    /// the newest they know.
    pub(super) fn of(version: u32) -> Option<Self> {
        match version {
            ..0x7000_0000 => None,
            0x7000_0000..0x7200_0000 => Some(Self::V70),
            0x7200_0000.. => Some(Self::V72),
        }
    }
}

/// Why a login fails, as the client is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    number: u32,
    text: String,
}

impl Refusal {
    /// Error 18456; what's behind it, the server tells its own log alone.
    pub(super) fn failed(user: &str) -> Self {
        let user: String = user.chars().take(MAX_NAME).collect();
        Self {
            number: 18_456,
            text: format!("Login failed for user '{user}'."),
        }
    }

    /// Error 18452; `kind` is what the release calls Windows logins.
    pub(super) fn untrusted(kind: &str) -> Self {
        Self {
            number: 18_452,
            text: format!(
                "Login failed. The login is from an untrusted domain and cannot be used with {kind} authentication."
            ),
        }
    }

    /// ERROR of state 1 and severity 14 in line 1, and DONE.
    pub(super) fn answer(&self, dialect: Dialect, server: &str, process: u16) -> Vec<u8> {
        let text = |text: &str| match dialect {
            Dialect::Old => text
                .chars()
                .map(|c| u8::try_from(c).unwrap_or(b'?'))
                .collect(),
            _ => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        };
        let letters = |text: &str| match dialect {
            Dialect::Old => text.chars().count(),
            _ => text.encode_utf16().count(),
        };
        let mut error = self.number.to_le_bytes().to_vec();
        error.extend([1, 14]);
        error.extend(
            u16::try_from(letters(&self.text))
                .unwrap_or(0)
                .to_le_bytes(),
        );
        let words: Vec<u8> = text(&self.text);
        error.extend(words);
        error.push(u8::try_from(letters(server)).unwrap_or(0));
        error.extend(text(server));
        // No procedure.
        error.push(0);
        match dialect {
            Dialect::V72 => error.extend(1_u32.to_le_bytes()),
            _ => error.extend(1_u16.to_le_bytes()),
        }
        let mut tokens = token(ERROR, &error);
        tokens.push(DONE);
        tokens.extend(DONE_ERROR.to_le_bytes());
        tokens.extend(0_u16.to_le_bytes());
        match dialect {
            Dialect::V72 => tokens.extend([0; 8]),
            _ => tokens.extend([0; 4]),
        }
        packet(process, &tokens)
    }
}

/// The server's token of a Windows login.
pub(super) fn sspi(process: u16, bytes: &[u8]) -> Vec<u8> {
    packet(process, &token(SSPI, bytes))
}

/// `kind`, length, `bytes`.
fn token(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut token = vec![kind];
    token.extend(u16::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
    token.extend(bytes);
    token
}

/// A message of one packet. All that we say is shorter than the shortest packet there may be.
pub(super) fn packet(process: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = header(RESPONSE, END_OF_MESSAGE, payload.len(), process, 1);
    packet.extend(payload);
    packet
}

/// Records of a TLS handshake in packets.
pub(super) fn tls_packets(records: &[u8]) -> Vec<u8> {
    let room = MAX_ANSWER.saturating_sub(Packets::HEADER);
    let mut pieces = records.chunks(room).peekable();
    let mut packets = Vec::new();
    while let Some(piece) = pieces.next() {
        let status = match pieces.peek() {
            Some(_) => 0,
            None => END_OF_MESSAGE,
        };
        packets.extend(header(PRELOGIN, status, piece.len(), 0, 0));
        packets.extend(piece);
    }
    packets
}

fn header(kind: u8, status: u8, payload: usize, process: u16, number: u8) -> Vec<u8> {
    let length = payload.saturating_add(Packets::HEADER);
    let mut header = vec![kind, status];
    header.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    header.extend(process.to_be_bytes());
    header.extend([number, 0]);
    header
}
