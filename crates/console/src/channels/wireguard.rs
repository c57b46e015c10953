//! The WireGuard channel: a handshake with our peer, by a key that is a token's. Never an answer: what
//! isn't a handshake for us, and what is, both meet silence, as an unknown client does at WireGuard.
//!
//! Source: "WireGuard: Next Generation Kernel Network Tunnel", section 5.4 (Noise_IKpsk2).

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use blake2::digest::consts::U16;
use blake2::digest::{Digest as _, KeyInit as _, Mac as _};
use blake2::{Blake2s256, Blake2sMac};
use coalmine_core::Endpoint;
use coalmine_core::token::{Alias, TokenChannel};
use data_encoding::BASE64;
use hmac::SimpleHmac;
use lru::LruCache;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::touch::{Candidate, Keeper, Touch, Touches, What};
use crate::{ConsoleError, setup};

/// Length of a handshake's first message.
const INITIATION: usize = 148;
/// Longest datagram read; what is longer is no initiation.
const MAX_DATAGRAM: usize = 256;
/// Handshakes whose cryptography is done in one second; the rest is dropped.
const MAX_PER_SECOND: u32 = 500;
/// Handshakes being looked up and remembered at once.
const MAX_IN_FLIGHT: usize = 256;
/// Keys whose last handshake is remembered, to tell replays.
const MAX_KEYS: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");

const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";
const LABEL_MAC1: &[u8] = b"mac1----";

/// Listens until stopped.
pub(super) async fn serve<K: Keeper>(
    socket: UdpSocket,
    responder: Responder,
    touches: Arc<Touches<K>>,
) {
    let Ok(local) = socket.local_addr() else {
        return;
    };
    let places = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut replays = Replays::new();
    let mut second = (Instant::now(), 0_u32);
    let mut datagram = [0; MAX_DATAGRAM];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut datagram).await else {
            // No memory, or an error that belongs to another datagram.
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let Some(packet) = datagram.get(..length) else {
            continue;
        };
        if !responder.is_for_us(packet) {
            continue;
        }
        let now = Instant::now();
        if now.duration_since(second.0) >= Duration::from_secs(1) {
            second = (now, 0);
        }
        second.1 = second.1.saturating_add(1);
        if second.1 > MAX_PER_SECOND {
            continue;
        }
        let Some(initiation) = responder.read(packet) else {
            continue;
        };
        if !replays.is_new(&initiation) {
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (candidate, touch) = touched(&initiation, peer, local);
        let touches = Arc::clone(&touches);
        tokio::spawn(async move {
            // Whatever a kind answers, nothing is sent.
            let _ = touches.touch(vec![candidate], touch).await;
            drop(place);
        });
    }
}

fn touched(initiation: &Initiation, peer: SocketAddr, local: SocketAddr) -> (Candidate, Touch) {
    let client_public_key = BASE64.encode(&initiation.client);
    let candidate = Candidate::Alias(Alias {
        channel: TokenChannel::Wireguard,
        key: client_public_key.clone(),
    });
    let touch = Touch {
        at: crate::now(),
        src: Endpoint::from(peer),
        dst: Endpoint::from(local),
        what: What::Wireguard {
            client_public_key,
            session_index: initiation.index,
        },
    };
    (candidate, touch)
}

/// What the first message of a handshake says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Initiation {
    /// The initiator's static public key.
    pub client: [u8; 32],
    /// The initiator's name of the session.
    pub index: u32,
    /// TAI64N; greater with each handshake of one client.
    pub timestamp: [u8; 12],
}

/// The last handshake of each key: a copy of it, or of an earlier one, is a replay (section 5.1).
struct Replays(LruCache<[u8; 32], [u8; 12]>);

impl Replays {
    fn new() -> Self {
        Self(LruCache::new(MAX_KEYS))
    }

    fn is_new(&mut self, initiation: &Initiation) -> bool {
        let last = self.0.get(&initiation.client);
        if last.is_some_and(|last| *last >= initiation.timestamp) {
            return false;
        }
        self.0.put(initiation.client, initiation.timestamp);
        true
    }
}

/// Our side of a handshake.
pub(super) struct Responder {
    private: PrivateKey,
    public: [u8; 32],
    /// Key of the first MAC, which is our public key's.
    mac1: [u8; 32],
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Responder")
    }
}

impl Responder {
    /// With the key that lies in `dir`, which is made at the first start.
    ///
    /// # Errors
    /// Where the file can't be read or written, or holds something else.
    pub fn in_dir(dir: &Path) -> Result<Self, ConsoleError> {
        let file = dir.join("wireguard.key");
        if !file.exists() {
            let key = setup::random::<32>()?;
            setup::write(&file, format!("{}\n", BASE64.encode(&key)).as_bytes())?;
        }
        let text = std::fs::read_to_string(&file).map_err(|cause| ConsoleError::Io {
            doing: format!("read {}", file.display()),
            cause,
        })?;
        let key = BASE64.decode(text.trim().as_bytes()).ok();
        key.and_then(|key| Self::new(&key)).ok_or_else(|| {
            ConsoleError::Secrets(format!("{} holds no WireGuard key", file.display()))
        })
    }

