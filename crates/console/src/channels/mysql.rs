//! The MySQL channel: a login whose user name begins with a token. To everybody it is a MariaDB that
//! knows nobody. It offers no TLS, so that replicas send their user's name in the clear.
//!
//! Packets: four bytes of length and sequence number, then the body (MariaDB Knowledge Base,
//! "Connection").

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coalmine_core::{Endpoint, text};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use super::floor;
use super::slots::{Slots, accept};
use super::touch::{Candidate, Keeper, Touch, Touches, What};

/// Connections at once (`max_connections` is 151).
const MAX_CONNECTIONS: usize = 151;
/// Of which from one source.
const MAX_PER_SOURCE: usize = 32;
/// Longest login that is read.
const MAX_PACKET: usize = 16 * 1024;
/// Most attributes of a client that are kept.
const MAX_ATTRIBUTES: usize = 32;
/// `connect_timeout`.
const MAX_LOGIN_TIME: Duration = Duration::from_secs(10);
/// Longest user name that an error repeats, in bytes.
const MAX_USER: usize = 384;

const VERSION: &str = "5.5.5-10.11.14-MariaDB-0+deb12u2";
/// Capabilities without TLS, utf8mb4_general_ci, autocommit, more capabilities, length of the salt
/// with its zero, six bytes and four of MariaDB's own capabilities.
const ABILITIES: &[u8; 18] = b"\xfe\xf7\x2d\x02\x00\xff\x81\x15\0\0\0\0\0\0\x1d\0\0\0";
const METHOD: &[u8] = b"mysql_native_password";

const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRS: u32 = 1 << 20;
const LENENC_AUTH: u32 = 1 << 21;

/// Accepts until stopped.
pub(super) async fn serve<K: Keeper>(listener: TcpListener, touches: Arc<Touches<K>>) {
    let slots = Slots::new(MAX_CONNECTIONS, MAX_PER_SOURCE);
    let threads = AtomicU32::new(first_thread());
    accept(
        listener,
        |source| slots.take(source),
        |stream, peer, local| {
            let thread = threads.fetch_add(1, Ordering::Relaxed);
            let touches = Arc::clone(&touches);
            async move {
                // A connection that breaks is the peer's business.
                let _ = converse(stream, peer, local, thread, &touches).await;
            }
        },
    )
    .await;
}

/// One connection: greeting, login, refusal.
async fn converse<K: Keeper>(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    local: SocketAddr,
    thread: u32,
    touches: &Arc<Touches<K>>,
) -> io::Result<()> {
    let greeting = greeting(thread, &salt());
    timeout(MAX_LOGIN_TIME, stream.write_all(&greeting)).await??;
    let (sequence, body) = timeout(MAX_LOGIN_TIME, packet(&mut stream)).await??;
    let arrival = Instant::now();
    let asked = async {
        let Some(login) = body.as_deref().and_then(Login::parse) else {
            return Some(error(1043, "08S01", b"Bad handshake"));
        };
        let refusal = login.refusal(&peer.ip().to_canonical().to_string());
        let touched = touches.touch(login.candidates(), login.touch(peer, local));
        // There is no other answer than this.
        touched.await.map(|_| refusal)
    };
    // The clock is wound up at once, whatever the login asks for.
    let (refusal, ()) = tokio::join!(asked, floor(arrival));
    let Some(refusal) = refusal else {
        return Ok(());
    };
    let bytes = framed(sequence.wrapping_add(1), &refusal);
    timeout(MAX_LOGIN_TIME, stream.write_all(&bytes)).await??;
    stream.shutdown().await
}

/// The next packet: its number and body, if that isn't too long.
async fn packet(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Option<Vec<u8>>)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [a, b, c, sequence] = head;
    let length = u32::from_le_bytes([a, b, c, 0]);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_PACKET {
        return Ok((sequence, None));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((sequence, Some(body)))
}

/// A client's answer to the greeting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Login {
    pub user: Vec<u8>,
    pub has_password: bool,
    pub database: Vec<u8>,
    pub attributes: Vec<(String, String)>,
}

