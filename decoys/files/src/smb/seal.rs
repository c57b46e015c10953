//! Signing and encryption (MS-SMB2 3.1.4.1, 3.1.4.2, 3.1.4.3).

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{cipher, cmac, constant_time, hmac};

use super::message::{Fields, HEADER, SIGNATURE, put};

/// Length of the header of an encrypted message (2.2.41).
pub(super) const TRANSFORM: usize = 52;

/// What an encrypted message begins with.
const TRANSFORM_ID: [u8; 4] = *b"\xfdSMB";

/// Ciphers (2.2.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes128Ccm = 1,
    Aes128Gcm = 2,
    Aes256Ccm = 3,
    Aes256Gcm = 4,
}

impl Cipher {
    #[cfg(test)]
    fn of(id: u16) -> Option<Self> {
        Some(match id {
            1 => Self::Aes128Ccm,
            2 => Self::Aes128Gcm,
            3 => Self::Aes256Ccm,
            4 => Self::Aes256Gcm,
            _ => return None,
        })
    }

    fn key_len(self) -> usize {
        match self {
            Self::Aes128Ccm | Self::Aes128Gcm => 16,
            Self::Aes256Ccm | Self::Aes256Gcm => 32,
        }
    }

    fn nonce_len(self) -> usize {
        match self {
            Self::Aes128Ccm | Self::Aes256Ccm => 11,
            Self::Aes128Gcm | Self::Aes256Gcm => 12,
        }
    }
}

/// How messages are signed (2.2.3.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signing {
    HmacSha256 = 0,
    AesCmac = 1,
    AesGmac = 2,
}

impl Signing {
    #[cfg(test)]
    fn of(id: u16) -> Option<Self> {
        Some(match id {
            0 => Self::HmacSha256,
            1 => Self::AesCmac,
            2 => Self::AesGmac,
            _ => return None,
        })
    }
}

/// What a session's keys are made from besides its session key (3.3.5.5.3).
#[derive(Clone, Copy, Debug)]
pub(super) enum Derivation<'a> {
    /// Dialects 2.0.2 and 2.1: the session key itself signs.
    None,
    /// Dialects 3.0 and 3.0.2.
    Labels,
    /// Dialect 3.1.1: the hash of all that was said before.
    Preauth(&'a [u8; 64]),
}

/// A session's keys.
pub(super) struct Keys {
    signing: Signer,
    cipher: Option<(Cipher, Sealer, Sealer)>,
}

impl Keys {
    /// From a session key.
    pub(super) fn new(
        session_key: &[u8; 16],
        derivation: Derivation<'_>,
        signing: Signing,
        cipher: Option<Cipher>,
    ) -> Option<Self> {
        // Labels and contexts of the keys that sign, open what the client sent, and seal for it.
        let ways: [(&[u8], &[u8]); 3] = match derivation {
            Derivation::None => {
                return Some(Self {
                    signing: Signer::new(signing, session_key)?,
                    cipher: None,
                });
            }
            Derivation::Labels => [
                (b"SMB2AESCMAC\0", b"SmbSign\0"),
                (b"SMB2AESCCM\0", b"ServerIn \0"),
                (b"SMB2AESCCM\0", b"ServerOut\0"),
            ],
            Derivation::Preauth(hash) => [
                (b"SMBSigningKey\0", hash),
                (b"SMBC2SCipherKey\0", hash),
                (b"SMBS2CCipherKey\0", hash),
            ],
        };
        let [sign, from_client, to_client] = ways;
        let sign = derive(session_key, sign.0, sign.1, 16);
        let cipher = match cipher {
            None => None,
            Some(cipher) => {
                let key = |(label, context)| {
                    let key = derive(session_key, label, context, cipher.key_len());
                    Sealer::new(cipher, &key)
                };
                Some((cipher, key(from_client)?, key(to_client)?))
            }
        };
        Some(Self {
            signing: Signer::new(signing, &sign)?,
            cipher,
        })
    }

    pub(super) fn can_seal(&self) -> bool {
        self.cipher.is_some()
    }

    /// Signs a message of ours in place; its signature's room is zero.
    pub(super) fn sign(&self, message: &mut [u8]) {
        if let Some(signature) = self.signing.signature(message) {
            put(message, SIGNATURE.start, &signature);
        }
    }