    /// With this private key.
    pub fn new(private: &[u8]) -> Option<Self> {
        let private = PrivateKey::from_private_key(&X25519, private).ok()?;
        let public = private.compute_public_key().ok()?;
        let public: [u8; 32] = public.as_ref().try_into().ok()?;
        Some(Self {
            mac1: hash(&[LABEL_MAC1, &public]),
            private,
            public,
        })
    }

    /// Base64.
    pub fn public_key(&self) -> String {
        BASE64.encode(&self.public)
    }

    /// Whether it's a handshake's first message whose sender knows our public key.
    pub fn is_for_us(&self, packet: &[u8]) -> bool {
        if packet.len() != INITIATION || !packet.starts_with(&[1, 0, 0, 0]) {
            return false;
        }
        let (Some(message), Some(given)) = (packet.get(..116), packet.get(116..132)) else {
            return false;
        };
        let Ok(mac) = Blake2sMac::<U16>::new_from_slice(&self.mac1) else {
            return false;
        };
        mac.chain_update(message).verify_slice(given).is_ok()
    }

    /// Opens the first message of a handshake; `None` where it isn't one for us.
    pub fn read(&self, packet: &[u8]) -> Option<Initiation> {
        let index = u32::from_le_bytes(packet.get(4..8)?.try_into().ok()?);
        let ephemeral = packet.get(8..40)?;
        let (sealed_client, sealed_time) = (packet.get(40..88)?, packet.get(88..116)?);
        let mut chain = hash(&[CONSTRUCTION]);
        let mut heard = hash(&[&chain, IDENTIFIER]);
        heard = hash(&[&heard, &self.public]);
        heard = hash(&[&heard, ephemeral]);
        let (next, _) = derive(&chain, ephemeral)?;
        chain = next;
        let (next, key) = derive(&chain, &self.shared(ephemeral)?)?;
        chain = next;
        let client: [u8; 32] = open(&key, &heard, sealed_client)?.try_into().ok()?;
        heard = hash(&[&heard, sealed_client]);
        let (_, key) = derive(&chain, &self.shared(&client)?)?;
        let timestamp = open(&key, &heard, sealed_time)?.try_into().ok()?;
        Some(Initiation {
            client,
            index,
            timestamp,
        })
    }

    fn shared(&self, theirs: &[u8]) -> Option<[u8; 32]> {
        let theirs = UnparsedPublicKey::new(&X25519, theirs);
        agree(&self.private, theirs, (), |shared| {
            <[u8; 32]>::try_from(shared).map_err(|_| ())
        })
        .ok()
    }
}

/// Reads a handshake of made-up bytes; for the fuzzer.
pub fn exercise(input: &[u8]) {
    let Some(responder) = Responder::new(&[1; 32]) else {
        return;
    };
    // Nobody guesses a MAC; what stands behind it is read all the same.
    let _ = responder.is_for_us(input);
    assert_eq!(responder.read(input), None, "no made-up bytes open");
}

/// HASH of the parts, one after the other.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Blake2s256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// KDF2: two keys (the first alone is KDF1).
fn derive(key: &[u8; 32], input: &[u8]) -> Option<([u8; 32], [u8; 32])> {
    let secret = hmac(key, &[input])?;
    let first = hmac(&secret, &[&[1]])?;
    let second = hmac(&secret, &[&first, &[2]])?;
    Some((first, second))
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Option<[u8; 32]> {
    let mut mac = SimpleHmac::<Blake2s256>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac.finalize().into_bytes().into())
}

