//! Common passwords out of salted hashes.
//!
//! A client sends `SHA1(password) XOR SHA1(salt + SHA1(SHA1(password)))`. Both hashes of each common
//! password are computed once; a login then costs one round of SHA-1 for each.

use std::collections::HashSet;
use std::sync::OnceLock;

use coalmine_core::{Timestamp, passwords};
use sha1::block_api::compress;
use sha1::{Digest, Sha1};

use super::MAX_USER;

/// Searches of the whole list that can be saved up, so that an attack by a list of passwords is
/// searched to its end. Beyond, only frequent passwords and those made from the user's name are
/// tried, so that a flood doesn't cost a core: a whole search takes about 0.7 ms.
const MAX_SAVED_SEARCHES: u32 = 2_000;
/// Searches of the whole list that each second adds.
const SEARCHES_A_SECOND: u32 = 200;
/// SHA-1 begins with this (FIPS 180-4 section 5.3.1).
const START: [u32; 5] = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

/// Searches for passwords, as many as there is time for.
#[derive(Default)]
pub struct Searches(passwords::Searches);

impl Searches {
    /// The password behind `hash`, if it's a common one or made from the name `user`.
    pub fn recover(
        &self,
        salt: &[u8; 20],
        hash: &[u8; 20],
        user: &str,
        now: Timestamp,
    ) -> Option<String> {
        static KNOWN: OnceLock<(Vec<Known>, Vec<Known>)> = OnceLock::new();
        let (frequent, rest) = KNOWN.get_or_init(|| {
            let mut seen = HashSet::new();
            let mut new = |password: &String| seen.insert(password.clone());
            let frequent: Vec<_> = passwords::frequent().filter(&mut new).collect();
            let rest: Vec<_> = passwords::common().filter(&mut new).collect();
            let known = |list: Vec<String>| list.into_iter().map(Known::new).collect();
            (known(frequent), known(rest))
        });
        if let Some(known) = search(frequent, salt, hash) {
            return Some(known.password.clone());
        }
        if !user.is_empty() && user.len() <= MAX_USER {
            let own: Vec<_> = passwords::from_name(user).map(Known::new).collect();
            if let Some(known) = search(&own, salt, hash) {
                return Some(known.password.clone());
            }
        }
        if !self.may_search(now) {
            return None;
        }
        search(rest, salt, hash).map(|known| known.password.clone())
    }

    /// Whether there is time for a whole search.
    fn may_search(&self, now: Timestamp) -> bool {
        self.0
            .may_search(SEARCHES_A_SECOND, MAX_SAVED_SEARCHES, now)
    }
}

/// A password with its two hashes: of itself, as words, and of that.
struct Known {
    password: String,
    once: [u32; 5],
    twice: [u8; 20],
}

impl Known {
    fn new(password: String) -> Self {
        let once: [u8; 20] = Sha1::digest(&password).into();
        Self {
            once: words(&once),
            twice: Sha1::digest(once).into(),
            password,
        }
    }
}

/// The one of `known` that gives `hash` with `salt`.
fn search<'a>(known: &'a [Known], salt: &[u8; 20], hash: &[u8; 20]) -> Option<&'a Known> {
    let hash = words(hash);
    // Salt, second hash, a bit that is one, zeros, and the length of 320 bits.
    let mut block = [0_u8; 64];
    put(&mut block, 0, salt);
    put(&mut block, 40, &[0x80]);
    put(&mut block, 62, &[1, 64]);
    known.iter().find(|known| {
        put(&mut block, 20, &known.twice);
        let mut mixed = START;
        compress(&mut mixed, std::slice::from_ref(&block));
        let once = mixed.iter().zip(&hash).map(|(m, h)| m ^ h);
        once.eq(known.once.iter().copied())
    })
}

fn put(block: &mut [u8; 64], at: usize, bytes: &[u8]) {
    for (to, from) in block.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// Big-endian words, as SHA-1 counts.
fn words(bytes: &[u8; 20]) -> [u32; 5] {
    let mut words = [0; 5];
    for (word, four) in words.iter_mut().zip(bytes.chunks(4)) {
        *word = four
            .iter()
            .fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::tests::scramble;
    use super::*;

    #[test]
    fn a_flood_gets_the_frequent_passwords_and_the_next_second_more() {
        let searches = Searches::default();
        let salt = *b"abcdefghijklmnopqrst";
        let now = Timestamp::from_secs(1_790_000_000);
        let find =
            |password: &str, now| searches.recover(&salt, &scramble(password, &salt), "app", now);
        assert_eq!(find("Oracle2024", now).as_deref(), Some("Oracle2024"));
        for _ in 1..MAX_SAVED_SEARCHES {
            assert!(searches.may_search(now));
        }
        assert_eq!(find("Oracle2024", now), None);
        for password in ["123456", "P@ssw0rd", "root", "App2024", "ppa"] {
            assert_eq!(find(password, now).as_deref(), Some(password));
        }
        let later = now.plus(std::time::Duration::from_secs(1));
        assert_eq!(find("Oracle2024", later).as_deref(), Some("Oracle2024"));
        assert_eq!(find("xK9#vq", later), None);
        for _ in 2..SEARCHES_A_SECOND {
            assert!(searches.may_search(later));
        }
        assert!(!searches.may_search(later));
        assert!(!searches.may_search(now), "the clock was set back");
    }

    #[test]
    fn searches_are_saved_up_to_a_limit() {
        let searches = Searches::default();
        let made = |secs| {
            let now = Timestamp::from_secs(secs);
            std::iter::from_fn(|| searches.may_search(now).then_some(())).count()
        };
        let most = usize::try_from(MAX_SAVED_SEARCHES).unwrap();
        assert_eq!(made(1_790_000_000), most);
        assert_eq!(made(1_790_000_002), 400);
        assert_eq!(made(1_890_000_000), most);
    }

    #[test]
    fn a_flood_s_login_costs_little() {
        let frequent: HashSet<_> = passwords::frequent().collect();
        let tries = frequent.len() + passwords::from_name("root").count();
        assert!((500..2_000).contains(&tries), "{tries} hashes a login");
    }
}