    /// Whether a message from the client bears the right signature.
    pub(super) fn verify(&self, message: &[u8]) -> bool {
        let Some(given) = message.get(SIGNATURE) else {
            return false;
        };
        self.signing
            .signature(message)
            .is_some_and(|right| constant_time::verify_slices_are_equal(&right, given).is_ok())
    }

    /// Encrypts what stands behind the room for a transform header in `bytes`, from `start`.
    pub(super) fn seal(
        &self,
        bytes: &mut [u8],
        start: usize,
        session: u64,
        number: u64,
    ) -> Option<()> {
        let (cipher, _, sealer) = self.cipher.as_ref()?;
        let (_, whole) = bytes.split_at_mut_checked(start)?;
        let (header, message) = whole.split_at_mut_checked(TRANSFORM)?;
        put(header, 0, &TRANSFORM_ID);
        put(header, 20, &number.to_le_bytes());
        let length = u32::try_from(message.len()).ok()?;
        put(header, 36, &length.to_le_bytes());
        put(header, 42, &[1, 0]);
        put(header, 44, &session.to_le_bytes());
        let nonce = header.get(20..20_usize.checked_add(cipher.nonce_len())?)?;
        let tag = sealer.seal(nonce, header.get(20..)?, message)?;
        put(header, 4, &tag);
        Some(())
    }

    /// What an encrypted message holds, or `None` where it isn't one of this session's.
    pub(super) fn open(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (cipher, opener, _) = self.cipher.as_ref()?;
        let (header, message) = bytes.split_at_checked(TRANSFORM)?;
        let tag = Fields(header).array::<16>(4)?;
        let nonce = header.get(20..20_usize.checked_add(cipher.nonce_len())?)?;
        opener.open(nonce, header.get(20..)?, message, &tag)
    }
}

/// Whose session an encrypted message says it belongs to; `None` where it isn't a whole one.
pub(super) fn sealed_for(bytes: &[u8]) -> Option<u64> {
    let fields = Fields(bytes);
    if fields.array::<4>(0)? != TRANSFORM_ID || fields.u16(42)? != 1 {
        return None;
    }
    let length = usize::try_from(fields.u32(36)?).ok()?;
    (bytes.len().checked_sub(TRANSFORM)? == length && length >= HEADER)
        .then(|| fields.u64(44))
        .flatten()
}

/// The key derivation of SP 800-108 in counter mode with HMAC-SHA-256 (3.1.4.2).
fn derive(key: &[u8], label: &[u8], context: &[u8], length: usize) -> Vec<u8> {
    let bits = u32::try_from(length.saturating_mul(8)).unwrap_or(128);
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    mac.update(&1_u32.to_be_bytes());
    mac.update(label);
    mac.update(&[0]);
    mac.update(context);
    mac.update(&bits.to_be_bytes());
    let mut made = mac.sign().as_ref().to_vec();
    made.truncate(length);
    made
}

enum Signer {
    Hmac(Box<hmac::Key>),
    Cmac(cmac::Key),
    Gmac(LessSafeKey),
}