/// AEAD with counter 0.
fn open(key: &[u8; 32], heard: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let mut text = sealed.to_vec();
    let opened = key.open_in_place(nonce, Aad::from(heard), &mut text).ok()?;
    Some(opened.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::channels::tests::{Bench, KEYED, bench, local, peer};

    /// What a client with `private` sends to the responder with `public`.
    fn initiation(private: &[u8; 32], public: &[u8; 32], timestamp: [u8; 12]) -> Vec<u8> {
        let seal = |key: &[u8; 32], heard: &[u8; 32], text: &[u8]| {
            let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).unwrap());
            let mut text = text.to_vec();
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            key.seal_in_place_append_tag(nonce, Aad::from(heard), &mut text)
                .unwrap();
            text
        };
        let (ours, fleeting) = (
            Responder::new(private).unwrap(),
            Responder::new(&[9; 32]).unwrap(),
        );
        let mut chain = hash(&[CONSTRUCTION]);
        let mut heard = hash(&[&chain, IDENTIFIER]);
        heard = hash(&[&heard, public]);
        heard = hash(&[&heard, &fleeting.public]);
        chain = derive(&chain, &fleeting.public).unwrap().0;
        let (next, key) = derive(&chain, &fleeting.shared(public).unwrap()).unwrap();
        chain = next;
        let client = seal(&key, &heard, &ours.public);
        heard = hash(&[&heard, &client]);
        let (_, key) = derive(&chain, &ours.shared(public).unwrap()).unwrap();
        let time = seal(&key, &heard, &timestamp);
        let mut packet = [
            &[1, 0, 0, 0, 7, 0, 0, 0],
            &fleeting.public[..],
            &client,
            &time,
        ]
        .concat();
        let mac = Blake2sMac::<U16>::new_from_slice(&hash(&[LABEL_MAC1, public])).unwrap();
        let mac = mac.chain_update(&packet).finalize().into_bytes();
        packet.extend_from_slice(&mac);
        packet.extend_from_slice(&[0; 16]);
        packet
    }

    #[test]
    fn a_handshake_names_its_client_and_every_other_packet_is_refused() {
        let server = Responder::new(&[1; 32]).unwrap();
        let packet = initiation(&[2; 32], &server.public, [3; 12]);
        assert!(server.is_for_us(&packet));
        let read = server.read(&packet).unwrap();
        assert_eq!(read.client, Responder::new(&[2; 32]).unwrap().public);
        assert_eq!((read.index, read.timestamp), (7, [3; 12]));
        for at in 0..132 {
            let mut bad = packet.clone();
            bad[at] ^= 1;
            assert!(!server.is_for_us(&bad), "byte {at}");
        }
        // Sealed parts that don't open, under a MAC that holds.
        for at in [8, 40, 88] {
            let mut bad = packet.clone();
            bad[at] ^= 1;
            assert_eq!(server.read(&bad), None, "byte {at}");
        }
        assert!(!Responder::new(&[4; 32]).unwrap().is_for_us(&packet));
        assert!(!server.is_for_us(&packet[..147]));
        assert_eq!(server.read(&packet[..100]), None);
    }

    #[test]
    fn replays_are_told_from_new_handshakes() {
        let mut replays = Replays::new();
        let at = |client, time| Initiation {
            client: [client; 32],
            index: 0,
            timestamp: [time; 12],
        };
        assert!(replays.is_new(&at(1, 5)) && replays.is_new(&at(2, 5)));
        assert!(!replays.is_new(&at(1, 5)) && !replays.is_new(&at(1, 4)));
        assert!(replays.is_new(&at(1, 6)));
    }

    #[test]
    fn the_key_is_kept_and_a_damaged_one_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        let key = Responder::in_dir(dir.path()).unwrap().public_key();
        assert_eq!(Responder::in_dir(dir.path()).unwrap().public_key(), key);
        std::fs::write(dir.path().join("wireguard.key"), "x").unwrap();
        let problem = Responder::in_dir(dir.path()).unwrap_err().to_string();
        assert!(problem.contains("holds no WireGuard key"), "{problem}");
    }

    #[tokio::test]
    async fn a_tokens_handshake_is_an_event_once_and_never_answered() {
        let Bench { touches, seen } = bench(Duration::ZERO);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let responder = Responder::new(&[1; 32]).unwrap();
        let public = responder.public;
        let task = tokio::spawn(serve(socket, responder, touches));
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // A stranger, a token twice, and the token's next handshake.
        for (key, time) in [([8; 32], 1), ([2; 32], 1), ([2; 32], 1), ([2; 32], 2)] {
            let packet = initiation(&key, &public, [time; 12]);
            client.send_to(&packet, at).await.unwrap();
        }
        let mut answer = [0; 8];
        let waited = tokio::time::timeout(Duration::from_millis(300), client.recv(&mut answer));
        assert!(waited.await.is_err(), "nothing is answered");
        task.abort();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2);
        let fields: serde_json::Value = serde_json::from_str(seen[0].fields.get()).unwrap();
        assert_eq!(fields["channel"], "wireguard");
        assert_eq!(fields["canarytoken"], KEYED);
    }

    #[test]
    fn a_touch_says_who_and_when() {
        let initiation = Initiation {
            client: [0; 32],
            index: 9,
            timestamp: [0; 12],
        };
        let (candidate, touch) = touched(&initiation, peer(), local());
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned();
        let channel = TokenChannel::Wireguard;
        assert_eq!(candidate, Candidate::Alias(Alias { channel, key }));
        assert!(matches!(
            touch.what,
            What::Wireguard {
                session_index: 9,
                ..
            }
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let server = Responder::new(&[1; 32]).unwrap();
            prop_assert!(!server.is_for_us(&bytes));
            prop_assert_eq!(server.read(&bytes), None);
        }
    }
}
