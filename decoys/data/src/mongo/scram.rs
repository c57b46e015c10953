//! SCRAM (RFC 5802, RFC 7677) as mongod plays its server, for users that all seem to exist, and
//! the search for common passwords in what clients prove.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coalmine_core::{Seed, Timestamp, passwords};
use md5::{Digest, Md5};

/// Longest user name that is taken, in bytes.
const MAX_USER: usize = 1024;
/// Longest nonce of a client that is taken, in bytes.
const MAX_NONCE: usize = 1024;
/// Most guesses that one proof may cost. A guess is 10,000 or 15,000 rounds, a millisecond or two.
const MAX_GUESSES: u64 = 24;
/// How often a guess is earned: at most one part in twenty of a processor goes into guessing.
const GUESS_EVERY: Duration = Duration::from_millis(40);
/// Most users whose guesses are remembered.
const MAX_USERS: usize = 64;
/// Most guesses remembered for a user.
const MAX_REMEMBERED: usize = 512;

/// What is tried first, whatever the user's name.
const FIRST: &[&str] = &[
    "123456",
    "password",
    "admin",
    "root",
    "mongo",
    "mongodb",
    "test",
    "12345678",
    "123456789",
    "12345",
    "1234",
    "123",
    "qwerty",
    "pass",
    "secret",
    "changeme",
    "example",
    "111111",
    "admin123",
    "root123",
];

/// The two mechanisms of the community server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Sha1,
    Sha256,
}

impl Mechanism {
    pub fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"SCRAM-SHA-1" => Some(Self::Sha1),
            b"SCRAM-SHA-256" => Some(Self::Sha256),
            _ => None,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
        }
    }

    /// `scramIterationCount` and `scramSHA256IterationCount`.
    const fn rounds(self) -> NonZeroU32 {
        match self {
            Self::Sha1 => NonZeroU32::MIN.saturating_add(9_999),
            Self::Sha256 => NonZeroU32::MIN.saturating_add(14_999),
        }
    }

    /// The salt of a user: four bytes shorter than the hash, always the same.
    fn salt(self, seed: &Seed, db: &[u8], user: &[u8]) -> Vec<u8> {
        let label = format!("{} {} {}", self.name(), hex::encode(db), hex::encode(user));
        match self {
            Self::Sha1 => seed.take::<16>(&label).to_vec(),
            Self::Sha256 => seed.take::<28>(&label).to_vec(),
        }
    }

    pub fn hash(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    pub fn hmac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        let key = hmac::Key::new(algorithm, key);
        hmac::sign(&key, bytes).as_ref().to_vec()
    }

    /// `ClientKey` of a password.
    pub fn client_key(self, user: &[u8], password: &str, salt: &[u8]) -> Vec<u8> {
        let (algorithm, secret, mut salted) = match self {
            // MongoDB hashes the password with the user's name first.
            Self::Sha1 => {
                let mut md5 = Md5::new();
                md5.update(user);
                md5.update(b":mongo:");
                md5.update(password);
                let secret = hex::encode(md5.finalize());
                (pbkdf2::PBKDF2_HMAC_SHA1, secret, vec![0; 20])
            }
            Self::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, password.to_owned(), vec![0; 32]),
        };
        pbkdf2::derive(
            algorithm,
            self.rounds(),
            salt,
            secret.as_bytes(),
            &mut salted,
        );
        self.hmac(&salted, b"Client Key")
    }
}

/// A conversation after its first step.
#[derive(Debug)]
pub(super) struct Exchange {
    pub mechanism: Mechanism,
    pub db: Vec<u8>,
    pub user: Vec<u8>,
    salt: Vec<u8>,
    nonce: Vec<u8>,
    /// `client-first-message-bare` and `server-first-message` with a comma between.
    messages: Vec<u8>,
    /// `server-first-message`.
    pub answer: Vec<u8>,
}

/// What a client proved with.
#[derive(Debug)]
pub(super) struct Proof {
    /// `AuthMessage`.
    message: Vec<u8>,
    proof: Vec<u8>,
}

impl Exchange {
    /// Answers `client-first-message` as the server does; `None` where it refuses.
    pub fn begin(
        mechanism: Mechanism,
        db: &[u8],
        first: &[u8],
        seed: &Seed,
        random: [u8; 24],
    ) -> Option<Self> {
        let mut parts = first.splitn(3, |&b| b == b',');
        let (flag, authzid, bare) = (parts.next()?, parts.next()?, parts.next()?);
        if flag != b"n" && flag != b"y" {
            return None;
        }
        let mut attributes = bare.split(|&b| b == b',').filter(|part| !part.is_empty());
        let name = attributes.next()?.strip_prefix(b"n=")?;
        let user = unescape(name);
        let same = authzid.is_empty() || authzid.strip_prefix(b"a=") == Some(&user);
        let nonce = attributes.next()?.strip_prefix(b"r=")?;
        if user.is_empty() || user.len() > MAX_USER || !same {
            return None;
        }
        if nonce.len() < 4 || nonce.len() > MAX_NONCE {
            return None;
        }
        let mut nonce = nonce.to_vec();
        nonce.extend(STANDARD.encode(random).bytes());
        let salt = mechanism.salt(seed, db, &user);
        let mut answer = b"r=".to_vec();
        answer.extend(&nonce);
        let rest = format!(",s={},i={}", STANDARD.encode(&salt), mechanism.rounds());
        answer.extend(rest.bytes());
        let messages = [bare, &answer].join(&b',');
        Some(Self {
            mechanism,
            db: db.to_vec(),
            user,
            salt,
            nonce,
            messages,
            answer,
        })
    }

