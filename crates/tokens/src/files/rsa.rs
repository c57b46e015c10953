//! RSA keys from a seed, and certificates that they sign for themselves.
//!
//! The primes are searched here, not by the library's own generator: which numbers are prime never
//! changes, so that a token's key comes out the same with every version of the library.

use std::sync::LazyLock;

use coalmine_core::settings::Fault;
use coalmine_core::{Seed, Timestamp};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U1024};
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
const BITS: u32 = U1024::BITS;
/// Candidates are divided by the primes below this before anything dearer is tried.
const MAX_DIVISOR: u32 = 1 << 16;
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
    loop {
        let mut bytes = dice.bytes::<{ BITS as usize / 8 }>();
        bytes[0] |= 0xc0;
        bytes[BITS as usize / 8 - 1] |= 1;
        let divisors: Vec<(u32, u32)> = DIVISORS
            .iter()
            .map(|prime| (*prime, rest(&bytes, *prime)))
            .collect();
        // From a random start the next prime is some hundred steps away; ten thousand lack one
        // hardly ever, and then other dice are thrown.
        for step in (0..20_000_u32).step_by(2) {
            let divided = divisors.iter().any(|(prime, rest)| {
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
            let Ok(whole) = BoxedUint::from_be_slice(&candidate, BITS) else {
                break;
            };
            if may_be_prime(&U1024::from_be_slice(&candidate)) && is_prime(Flavor::Any, &whole) {
                return whole;
            }
        }
    }
}

/// Fermat's test to base two: primes pass it, and hardly any other number does. Its powers are
/// doublings, which makes it the cheapest.
fn may_be_prime(candidate: &U1024) -> bool {
    let Some(odd) = Odd::new(*candidate).into_option() else {
        return false;
    };
    let params = FixedMontyParams::new_vartime(odd);
    let one = FixedMontyForm::one(&params);
    let exponent = candidate.wrapping_sub(&U1024::ONE);
    let power = (0..BITS).rev().fold(one, |power, bit| {
        let square = power.square();
        match exponent.bit_vartime(bit) {
            true => square.double(),
            false => square,
        }
    });
    power == one
}

/// Odd primes below [`MAX_DIVISOR`], then the exponent.
static DIVISORS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut primes: Vec<u32> = Vec::new();
    for n in (3..MAX_DIVISOR).step_by(2) {
        let mut divisors = primes.iter().take_while(|prime| **prime < 256);
        if divisors.all(|prime| n % prime != 0) {
            primes.push(n);
        }
    }
    primes.push(EXPONENT);
    primes
});

fn rest(bytes: &[u8; BITS as usize / 8], of: u32) -> u32 {
    let of = u64::from(of);
    let (words, _) = bytes.as_chunks::<4>();
    let rest = words.iter().fold(0_u64, |rest, word| {
        ((rest << 32) | u64::from(u32::from_be_bytes(*word))) % of
    });
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
    }

    #[test]
    fn numbers_are_divided_and_tested() {
        let mut bytes = [0; BITS as usize / 8];
        bytes[BITS as usize / 8 - 5] = 1;
        assert_eq!((rest(&bytes, 7), rest(&bytes, EXPONENT)), (4, 1));
        assert_eq!(DIVISORS[..5], [3, 5, 7, 11, 13]);
        // As many as there are below 65,536 but for two, and the exponent.
        assert_eq!((DIVISORS.len(), DIVISORS.last()), (6_542, Some(&EXPONENT)));
        for (number, passes) in [
            (65_537, true),
            (65_539, true),
            (65_541, false),
            (65_535, false),
            (4, false),
            // The least that passes and isn't prime.
            (341, true),
        ] {
            assert_eq!(may_be_prime(&U1024::from_u32(number)), passes, "{number}");
        }
    }
}
