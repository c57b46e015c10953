//! Which dialect is spoken, and with which algorithms (MS-SMB2 2.2.3, 2.2.4, 3.3.5.3, 3.3.5.4).

use aws_lc_rs::digest;

use super::message::{Fields, Request, Writer, count};
use super::seal::{Cipher, Signing};
use super::status::Status;

/// Most dialects read of one offer.
const MAX_DIALECTS: usize = 64;
/// Most negotiate contexts read of one offer.
const MAX_CONTEXTS: usize = 32;

/// `SecurityMode` bits (2.2.3).
pub(super) const SIGNING_ENABLED: u16 = 1;
pub(super) const SIGNING_REQUIRED: u16 = 2;

/// Capabilities (2.2.3).
const DFS: u32 = 1;
const LEASING: u32 = 2;
const LARGE_MTU: u32 = 4;
const MULTI_CHANNEL: u32 = 8;
const DIRECTORY_LEASING: u32 = 0x20;
const ENCRYPTION: u32 = 0x40;

/// Longest read, write and transaction since 2.1, as both products tell; before, 64 KiB.
pub(super) const MAX_TRANSFER: u32 = 8 * 1024 * 1024;
pub(super) const MAX_SMALL_TRANSFER: u32 = 64 * 1024;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dialect {
    Smb202 = 0x202,
    Smb210 = 0x210,
    Smb300 = 0x300,
    Smb302 = 0x302,
    Smb311 = 0x311,
}

impl Dialect {
    const ALL: [Self; 5] = [
        Self::Smb311,
        Self::Smb302,
        Self::Smb300,
        Self::Smb210,
        Self::Smb202,
    ];

    pub(super) fn number(self) -> u16 {
        self as u16
    }

    /// As Samba spells it in its logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Smb202 => "SMB2_02",
            Self::Smb210 => "SMB2_10",
            Self::Smb300 => "SMB3_00",
            Self::Smb302 => "SMB3_02",
            Self::Smb311 => "SMB3_11",
        }
    }

    /// Whether a request may be charged several credits.
    pub(super) fn multi_credit(self) -> bool {
        self > Self::Smb202
    }

    pub(super) fn max_transfer(self) -> u32 {
        if self.multi_credit() {
            MAX_TRANSFER
        } else {
            MAX_SMALL_TRANSFER
        }
    }
}

/// What the client said of itself when it offered dialects.
#[derive(Clone, Debug, Default)]
pub(super) struct Offer {
    pub(super) security_mode: u16,
    pub(super) capabilities: u32,
    pub(super) guid: [u8; 16],
    pub(super) ciphers: Option<Vec<u16>>,
    pub(super) signings: Option<Vec<u16>>,
}

/// What a connection agreed on.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    pub(super) dialect: Dialect,
    pub(super) cipher: Option<Cipher>,
    pub(super) signing: Signing,
    pub(super) capabilities: u32,
    /// Whether the offer had ciphers or signing algorithms that must be answered.
    answers: (bool, bool),
}

