//! NTLM's computations (MS-NLMP sections 3.3 and 3.4): whether a response was made with a password,
//! and the session's keys if so.

use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use hmac::{Hmac, Mac};
use md4::Md4;
use md5::{Digest, Md5};
use rc4::{Rc4, StreamCipher};

use super::{Authenticate, Response, flags};
use crate::bytes::to_utf16;

const SERVER_SIGN: &[u8] = b"session key to server-to-client signing key magic constant\0";
const SERVER_SEAL: &[u8] = b"session key to server-to-client sealing key magic constant\0";

/// What a password makes of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    /// KeyExchangeKey, or what came under it.
    pub exported: [u8; 16],
}

impl Keys {
    /// The keys if `login` was made with `password` against `challenge`.
    pub(crate) fn of(login: &Authenticate, challenge: &[u8; 8], password: &str) -> Option<Self> {
        let nt_hash = md4(&to_utf16(password));
        let exchange = match login.response() {
            Response::V1 => {
                let made = des_long(&nt_hash, challenge);
                let lm_hash = lm_hash(password);
                (made == login.nt.as_slice()).then(|| exchange_key_v1(login, &nt_hash, &lm_hash))?
            }
            Response::V1Extended => {
                let client = login.lm.first_chunk::<8>()?;
                let mixed = md5(&[challenge, client]);
                let made = des_long(&nt_hash, mixed.first_chunk()?);
                (made == login.nt.as_slice())
                    .then(|| hmac_md5(&md4(&nt_hash), &[challenge, client]))?
            }
            Response::V2 => {
                let (proof, blob) = login.nt.split_at_checked(16)?;
                let who = to_utf16(&format!("{}{}", upper(&login.user), login.domain));
                let key = hmac_md5(&nt_hash, &[&who]);
                let made = hmac_md5(&key, &[challenge, blob]);
                (made == proof).then(|| hmac_md5(&key, &[&made]))?
            }
            Response::Anonymous | Response::Malformed => return None,
        };
        Some(Self::under(login, &exchange))
    }

    /// The keys of a login by nobody, whose KeyExchangeKey is zero (section 3.2.5.1.2).
    pub(crate) fn anonymous(login: &Authenticate) -> Option<Self> {
        let nobody = login.response() == Response::Anonymous;
        nobody.then(|| Self::under(login, &[0; 16]))
    }

    /// What the client sent under the KeyExchangeKey, or that key itself.
    fn under(login: &Authenticate, exchange: &[u8; 16]) -> Self {
        let exported = match login.session_key.as_slice().try_into() {
            Ok(under) if login.flags & flags::KEY_EXCH != 0 => rc4(exchange, under),
            _ => *exchange,
        };
        Self { exported }
    }

    /// Whether `mic` is the code over the three messages, the last one with zeros for it.
    pub(crate) fn sealed(&self, messages: [&[u8]; 3], mic: [u8; 16]) -> bool {
        hmac_md5(&self.exported, &messages) == mic
    }
}

/// KXKEY without extended session security (section 3.4.5.1).
fn exchange_key_v1(login: &Authenticate, nt_hash: &[u8; 16], lm_hash: &[u8; 16]) -> [u8; 16] {
    let base = md4(nt_hash);
    let lm_start = login.lm.first_chunk::<8>();
    match lm_start {
        Some(lm) if login.flags & flags::LM_KEY != 0 => {
            let [k0, k1, k2, k3, k4, k5, k6, k7, ..] = *lm_hash;
            let second = [k7, 0xbd, 0xbd, 0xbd, 0xbd, 0xbd, 0xbd];
            join([des([k0, k1, k2, k3, k4, k5, k6], lm), des(second, lm)])
        }
        _ if login.flags & flags::REQUEST_NON_NT_SESSION_KEY != 0 => {
            let start = lm_hash.first_chunk::<8>().copied().unwrap_or_default();
            join([start, [0; 8]])
        }
        _ => base,
    }
}