impl Signer {
    fn new(signing: Signing, key: &[u8]) -> Option<Self> {
        Some(match signing {
            Signing::HmacSha256 => Self::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key))),
            Signing::AesCmac => Self::Cmac(cmac::Key::new(cmac::AES_128, key).ok()?),
            Signing::AesGmac => {
                let key = UnboundKey::new(&aead::AES_128_GCM, key).ok()?;
                Self::Gmac(LessSafeKey::new(key))
            }
        })
    }

    /// The signature of `message`, whatever stands in its place.
    fn signature(&self, message: &[u8]) -> Option<[u8; 16]> {
        let before = message.get(..SIGNATURE.start)?;
        let after = message.get(SIGNATURE.end..)?;
        let zero = [0; 16];
        match self {
            Self::Hmac(key) => {
                let mut mac = hmac::Context::with_key(key);
                mac.update(before);
                mac.update(&zero);
                mac.update(after);
                mac.sign().as_ref().first_chunk().copied()
            }
            Self::Cmac(key) => {
                let mut mac = cmac::Context::with_key(key);
                mac.update(before).ok()?;
                mac.update(&zero).ok()?;
                mac.update(after).ok()?;
                mac.sign().ok()?.as_ref().first_chunk().copied()
            }
            Self::Gmac(key) => {
                // 3.1.4.1: the message's number, and whether the server sent it or it cancels.
                let fields = Fields(message);
                let cancels = u32::from(fields.u16(12)? == 12);
                let flags = (fields.u32(16)? & 1) | (cancels << 1);
                let mut nonce = [0; 12];
                put(&mut nonce, 0, &fields.array::<8>(24)?);
                put(&mut nonce, 8, &flags.to_le_bytes());
                let mut zeroed;
                let whole = if message.get(SIGNATURE)? == zero {
                    message
                } else {
                    zeroed = message.to_vec();
                    put(&mut zeroed, SIGNATURE.start, &zero);
                    &zeroed
                };
                let nonce = Nonce::assume_unique_for_key(nonce);
                let tag = key
                    .seal_in_place_separate_tag(nonce, Aad::from(whole), &mut [])
                    .ok()?;
                tag.as_ref().first_chunk().copied()
            }
        }
    }
}

enum Sealer {
    Gcm(LessSafeKey),
    Ccm(Box<Ccm>),
}

impl Sealer {
    fn new(cipher: Cipher, key: &[u8]) -> Option<Self> {
        let gcm = |algorithm| {
            let key = UnboundKey::new(algorithm, key).ok()?;
            Some(Self::Gcm(LessSafeKey::new(key)))
        };
        let ccm = |algorithm| {
            let key = || UnboundCipherKey::new(algorithm, key).ok();
            Some(Self::Ccm(Box::new(Ccm {
                blocks: EncryptingKey::cbc(key()?).ok()?,
                stream: EncryptingKey::ctr(key()?).ok()?,
            })))
        };
        match cipher {
            Cipher::Aes128Gcm => gcm(&aead::AES_128_GCM),
            Cipher::Aes256Gcm => gcm(&aead::AES_256_GCM),
            Cipher::Aes128Ccm => ccm(&cipher::AES_128),
            Cipher::Aes256Ccm => ccm(&cipher::AES_256),
        }
    }

    /// Encrypts in place; gives the tag.
    fn seal(&self, nonce: &[u8], aad: &[u8], message: &mut [u8]) -> Option<[u8; 16]> {
        match self {
            Self::Gcm(key) => {
                let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
                let tag = key
                    .seal_in_place_separate_tag(nonce, Aad::from(aad), message)
                    .ok()?;
                tag.as_ref().first_chunk().copied()
            }
            Self::Ccm(ccm) => {
                let Ccm { blocks, stream } = ccm.as_ref();
                let mut tag = ccm_tag(blocks, nonce, aad, message)?;
                counter(stream, nonce, 0, &mut tag)?;
                counter(stream, nonce, 1, message)?;
                Some(tag)
            }
        }
    }

    fn open(&self, nonce: &[u8], aad: &[u8], message: &[u8], tag: &[u8; 16]) -> Option<Vec<u8>> {
        let mut plain = message.to_vec();
        match self {
            Self::Gcm(key) => {
                let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
                plain.extend_from_slice(tag);
                let length = key
                    .open_in_place(nonce, Aad::from(aad), &mut plain)
                    .ok()?
                    .len();
                plain.truncate(length);
            }
            Self::Ccm(ccm) => {
                let Ccm { blocks, stream } = ccm.as_ref();
                counter(stream, nonce, 1, &mut plain)?;
                let mut right = ccm_tag(blocks, nonce, aad, &plain)?;
                counter(stream, nonce, 0, &mut right)?;
                constant_time::verify_slices_are_equal(&right, tag).ok()?;
            }
        }
        Some(plain)
    }
}

/// A key of CCM, for both of its halves.
struct Ccm {
    blocks: EncryptingKey,
    stream: EncryptingKey,
}