impl Offer {
    /// Reads a request, and which dialect up to `best` it comes to.
    pub(super) fn parse(request: &Request<'_>, best: Dialect) -> Result<(Self, Dialect), Status> {
        let bad = Status::INVALID_PARAMETER;
        let body = request.body(36).ok_or(bad)?;
        let offered = usize::from(body.u16(2).ok_or(bad)?);
        if offered == 0 || offered > MAX_DIALECTS {
            return Err(bad);
        }
        let list = body.slice(36, offered.saturating_mul(2)).ok_or(bad)?;
        let dialects: Vec<u16> = list
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u16::from_le_bytes(*pair))
            .collect();
        let dialect = Dialect::ALL
            .into_iter()
            .find(|dialect| *dialect <= best && dialects.contains(&dialect.number()))
            .ok_or(Status::NOT_SUPPORTED)?;
        let mut offer = Self {
            security_mode: body.u16(4).ok_or(bad)?,
            capabilities: body.u32(8).ok_or(bad)?,
            guid: body.array(12).ok_or(bad)?,
            ..Self::default()
        };
        if dialect == Dialect::Smb311 {
            let at = usize::try_from(body.u32(28).ok_or(bad)?).map_err(|_| bad)?;
            let contexts = usize::from(body.u16(32).ok_or(bad)?);
            offer.read_contexts(request.bytes.get(at..).ok_or(bad)?, contexts)?;
        }
        Ok((offer, dialect))
    }

    fn read_contexts(&mut self, mut rest: &[u8], contexts: usize) -> Result<(), Status> {
        let bad = Status::INVALID_PARAMETER;
        let mut integrity = false;
        for number in 0..contexts.min(MAX_CONTEXTS) {
            let fields = Fields(rest);
            let kind = fields.u16(0).ok_or(bad)?;
            let length = usize::from(fields.u16(2).ok_or(bad)?);
            let data = fields.slice(8, length).ok_or(bad)?;
            match kind {
                1 => {
                    let hashes = u16_list(data, 2, 4).ok_or(bad)?;
                    if !hashes.contains(&1) {
                        return Err(Status::NO_PREAUTH_INTEGRITY_HASH_OVERLAP);
                    }
                    integrity = true;
                }
                2 => self.ciphers = Some(u16_list(data, 0, 2).ok_or(bad)?),
                8 => self.signings = Some(u16_list(data, 0, 2).ok_or(bad)?),
                _ => {}
            }
            if number.saturating_add(1) < contexts {
                let next = length.saturating_add(8).next_multiple_of(8);
                rest = rest.get(next..).ok_or(bad)?;
            }
        }
        if integrity { Ok(()) } else { Err(bad) }
    }

    /// What a server with these algorithms, most wanted first, agrees to.
    pub(super) fn agree(&self, dialect: Dialect, samba: bool, build: u16) -> Agreed {
        let ours = [
            Cipher::Aes128Gcm,
            Cipher::Aes128Ccm,
            Cipher::Aes256Gcm,
            Cipher::Aes256Ccm,
        ];
        // Windows knows 256 bits and signing algorithms since Server 2022 (section 6, notes on
        // 3.3.5.4).
        let modern = samba || build >= 20_348;
        let offers_encryption = self.capabilities & ENCRYPTION != 0;
        let mut capabilities = DFS;
        if dialect.multi_credit() {
            capabilities |= LEASING | LARGE_MTU;
        }
        let (mut cipher, mut signing) = (None, Signing::HmacSha256);
        if dialect >= Dialect::Smb300 {
            signing = Signing::AesCmac;
            capabilities |= MULTI_CHANNEL & self.capabilities;
            if !samba {
                capabilities |= DIRECTORY_LEASING & self.capabilities;
            }
        }
        let mut answers = (false, false);
        if dialect == Dialect::Smb311 {
            if let Some(ciphers) = &self.ciphers {
                answers.0 = true;
                cipher = ours.into_iter().find(|ours| {
                    let known = modern || matches!(ours, Cipher::Aes128Ccm | Cipher::Aes128Gcm);
                    known && ciphers.contains(&(*ours as u16))
                });
            } else if samba && offers_encryption {
                capabilities |= ENCRYPTION;
                cipher = Some(Cipher::Aes128Ccm);
            }
            if let Some(signings) = self.signings.as_ref().filter(|_| modern) {
                let best = [Signing::AesGmac, Signing::AesCmac, Signing::HmacSha256]
                    .into_iter()
                    .find(|ours| signings.contains(&(*ours as u16)));
                if let Some(best) = best {
                    signing = best;
                    answers.1 = true;
                }
            }
        } else if dialect >= Dialect::Smb300 && offers_encryption {
            capabilities |= ENCRYPTION;
            cipher = Some(Cipher::Aes128Ccm);
        }
        Agreed {
            dialect,
            cipher,
            signing,
            capabilities,
            answers,
        }
    }
}

/// A list of 16-bit numbers: how many at `at`, themselves from `from`.
fn u16_list(data: &[u8], at: usize, from: usize) -> Option<Vec<u16>> {
    // The count of hashes stands before the length of the salt, both before the list.
    let at = at.saturating_sub(2);
    let many = usize::from(Fields(data).u16(at)?);
    let list = data.get(from..)?.get(..many.checked_mul(2)?)?;
    Some(
        list.as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u16::from_le_bytes(*pair))
            .collect(),
    )
}

/// What the server says of itself in its answer.
pub(super) struct Told<'a> {
    pub(super) guid: &'a [u8; 16],
    pub(super) security_mode: u16,
    pub(super) filetime: u64,
    /// SPNEGO's first message.
    pub(super) hello: &'a [u8],
    /// Salt of the integrity hash.
    pub(super) salt: [u8; 32],
}

/// The answer's body. `wildcard`: the client asked in SMB 1 for any later dialect.
pub(super) fn answer(agreed: &Agreed, wildcard: bool, told: &Told<'_>, out: &mut Writer) {
    let start = out.len();
    let offset: u16 = 128;
    let contexts: u16 = match agreed.dialect {
        Dialect::Smb311 => 1 + u16::from(agreed.answers.0) + u16::from(agreed.answers.1),
        _ => 0,
    };
    let number = if wildcard {
        0x2ff
    } else {
        agreed.dialect.number()
    };
    let most = agreed.dialect.max_transfer();
    let hello = u16::try_from(told.hello.len()).unwrap_or(0);
    let after = usize::from(offset)
        .saturating_add(told.hello.len())
        .next_multiple_of(8);
    out.u16(65)
        .u16(told.security_mode)
        .u16(number)
        .u16(contexts)
        .bytes(told.guid)
        .u32(agreed.capabilities)
        .u32(most)
        .u32(most)
        .u32(most)
        .u64(told.filetime)
        .u64(0)
        .u16(offset)
        .u16(hello)
        .u32(if contexts > 0 { count(after) } else { 0 })
        .bytes(told.hello);
    if contexts == 0 {
        return;
    }
    out.align(start);
    out.u16(1).u16(38).u32(0);
    out.u16(1).u16(32).u16(1).bytes(&told.salt);
    if agreed.answers.0 {
        out.align(start).u16(2).u16(4).u32(0);
        out.u16(1)
            .u16(agreed.cipher.map_or(0, |cipher| cipher as u16));
    }
    if agreed.answers.1 {
        out.align(start).u16(8).u16(4).u32(0);
        out.u16(1).u16(agreed.signing as u16);
    }
}

/// Adds a message to the hash of what was said (3.1.4.4.2).
pub(super) fn extend(hash: &mut [u8; 64], message: &[u8]) {
    let mut context = digest::Context::new(&digest::SHA512);
    context.update(hash);
    context.update(message);
    if let Some(made) = context.finish().as_ref().first_chunk::<64>() {
        *hash = *made;
    }
}
