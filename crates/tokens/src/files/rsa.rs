//! RSA keys from a seed, and certificates that they sign for themselves.
//!
//! The primes are searched here, not by the library's own generator: which numbers are prime never
//! changes, so that a token's key comes out the same with every version of the library.

use coalmine_core::settings::Fault;
use coalmine_core::{Seed, Timestamp};
use crypto_primes::{Flavor, is_prime};
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{BoxedUint, Pkcs1v15Sign, RsaPrivateKey};
use sha2::{Digest as _, Sha256};

use super::Dice;
use super::der::{bits, context, integer, null, oid, pem, sequence, set, time, utf8};

/// The exponent that everybody uses.
const EXPONENT: u32 = 65_537;
/// Bits of a prime: half of the modulus.
const BITS: u32 = 1024;
const SHA256_WITH_RSA: &str = "1.2.840.113549.1.1.11";

/// A key of 2048 bits.
pub struct Key(RsaPrivateKey);

impl Key {
    /// The one of this name.
    ///
    /// # Errors
    /// Where the library doesn't take two different primes for a key.
    pub fn new(seed: &Seed, label: &str) -> Result<Self, Vec<Fault>> {
        let refused = |problem: rsa::Error| vec![Fault::new("kind", format!("no key: {problem}"))];
        let mut dice = Dice::new(seed, label);
        let (p, q) = (prime(&mut dice), prime(&mut dice));
        let key = RsaPrivateKey::from_p_q(p, q, BoxedUint::from(EXPONENT));
        key.map(Self).map_err(refused)
    }

    /// Its modulus, big-endian.
    pub fn modulus(&self) -> Vec<u8> {
        self.0.n_bytes().into_vec()
    }

    /// As `PRIVATE KEY` (PKCS #8) in PEM.
    ///
    /// # Errors
    /// Where the library cannot write it.
    pub fn pem(&self) -> Result<String, Vec<Fault>> {
        let refused = |_| vec![Fault::new("kind", "the key cannot be written")];
        let der = self.0.to_pkcs8_der().map_err(refused)?;
        Ok(pem("PRIVATE KEY", der.as_bytes()))
    }

    /// A certificate of version 3 that names and is signed by this key, in DER.
    ///
    /// # Errors
    /// Where the library cannot sign.
    pub fn certificate(
        &self,
        common_name: &str,
        serial: &[u8],
        (since, until): (Timestamp, Timestamp),
    ) -> Result<Vec<u8>, Vec<Fault>> {
        let name = set(vec![sequence(&[oid("2.5.4.3"), utf8(common_name)])]);
        let name = sequence(&[name]);
        let algorithm = sequence(&[oid(SHA256_WITH_RSA), null()]);
        let public = sequence(&[integer(&self.modulus()), integer(&EXPONENT.to_be_bytes())]);
        let body = sequence(&[
            context(0, &integer(&[2])),
            integer(serial),
            algorithm.clone(),
            name.clone(),
            sequence(&[time(since), time(until)]),
            name,
            sequence(&[
                sequence(&[oid("1.2.840.113549.1.1.1"), null()]),
                bits(0, &public),
            ]),
        ]);
        Ok(sequence(&[
            body.clone(),
            algorithm,
            bits(0, &self.sign(&body)?),
        ]))
    }

    /// The signature of RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2).
    ///
    /// # Errors
    /// Where the library cannot sign.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Vec<Fault>> {
        let refused = |_| vec![Fault::new("kind", "the key cannot sign")];
        let digest = Sha256::digest(message);
        let scheme = Pkcs1v15Sign::new::<Sha256>();
        self.0.sign(scheme, &digest).map_err(refused)
    }
}

/// The next prime from where the dice point to, with both highest bits set, so that two of them
/// make a modulus of full length, and one that [`EXPONENT`] doesn't divide minus one.
fn prime(dice: &mut Dice) -> BoxedUint {
    let small = small_primes();
    loop {
        let mut bytes = dice.bytes::<{ BITS as usize / 8 }>();
        bytes[0] |= 0xc0;
        bytes[BITS as usize / 8 - 1] |= 1;
        let rests: Vec<u32> = small.iter().map(|prime| rest(&bytes, *prime)).collect();
        // From a random start the next prime is some hundred steps away; ten thousand lack one
        // hardly ever, and then other dice are thrown.
        for step in (0..20_000_u32).step_by(2) {
            let divided = small.iter().zip(&rests).any(|(prime, rest)| {
                let sum = rest.wrapping_add(step) % prime;
                // The last one is the exponent itself.
                sum == 0 || (*prime == EXPONENT && sum == 1)
            });
            if divided {
                continue;
            }
            let Some(candidate) = plus(bytes, step) else {
                break;
            };
            let Ok(candidate) = BoxedUint::from_be_slice(&candidate, BITS) else {
                break;
            };
            if is_prime(Flavor::Any, &candidate) {
                return candidate;
            }
        }
    }
}

/// Odd primes below 2,000, then the exponent.
fn small_primes() -> Vec<u32> {
    let mut primes: Vec<u32> = Vec::new();
    for n in (3..2_000).step_by(2) {
        if primes.iter().all(|prime| n % prime != 0) {
            primes.push(n);
        }
    }
    primes.push(EXPONENT);
    primes
}

fn rest(bytes: &[u8], of: u32) -> u32 {
    let of = u64::from(of);
    let rest = bytes
        .iter()
        .fold(0_u64, |rest, byte| ((rest << 8) | u64::from(*byte)) % of);
    u32::try_from(rest).unwrap_or(0)
}

/// The sum, unless it is longer.
fn plus<const N: usize>(mut bytes: [u8; N], step: u32) -> Option<[u8; N]> {
    let mut carry = step;
    for byte in bytes.iter_mut().rev() {
        let sum = u32::from(*byte).saturating_add(carry & 0xff);
        *byte = u8::try_from(sum & 0xff).ok()?;
        carry = (carry >> 8).saturating_add(sum >> 8);
    }
    (carry == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_out_the_same_and_verify_elsewhere() {
        let seed = Seed::new([7; 32]);
        let key = Key::new(&seed, "key").unwrap();
        let modulus = key.modulus();
        assert_eq!((modulus.len(), modulus[0] & 0x80), (256, 0x80));
        // For ever: tokens that were placed are made again from their seed.
        let print = data_encoding::HEXLOWER.encode(&Sha256::digest(&modulus));
        assert_eq!(
            print,
            "540d37404c56620b851dac025ab950ad427557090f577e355feb200519045610"
        );
        let public = aws_lc_rs::signature::RsaPublicKeyComponents {
            n: modulus,
            e: vec![1, 0, 1],
        };
        let signature = key.sign(b"message").unwrap();
        let scheme = &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
        assert!(public.verify(scheme, b"message", &signature).is_ok());
        assert!(public.verify(scheme, b"another", &signature).is_err());
    }

    #[test]
    fn sums_carry() {
        assert_eq!(plus([0, 0xff, 0xff], 3), Some([1, 0, 2]));
        assert_eq!(plus([0, 0, 1], 0x0102), Some([0, 1, 3]));
        assert_eq!(plus([0xff, 0xff], 1), None);
        assert_eq!(rest(&[1, 0], 7), 4);
        assert_eq!(small_primes()[..4], [3, 5, 7, 11]);
    }
}
