//! Choices that are always the same for the same installation.

use coalmine_core::Seed;

/// A stream of numbers that only look random (SplitMix64): for names, sizes and pictures, never
/// for secrets.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream named `label` under `seed`.
    pub fn new(seed: &Seed, label: &str) -> Self {
        Self(u64::from_le_bytes(seed.take(label)))
    }

    /// The stream of a number.
    #[cfg(test)]
    pub const fn of(number: u64) -> Self {
        Self(number)
    }

    /// The stream of the `index`th thing under `number`.
    pub const fn at(number: u64, index: u64) -> Self {
        Self(mix(number ^ mix(index.wrapping_add(1))))
    }

    /// The next 64 bits.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 to `most - 1`; 0 where that's empty.
    pub fn below(&mut self, most: u64) -> u64 {
        self.roll() % most.max(1)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// Yes in `percent` of the cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `list`; empty for an empty list.
    pub fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(list.len() as u64)).unwrap_or(0);
        list.get(at).copied().unwrap_or_default()
    }

    /// `most` different ones of `list` in an order of their own.
    pub fn some<'a>(&mut self, list: &[&'a str], most: usize) -> Vec<&'a str> {
        let mut order: Vec<(u64, &str)> = list.iter().map(|&word| (self.roll(), word)).collect();
        order.sort_unstable();
        order.truncate(most);
        order.into_iter().map(|(_, word)| word).collect()
    }

    /// `length` characters of `alphabet`.
    pub fn text(&mut self, alphabet: &str, length: usize) -> String {
        let letters: Vec<&str> = alphabet.split("").filter(|l| !l.is_empty()).collect();
        (0..length).map(|_| self.pick(&letters)).collect()
    }
}

const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_chooses_the_same() {
        let (mut a, mut b) = (
            Dice::new(&Seed::new([1; 32]), "x"),
            Dice::new(&Seed::new([1; 32]), "x"),
        );
        let words = ["a", "b", "c", "d", "e"];
        assert_eq!(a.some(&words, 3), b.some(&words, 3));
        assert_eq!(a.text("01", 64), b.text("01", 64));
        assert_ne!(Dice::at(7, 0).roll(), Dice::at(7, 1).roll());
        assert_eq!(a.pick(&[]), "");
        assert!((3..=5).contains(&a.between(3, 5)));
        assert_eq!(a.below(0), 0);
    }
}