/// The server's signature over `message`, the first of the session (section 3.4.4.2): what a
/// mechListMIC holds. `flags` are the AUTHENTICATE's.
pub(crate) fn server_signature(exported: &[u8; 16], flags: u32, message: &[u8]) -> [u8; 16] {
    let sequence = [0; 4];
    let code = hmac_md5(&md5(&[exported, SERVER_SIGN]), &[&sequence, message]);
    let mut code = code.first_chunk::<8>().copied().unwrap_or_default();
    if flags & flags::KEY_EXCH != 0 {
        let length = match flags & (flags::KEY_128 | flags::KEY_56) {
            0 => 5,
            flags::KEY_56 => 7,
            _ => 16,
        };
        let weakened = exported.get(..length).unwrap_or_default();
        code = rc4(&md5(&[weakened, SERVER_SEAL]), code);
    }
    let [a, b, c, d, e, f, g, h] = code;
    [1, 0, 0, 0, a, b, c, d, e, f, g, h, 0, 0, 0, 0]
}

/// Capitals as Windows makes them: letters that have no single capital stay.
fn upper(text: &str) -> String {
    let capital = |c: char| {
        let mut capitals = c.to_uppercase();
        match (capitals.next(), capitals.next()) {
            (Some(one), None) => one,
            _ => c,
        }
    };
    text.chars().map(capital).collect()
}

/// LMOWFv1 (section 3.3.1); what isn't ASCII has no place in it.
pub(super) fn lm_hash(password: &str) -> [u8; 16] {
    let mut padded = [0; 14];
    for (place, byte) in padded.iter_mut().zip(password.to_ascii_uppercase().bytes()) {
        *place = byte;
    }
    let [a, b, c, d, e, f, g, rest @ ..] = padded;
    let text = b"KGS!@#$%";
    join([des([a, b, c, d, e, f, g], text), des(rest, text)])
}

/// DESL (section 6): three DES over the same block, with the key's 16 bytes and five zeros.
pub(super) fn des_long(key: &[u8; 16], block: &[u8; 8]) -> [u8; 24] {
    let mut padded = [0; 21];
    for (place, byte) in padded.iter_mut().zip(key) {
        *place = *byte;
    }
    let mut out = [0; 24];
    let (keys, _) = padded.as_chunks::<7>();
    let (places, _) = out.as_chunks_mut::<8>();
    for (place, key) in places.iter_mut().zip(keys) {
        *place = des(*key, block);
    }
    out
}

/// DES with 56 bits spread over eight bytes.
fn des(key: [u8; 7], block: &[u8; 8]) -> [u8; 8] {
    let [a, b, c, d, e, f, g] = key;
    let bits = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
    let mut spread = [0; 8];
    for (shift, place) in (0u32..=49).rev().step_by(7).zip(&mut spread) {
        let seven = (bits >> shift) & 0x7f;
        *place = u8::try_from(seven << 1).unwrap_or_default();
    }
    let mut block = (*block).into();
    Des::new(&spread.into()).encrypt_block(&mut block);
    block.into()
}

fn join([left, right]: [[u8; 8]; 2]) -> [u8; 16] {
    let mut out = [0; 16];
    for (place, byte) in out.iter_mut().zip(left.into_iter().chain(right)) {
        *place = byte;
    }
    out
}

pub(super) fn md4(message: &[u8]) -> [u8; 16] {
    Md4::digest(message).into()
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

pub(super) fn hmac_md5(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = <Hmac<Md5> as KeyInit>::new_from_slice(key).expect("any key length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn rc4<const N: usize>(key: &[u8; 16], mut data: [u8; N]) -> [u8; N] {
    #[expect(clippy::expect_used, reason = "RC4 takes keys of 1 to 256 bytes")]
    let mut cipher = Rc4::new_from_slice(key).expect("sixteen bytes");
    cipher.apply_keystream(&mut data);
    data
}
