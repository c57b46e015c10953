//! Per-installation and per-session randomness, handed in from outside so that decoys stay pure.

use hmac::{Hmac, KeyInit, Mac};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sha2::Sha256;

/// 32 secret bytes from which named others are derived (HMAC-SHA-256, RFC 2104).
///
/// The same label always gives the same value; another label or another seed gives an unrelated
/// one. A bird's seed lives as long as the bird; a session's seed is made for that session.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// From 32 bytes of real randomness.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, to be kept on disk.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The seed named `label` under this one.
    pub fn derive(&self, label: &str) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length");
        mac.update(label.as_bytes());
        Self(mac.finalize().into_bytes().into())
    }

    /// `N` bytes named `label`.
    pub fn take<const N: usize>(&self, label: &str) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng(label).fill_bytes(&mut bytes);
        bytes
    }

    /// A number named `label`, from `low` to `high - 1`; `low` where the range is empty.
    pub fn number(&self, label: &str, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).max(1);
        low.saturating_add(self.rng(label).next_u64() % span)
    }

    /// An endless stream of random bytes named `label`.
    pub fn rng(&self, label: &str) -> ChaCha12Rng {
        ChaCha12Rng::from_seed(self.derive(label).0)
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_seeds_give_unrelated_values() {
        let (a, b) = (Seed::new([1; 32]), Seed::new([2; 32]));
        assert_eq!(a.take::<8>("salt"), a.take::<8>("salt"));
        assert_ne!(a.take::<8>("salt"), a.take::<8>("guid"));
        assert_ne!(a.take::<8>("salt"), b.take::<8>("salt"));
        assert!((5..9).contains(&a.number("n", 5, 9)));
        assert_eq!(a.number("n", 5, 5), 5);
    }
}
