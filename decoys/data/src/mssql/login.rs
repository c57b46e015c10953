//! What clients send to log in: LOGIN7 (MS-TDS 2.2.6.4), and the login record from before TDS 7.

use super::answer::Dialect;

/// Longest name or password of LOGIN7, in characters.
const MAX_NAME: usize = 128;
/// Length of LOGIN7's fixed part, in bytes: until TDS 7.1, and after.
const FIXED_71: usize = 86;
const FIXED: usize = 94;
/// Where things lie in it.
const TDS_VERSION: usize = 4;
const FLAGS_2: usize = 25;
const HOST: usize = 36;
const USER: usize = 40;
const PASSWORD: usize = 44;
const APP: usize = 48;
const SERVER: usize = 52;
const LIBRARY: usize = 60;
const LANGUAGE: usize = 64;
const DATABASE: usize = 68;
const TOKEN: usize = 78;
const FILE: usize = 82;
const NEW_PASSWORD: usize = 86;
const LONG_TOKEN: usize = 90;
/// The client logs in as a Windows user.
const INTEGRATED: u8 = 0x80;

/// Where the old record keeps its texts: each 30 bytes and one for their number.
const OLD_HOST: usize = 0;
const OLD_USER: usize = 31;
const OLD_PASSWORD: usize = 62;
const OLD_APP: usize = 140;
const OLD_SERVER: usize = 171;
const OLD_TEXT: usize = 30;
/// The record up to its version.
const OLD_LENGTH: usize = 462;

/// Somebody wants in.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) dialect: Dialect,
    pub(super) host: String,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) app: String,
    pub(super) server: String,
    /// First token of a Windows login.
    pub(super) sspi: Option<Vec<u8>>,
}

impl Login {
    /// LOGIN7. None for what the real server calls structurally invalid.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let length = usize::try_from(u32::from_le_bytes(bytes(message, 0)?)).ok()?;
        let message = message.get(..length)?;
        let dialect = Dialect::of(u32::from_le_bytes(bytes(message, TDS_VERSION)?))?;
        let fixed = match dialect {
            Dialect::V70 => FIXED_71,
            _ => FIXED,
        };
        message.get(..fixed)?;
        let text = |at| text(message, at);
        let [flags] = bytes(message, FLAGS_2)?;
        for at in [LIBRARY, LANGUAGE, DATABASE, FILE] {
            text(at)?;
        }
        if fixed == FIXED {
            text(NEW_PASSWORD)?;
        }
        let sspi = match flags & INTEGRATED {
            0 => None,
            _ => Some(token(message, fixed)?.to_vec()),
        };
        let password: Vec<u8> = text(PASSWORD)?
            .iter()
            .map(|byte| (byte ^ 0xa5).rotate_left(4))
            .collect();
        Some(Self {
            dialect,
            host: utf16(text(HOST)?),
            user: utf16(text(USER)?),
            password: utf16(&password),
            app: utf16(text(APP)?),
            server: utf16(text(SERVER)?),
            sspi,
        })
    }

    /// The login record of TDS 4.2 and 5.0, whose layout is public from Sybase's TDS 5.0
    /// specification (LOGINREC).
    pub(super) fn parse_old(message: &[u8]) -> Option<Self> {
        message.get(..OLD_LENGTH)?;
        let text = |at: usize| {
            let end = at.checked_add(OLD_TEXT)?;
            let [length] = bytes(message, end)?;
            let text = message.get(at..end)?.get(..usize::from(length))?;
            Some(coalmine_core::text::printable(text))
        };
        Some(Self {
            dialect: Dialect::Old,
            host: text(OLD_HOST)?,
            user: text(OLD_USER)?,
            password: text(OLD_PASSWORD)?,
            app: text(OLD_APP)?,
            server: text(OLD_SERVER)?,
            sspi: None,
        })
    }
}

/// The token of a Windows login.
fn token(message: &[u8], fixed: usize) -> Option<&[u8]> {
    let [a, b, c, d] = bytes(message, TOKEN)?;
    let start = usize::from(u16::from_le_bytes([a, b]));
    let mut length = usize::from(u16::from_le_bytes([c, d]));
    if length == usize::from(u16::MAX) && fixed == FIXED {
        let long = usize::try_from(u32::from_le_bytes(bytes(message, LONG_TOKEN)?)).ok()?;
        if long > 0 {
            length = long;
        }
    }
    message.get(start..start.checked_add(length)?)
}

/// The text that offset and length at `at` point to.
fn text(message: &[u8], at: usize) -> Option<&[u8]> {
    let [a, b, c, d] = bytes(message, at)?;
    let start = usize::from(u16::from_le_bytes([a, b]));
    let length = usize::from(u16::from_le_bytes([c, d]));
    if length > MAX_NAME && at != FILE {
        return None;
    }
    // Clients leave any number where there's no text.
    if length == 0 {
        return Some(&[]);
    }
    message.get(start..start.checked_add(length.checked_mul(2)?)?)
}

fn bytes<const N: usize>(message: &[u8], at: usize) -> Option<[u8; N]> {
    message.get(at..)?.first_chunk().copied()
}

/// UTF-16 as text; what's half a character as `\xNN\xNN`.
fn utf16(bytes: &[u8]) -> String {
    let units = bytes
        .chunks_exact(2)
        .filter_map(|pair| Some(u16::from_le_bytes(*pair.first_chunk()?)));
    let mut text = String::new();
    for letter in char::decode_utf16(units) {
        match letter {
            Ok(letter) => text.push(letter),
            Err(half) => {
                let [low, high] = half.unpaired_surrogate().to_le_bytes();
                text.push_str(&format!("\\x{low:02x}\\x{high:02x}"));
            }
        }
    }
    text
}