    /// Reads `client-final-message`; `None` where there's no proof that fits the conversation.
    pub fn proof(&self, last: &[u8]) -> Option<Proof> {
        let comma = last.iter().rposition(|&b| b == b',')?;
        let (without, proof) = last.split_at_checked(comma)?;
        let proof = proof.strip_prefix(b",p=")?;
        let mut attributes = without
            .split(|&b| b == b',')
            .filter(|part| !part.is_empty());
        attributes.next()?.strip_prefix(b"c=")?;
        if attributes.next()?.strip_prefix(b"r=")? != self.nonce {
            return None;
        }
        Some(Proof {
            message: [&self.messages, without].join(&b','),
            proof: STANDARD.decode(proof).ok()?,
        })
    }

    /// Whether the proof is of the password with this `StoredKey`.
    fn proves(&self, proof: &Proof, stored_key: &[u8]) -> bool {
        let signature = self.mechanism.hmac(stored_key, &proof.message);
        if signature.len() != proof.proof.len() {
            return false;
        }
        let pairs = signature.iter().zip(&proof.proof);
        let client_key: Vec<u8> = pairs.map(|(a, b)| a ^ b).collect();
        self.mechanism.hash(&client_key) == stored_key
    }

    /// All that's needed to try passwords later: mechanism, `AuthMessage`, proof.
    pub fn transcript(&self, proof: &Proof) -> Vec<u8> {
        let mut text = format!("${}$", self.mechanism.name()).into_bytes();
        text.extend(&proof.message);
        text.extend(b",p=");
        text.extend(STANDARD.encode(&proof.proof).bytes());
        text
    }
}

/// A user's name as it was before commas and equals signs were escaped.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = name;
    loop {
        rest = match rest {
            [] => return plain,
            [b'=', b'2', b'C', after @ ..] => {
                plain.push(b',');
                after
            }
            [b'=', b'3', b'D', after @ ..] => {
                plain.push(b'=');
                after
            }
            [byte, after @ ..] => {
                plain.push(*byte);
                after
            }
        };
    }
}

/// Tries common passwords within a fixed budget. A user's salt never changes, so each guess is
/// paid for once and then costs a hash per proof.
pub(super) struct Guesser(Mutex<Guesses>);

struct Guesses {
    /// Most recently used last.
    users: Vec<UserGuesses>,
    /// Guesses that may be spent now.
    budget: u64,
    earned_until: Timestamp,
}

struct UserGuesses {
    mechanism: Mechanism,
    salt: Vec<u8>,
    /// `StoredKey` of each candidate tried so far.
    keys: Vec<Vec<u8>>,
}

impl Guesser {
    pub fn new() -> Self {
        Self(Mutex::new(Guesses {
            users: Vec::new(),
            budget: MAX_GUESSES,
            earned_until: Timestamp::from_secs(0),
        }))
    }

    /// The password behind a proof, if it's among those tried for this user so far.
    pub fn recover(&self, exchange: &Exchange, proof: &Proof, now: Timestamp) -> Option<String> {
        let user = String::from_utf8(exchange.user.clone()).ok()?;
        let keys = {
            // Held for the rounds, too, so that whoever asks meanwhile finds what they give; the
            // budget bounds the wait.
            let mut guesses = self.0.lock().ok()?;
            let (from, count) = guesses.spend(exchange, now);
            let of_user = guesses.of(exchange);
            let fresh = candidates(&user).skip(from).take(count);
            of_user.keys.extend(fresh.map(|password| {
                let mechanism = exchange.mechanism;
                let key = mechanism.client_key(&exchange.user, &password, &exchange.salt);
                mechanism.hash(&key)
            }));
            of_user.keys.clone()
        };
        let n = keys.iter().position(|key| exchange.proves(proof, key))?;
        candidates(&user).nth(n)
    }
}

impl Guesses {
    /// The first candidate to try now for this user, and how many.
    fn spend(&mut self, exchange: &Exchange, now: Timestamp) -> (usize, usize) {
        let earned = now.since(self.earned_until).as_millis() / GUESS_EVERY.as_millis().max(1);
        if let Ok(earned) = u64::try_from(earned)
            && earned > 0
        {
            self.budget = self.budget.saturating_add(earned).min(MAX_GUESSES);
            self.earned_until = now;
        }
        let budget = self.budget;
        let of_user = self.of(exchange);
        let from = of_user.keys.len();
        let room = MAX_REMEMBERED.saturating_sub(from);
        let count = usize::try_from(budget).unwrap_or(0).min(room);
        self.budget = budget.saturating_sub(u64::try_from(count).unwrap_or(budget));
        (from, count)
    }

    /// What is remembered of a user; forgets another if there are too many.
    fn of(&mut self, exchange: &Exchange) -> &mut UserGuesses {
        let known = self
            .users
            .iter()
            .position(|user| user.mechanism == exchange.mechanism && user.salt == exchange.salt);
        let user = match known {
            Some(at) => self.users.remove(at),
            None => {
                if self.users.len() >= MAX_USERS {
                    self.users.remove(0);
                }
                UserGuesses {
                    mechanism: exchange.mechanism,
                    salt: exchange.salt.clone(),
                    keys: Vec::new(),
                }
            }
        };
        self.users.push(user);
        #[expect(clippy::expect_used, reason = "pushed above")]
        self.users.last_mut().expect("not empty")
    }
}

/// Everything that's tried for a user, likeliest first, always in the same order.
fn candidates(user: &str) -> impl Iterator<Item = String> {
    let name = [user.to_owned(), passwords::capitalised(user)];
    let first = FIRST.iter().map(|word| (*word).to_owned());
    let more = passwords::from_name(user)
        .skip(2)
        .chain(passwords::common())
        .filter(|word| !FIRST.contains(&word.as_str()));
    name.into_iter().chain(first).chain(more)
}