/// The CBC-MAC of CCM (RFC 3610 section 2.2), with a tag of 16 bytes and a length of four.
fn ccm_tag(blocks: &EncryptingKey, nonce: &[u8], aad: &[u8], message: &[u8]) -> Option<[u8; 16]> {
    let mut input = vec![0x7b];
    input.extend_from_slice(nonce);
    input.extend_from_slice(&u32::try_from(message.len()).ok()?.to_be_bytes());
    input.extend_from_slice(&u16::try_from(aad.len()).ok()?.to_be_bytes());
    input.extend_from_slice(aad);
    input.resize(input.len().next_multiple_of(16), 0);
    input.extend_from_slice(message);
    input.resize(input.len().next_multiple_of(16), 0);
    let start = EncryptionContext::Iv128(FixedLength::from([0; 16]));
    blocks.less_safe_encrypt(&mut input, start).ok()?;
    input.last_chunk().copied()
}

/// Applies the key stream of CCM from block `first` (RFC 3610 section 2.3).
fn counter(stream: &EncryptingKey, nonce: &[u8], first: u32, data: &mut [u8]) -> Option<()> {
    let mut block = [0; 16];
    put(&mut block, 0, &[3]);
    put(&mut block, 1, nonce);
    put(&mut block, 12, &first.to_be_bytes());
    let context = EncryptionContext::Iv128(FixedLength::from(block));
    stream.less_safe_encrypt(data, context).ok()?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values made with OpenSSL: a nonce of 11 bytes, a tag of 16.
    #[test]
    fn ccm_is_the_one_of_rfc_3610() {
        let sealer = Sealer::new(Cipher::Aes128Ccm, &[0x11; 16]).unwrap();
        let mut message = b"attack at dawn, twice".to_vec();
        let tag = sealer.seal(&[7; 11], &[9; 32], &mut message).unwrap();
        assert_eq!(
            (hex::encode(&message), hex::encode(tag)),
            (CCM.0.to_owned(), CCM.1.to_owned())
        );
        let plain = sealer.open(&[7; 11], &[9; 32], &message, &tag).unwrap();
        assert_eq!(plain, b"attack at dawn, twice");
        let mut wrong = tag;
        wrong[0] ^= 1;
        assert!(sealer.open(&[7; 11], &[9; 32], &message, &wrong).is_none());
    }
    const CCM: (&str, &str) = (
        "2d5034b83dc1957a350c1259a1d263e4c92e72f984",
        "2e899d0755a4f01f05c5e1728b9e9d23",
    );

    #[test]
    fn every_cipher_opens_what_its_peer_sealed_and_nothing_else() {
        for cipher in [1, 2, 3, 4].map(|id| Cipher::of(id).unwrap()) {
            let hash = [5; 64];
            let keys = |swap: bool| {
                let mut keys = Keys::new(
                    &[1; 16],
                    Derivation::Preauth(&hash),
                    Signing::AesCmac,
                    Some(cipher),
                )
                .unwrap();
                if swap {
                    keys.cipher = keys.cipher.map(|(c, a, b)| (c, b, a));
                }
                keys
            };
            let mut bytes = vec![0; TRANSFORM];
            bytes.extend([0xfe; 100]);
            keys(false).seal(&mut bytes, 0, 77, 3).unwrap();
            assert_eq!(sealed_for(&bytes), Some(77));
            assert_eq!(keys(true).open(&bytes).unwrap(), [0xfe; 100], "{cipher:?}");
            assert!(
                keys(false).open(&bytes).is_none(),
                "{cipher:?}: own direction"
            );
            for at in [4, 20, 44, 60] {
                let mut harmed = bytes.clone();
                harmed[at] ^= 1;
                assert!(keys(true).open(&harmed).is_none(), "{cipher:?} at {at}");
            }
        }
    }

    #[test]
    fn a_signature_covers_all_but_itself() {
        for signing in [0, 1, 2].map(|id| Signing::of(id).unwrap()) {
            let keys = Keys::new(&[1; 16], Derivation::Labels, signing, None).unwrap();
            let mut message = vec![0; 100];
            message[0] = 0xfe;
            keys.sign(&mut message);
            assert!(keys.verify(&message), "{signing:?}");
            for at in [0, 24, 48, 63, 64, 99] {
                let mut harmed = message.clone();
                harmed[at] ^= 1;
                assert!(!keys.verify(&harmed), "{signing:?} at {at}");
            }
        }
    }
}