impl Login {
    /// Reads the handshake response of protocol 4.1; `None` for everything else.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let (flags, rest) = body.split_first_chunk::<4>()?;
        let flags = u32::from_le_bytes(*flags);
        // We offer no TLS; who starts it all the same makes a bad handshake.
        if flags & PROTOCOL_41 == 0 || flags & SSL != 0 {
            return None;
        }
        // Longest packet, collation, reserved.
        let (user, rest) = until_zero(rest.get(28..)?)?;
        let (answer, rest) = if flags & LENENC_AUTH != 0 {
            let (length, rest) = number(rest)?;
            rest.split_at_checked(length)?
        } else if flags & SECURE_CONNECTION != 0 {
            let (length, rest) = rest.split_first()?;
            rest.split_at_checked(usize::from(*length))?
        } else {
            until_zero(rest)?
        };
        let mut login = Self {
            user: user.to_vec(),
            has_password: !answer.is_empty(),
            ..Self::default()
        };
        login.more(flags, rest);
        Some(login)
    }

    /// What comes after the password, as far as it can be read.
    fn more(&mut self, flags: u32, mut rest: &[u8]) -> Option<()> {
        if flags & CONNECT_WITH_DB != 0 {
            let (database, after) = until_zero(rest)?;
            self.database = database.to_vec();
            rest = after;
        }
        if flags & PLUGIN_AUTH != 0 {
            (_, rest) = until_zero(rest)?;
        }
        if flags & CONNECT_ATTRS != 0 {
            let (length, after) = number(rest)?;
            let mut pairs = after.get(..length)?;
            while !pairs.is_empty() && self.attributes.len() < MAX_ATTRIBUTES {
                let (length, after) = number(pairs)?;
                let (name, after) = after.split_at_checked(length)?;
                let (length, after) = number(after)?;
                let (value, after) = after.split_at_checked(length)?;
                let pair = (text::printable(name), text::printable(value));
                self.attributes.push(pair);
                pairs = after;
            }
        }
        Some(())
    }

    /// The token that the user name begins with.
    fn candidates(&self) -> Vec<Candidate> {
        let id = self.user.get(..coalmine_core::TokenId::LEN);
        let id = id.and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
        id.into_iter().map(Candidate::Id).collect()
    }

    fn touch(self, peer: SocketAddr, local: SocketAddr) -> Touch {
        Touch {
            at: crate::now(),
            src: Endpoint::from(peer),
            dst: Endpoint::from(local),
            what: What::Mysql {
                user: text::printable(&self.user),
                database: text::printable(&self.database),
                attributes: self.attributes,
            },
        }
    }

    /// What everybody is told.
    fn refusal(&self, host: &str) -> Vec<u8> {
        let given = if self.has_password { "YES" } else { "NO" };
        let mut text = b"Access denied for user '".to_vec();
        text.extend_from_slice(self.user.get(..MAX_USER).unwrap_or(&self.user));
        text.extend_from_slice(format!("'@'{host}' (using password: {given})").as_bytes());
        error(1045, "28000", &text)
    }
}

/// Reads a login of made-up bytes; for the fuzzer.
pub fn exercise(input: &[u8]) {
    if let Some(login) = Login::parse(input) {
        assert!(login.user.len() < input.len() && login.attributes.len() <= MAX_ATTRIBUTES);
        assert!(login.refusal("192.0.2.1").len() < MAX_USER.saturating_add(100));
    }
}

/// Up to the next zero, and what follows it.
fn until_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|b| *b == 0)?;
    Some((bytes.get(..end)?, bytes.get(end.checked_add(1)?..)?))
}

/// A length-encoded number of at most three bytes; longer ones fit no packet that is read.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [n @ 0..=0xfa, rest @ ..] => Some((usize::from(*n), rest)),
        [0xfc, a, b, rest @ ..] => Some((usize::from(u16::from_le_bytes([*a, *b])), rest)),
        _ => None,
    }
}

fn greeting(thread: u32, salt: &[u8; 20]) -> Vec<u8> {
    let (head, tail) = salt.split_at(8);
    let body = [
        &[10],
        VERSION.as_bytes(),
        &[0],
        &thread.to_le_bytes(),
        head,
        &[0],
        ABILITIES,
        tail,
        &[0],
        METHOD,
        &[0],
    ];
    framed(0, &body.concat())
}

fn error(code: u16, state: &str, text: &[u8]) -> Vec<u8> {
    [
        &[0xff],
        &code.to_le_bytes()[..],
        b"#",
        state.as_bytes(),
        text,
    ]
    .concat()
}

fn framed(sequence: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(0).to_le_bytes();
    let [a, b, c, _] = length;
    [&[a, b, c, sequence], body].concat()
}

/// Printable, as the server makes it.
fn salt() -> [u8; 20] {
    let mut salt = random();
    for byte in &mut salt {
        *byte = (*byte % 94).saturating_add(33);
    }
    salt
}

/// A server that has been up for a while.
fn first_thread() -> u32 {
    let [a, b] = random();
    u32::from(u16::from_le_bytes([a, b])).saturating_add(30)
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(
        clippy::expect_used,
        reason = "a system without randomness cannot go on"
    )]
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::duplex;

    use super::*;
    use crate::channels::FLOOR;
    use crate::channels::tests::{Bench, KEYED, NONE, bench, local, peer};

    fn response(flags: u32, user: &str, rest: &[u8]) -> Vec<u8> {
        let mut body = flags.to_le_bytes().to_vec();
        body.extend_from_slice(&[0; 28]);
        body.extend_from_slice(user.as_bytes());
        body.push(0);
        body.extend_from_slice(rest);
        body
    }

    const USUAL: u32 = PROTOCOL_41 | SECURE_CONNECTION;

    #[test]
    fn logins_are_read_with_all_that_may_follow_the_name() {
        let flags = USUAL | CONNECT_WITH_DB | PLUGIN_AUTH | CONNECT_ATTRS;
        let login = Login::parse(&response(
            flags,
            "joe",
            b"\x02abshop\0native\0\x08\x03_os\x03Lin",
        ))
        .unwrap();
        assert_eq!(
            (login.user.as_slice(), login.has_password),
            (&b"joe"[..], true)
        );
        assert_eq!(login.database, b"shop");
        assert_eq!(login.attributes, [("_os".to_owned(), "Lin".to_owned())]);
        let plain = Login::parse(&response(PROTOCOL_41, "joe", b"\0")).unwrap();
        assert_eq!((plain.has_password, plain.database.len()), (false, 0));
        let long = Login::parse(&response(USUAL | LENENC_AUTH, "joe", b"\xfc\x02\0ab")).unwrap();
        assert!(long.has_password);
        // Cut short after the password: the name counts all the same.
        assert!(Login::parse(&response(flags, "joe", b"\0sh")).is_some());
        for bad in [
            response(0, "joe", b"\0"),
            response(USUAL | SSL, "joe", b"\0"),
            response(USUAL, "joe", b"\x09ab"),
            response(USUAL, "joe", b""),
            b"\0\0".to_vec(),
        ] {
            assert_eq!(Login::parse(&bad), None);
        }
    }

    /// What the server says to `body`, without its greeting, and how long that took.
    async fn talk(bench: &Bench, body: &[u8]) -> (Vec<u8>, Duration) {
        let (mut client, server) = duplex(64 * 1024);
        let start = Instant::now();
        let served = converse(server, peer(), local(), 31, &bench.touches);
        let asked = async {
            let (sequence, greeting) = packet(&mut client).await.unwrap();
            let greeting = greeting.unwrap();
            assert_eq!(sequence, 0);
            assert!(greeting.starts_with(b"\x0a5.5.5-10.11.14-MariaDB-0+deb12u2\0\x1f\0\0\0"));
            // The flag of TLS is not among the capabilities.
            let at = 1 + VERSION.len() + 1 + 4 + 9;
            assert_eq!(greeting[at + 1] & 8, 0);
            client.write_all(&framed(1, body)).await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let (_, answer) = tokio::join!(served, asked);
        (answer, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_tokens_login_is_an_event_and_everybody_is_denied_alike() {
        let bench = bench(Duration::ZERO);
        let known = format!("{KEYED}en_USdb-7");
        let (answer, time) = talk(&bench, &response(USUAL, &known, b"\0")).await;
        let told =
            format!("#28000Access denied for user '{known}'@'192.0.2.7' (using password: NO)");
        assert_eq!(
            answer,
            framed(2, &[b"\xff\x15\x04", told.as_bytes()].concat())
        );
        let unknown = format!("{NONE}en_USdb-7");
        let (other, same) = talk(&bench, &response(USUAL, &unknown, b"\0")).await;
        assert_eq!(other.len(), answer.len());
        assert_eq!((time, same), (FLOOR, FLOOR));
        let (bad, _) = talk(&bench, b"hello").await;
        assert_eq!(bad, framed(2, b"\xff\x13\x04#08S01Bad handshake"));
        let events = bench.events();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["channel"], "mysql");
        assert_eq!(events[0]["additional_info"]["user"], known);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_left() {
        let bench = bench(Duration::ZERO);
        let (_client, server) = duplex(1024);
        let start = Instant::now();
        assert!(
            converse(server, peer(), local(), 1, &bench.touches)
                .await
                .is_err()
        );
        assert_eq!(start.elapsed(), MAX_LOGIN_TIME);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..300), flags: u32,
        ) {
            if bytes.len() > 4 {
                bytes[..4].copy_from_slice(&(flags | PROTOCOL_41).to_le_bytes());
            }
            if let Some(login) = Login::parse(&bytes) {
                prop_assert!(login.user.len() < bytes.len());
                prop_assert!(login.attributes.len() <= MAX_ATTRIBUTES);
            }
        }
    }
}
