//! What a decoy is: a protocol conversation as a value. Bytes in; bytes, sightings and a wish out.
//!
//! *Invariant:* a decoy holds no socket and reads no clock. The driver (in `sensor`) owns accepting,
//! limits, timeouts, TLS, durability and writing, so a decoy can't forget any of them.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::event::{Event, EventKind};
use crate::machine::Machine;
use crate::settings::{Fault, Setting};
use crate::{NodeId, Seed, Timestamp};

/// A future that owns what it needs.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One kind of decoy. The binary's registry is a list of these.
pub struct DecoyKind {
    /// Wire name, e.g. `ftp`: prefix of its settings, id in `run.json`.
    pub id: &'static str,
    /// For people, e.g. `FTP server`.
    pub title: &'static str,
    /// What it pretends and what it captures, one sentence a line.
    pub doc: &'static str,
    /// Which transports it listens on; [`Service`] holds a part for each.
    pub transports: &'static [Transport],
    /// Standard port.
    pub port: u16,
    /// Whether a bird may have several, under `services.<id>.instances` (`spec: http, https, ssh`).
    pub instances: bool,
    /// TLS from the first byte, if at all.
    pub tls: Option<Tls>,
    /// What it can see.
    pub events: &'static [&'static EventKind],
    /// Its own settings; `enabled`, `port` and (for instances) `name` are everybody's and not here.
    pub settings: fn() -> Vec<Setting>,
    /// Builds one service of one bird from its settings. Called at start and on every change.
    pub build: Build,
    /// What the driver allows.
    pub limits: Limits,
    /// One harmless attempt, for `coalmine poke` and the generic suites.
    pub poke: Poke,
}

/// Builds a service from its settings, or says everything that's wrong with them.
pub type Build = fn(&Map<String, Value>, &Arc<Bird>) -> Result<Service, Vec<Fault>>;

impl fmt::Debug for DecoyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecoyKind({})", self.id)
    }
}

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    /// `tcp` or `udp`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// TLS from the first byte. A peer that doesn't send a TLS record first is handed to the decoy in
/// the clear, as [`Channel::ClearOnTls`].
#[derive(Clone, Copy, Debug)]
pub struct Tls {
    /// ALPN protocols offered, most wanted first; empty means no ALPN extension.
    pub alpn: &'static [&'static [u8]],
}

/// What the driver allows one decoy. Everything beyond is cut without a word.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Unconsumed input of one connection, in bytes; at the limit the decoy is asked once more and
    /// the connection closed if it still consumes nothing.
    pub input: usize,
    /// Silence from the peer.
    pub idle: Duration,
    /// Whole life of a connection.
    pub total: Duration,
    /// Open connections of one source address.
    pub per_source: usize,
    /// Open connections in all.
    pub connections: usize,
}

impl Limits {
    /// Enough for every login protocol.
    pub const LOGIN: Self = Self {
        input: 16 * 1024,
        idle: Duration::from_secs(120),
        total: Duration::from_secs(600),
        per_source: 2_500,
        connections: 10_000,
    };

    /// The same with another idle time.
    #[must_use]
    pub const fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// The same with another input bound.
    #[must_use]
    pub const fn input(self, input: usize) -> Self {
        Self { input, ..self }
    }
}

/// The pretended machine that a service belongs to.
pub struct Bird {
    /// Its id.
    pub node_id: NodeId,
    /// Its name, which is also the host name it tells.
    pub name: String,
    /// Its operating system and its domain.
    pub machine: Machine,
    /// Its secret: all salts, keys, serial numbers that must be its own come from here.
    pub seed: Seed,
    /// Its pretended boot time, kept across restarts.
    pub booted: Timestamp,
    /// What it made once and keeps: host keys, certificates.
    pub vault: Arc<dyn Vault>,
}

impl fmt::Debug for Bird {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bird({} {})", self.name, self.node_id)
    }
}

/// Where a bird keeps what it made once.
pub trait Vault: Send + Sync {
    /// The bytes kept under `name` (lower-case letters, digits, `-`, `_`, `.`), made and kept by
    /// `make` if there are none. The bytes are on disk when this returns.
    ///
    /// # Errors
    /// What the operator should read when they can neither be read nor kept, or when `make` gave
    /// nothing.
    fn keep(&self, name: &str, make: &mut dyn FnMut() -> Vec<u8>) -> Result<Vec<u8>, String>;
}

/// A vault for tests: keeps nothing, so everything is made anew.
#[derive(Debug)]
pub struct NoVault;

impl Vault for NoVault {
    fn keep(&self, _name: &str, make: &mut dyn FnMut() -> Vec<u8>) -> Result<Vec<u8>, String> {
        Ok(make())
    }
}

impl Bird {
    /// A bird for tests, always the same.
    pub fn sample() -> Arc<Self> {
        Arc::new(Self {
            node_id: NodeId::new([0, 2, 0x46, 0xec, 0x65, 0xef, 0x94, 0x76]),
            name: "files-02".to_owned(),
            machine: Machine::default(),
            seed: Seed::new([7; 32]),
            booted: Timestamp::from_secs(1_760_000_000),
            vault: Arc::new(NoVault),
        })
    }
}

/// One running service of one bird: a part for each transport of its kind.
#[derive(Default)]
pub struct Service {
    /// The TCP part.
    pub tcp: Option<Tcp>,
    /// The UDP part.
    pub udp: Option<Box<dyn Datagrams>>,
}

impl Service {
    /// A service over TCP that we speak ourselves.
    pub fn sessions(sessions: impl Sessions + 'static) -> Self {
        Self {
            tcp: Some(Tcp::Sessions(Box::new(sessions))),
            udp: None,
        }
    }

    /// A service over UDP.
    pub fn datagrams(datagrams: impl Datagrams + 'static) -> Self {
        Self {
            tcp: None,
            udp: Some(Box::new(datagrams)),
        }
    }

    /// A service over TCP that a library speaks.
    pub fn streams(streams: impl Streams + 'static) -> Self {
        Self {
            tcp: Some(Tcp::Streams(Box::new(streams))),
            udp: None,
        }
    }
}

/// A TCP service.
pub enum Tcp {
    /// Our own protocols.
    Sessions(Box<dyn Sessions>),
    /// A library must own the stream.
    Streams(Box<dyn Streams>),
}

/// The circumstances of one connection or datagram.
#[derive(Clone, Debug)]
pub struct Context {
    /// The other end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Randomness of this session alone.
    pub seed: Seed,
    /// How the bytes come.
    pub channel: Channel,
    /// When it began, by the sensor's clock.
    pub now: Timestamp,
}

impl Context {
    /// A context for tests.
    pub fn sample() -> Self {
        Self {
            peer: SocketAddr::from(([192, 0, 2, 10], 50_000)),
            local: SocketAddr::from(([192, 0, 2, 20], 4_000)),
            seed: Seed::new([9; 32]),
            channel: Channel::Clear,
            now: Timestamp::from_secs(1_760_100_000),
        }
    }
}

/// How the bytes of a session come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// In the clear.
    Clear,
    /// Inside TLS.
    Tls,
    /// In the clear on a port that speaks TLS.
    ClearOnTls,
}

/// A service over TCP: makes a session for each connection.
pub trait Sessions: Send + Sync {
    /// A new connection. What the server says first goes to `out`.
    fn open(&self, context: &Context, out: &mut Out) -> Box<dyn Session>;
}

/// One conversation.
///
/// The driver calls `feed` with all unconsumed input for as long as something was consumed and
/// `out` wishes to read. Sightings of a call are on disk before its bytes leave.
pub trait Session: Send {
    /// Input. Returns how many bytes were consumed from the front; 0 means that more is needed.
    ///
    /// # Errors
    /// [`Broken`] when the peer broke the protocol: what's in `out` is still sent, then the
    /// connection is closed.
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken>;

    /// The time asked for with [`Out::wait`] or [`Out::read_until`] has come.
    fn wake(&mut self, now: Timestamp, out: &mut Out) {
        let _ = (now, out);
    }

    /// The peer won't send more; all its input has been fed. The connection may have failed (a
    /// reset, a TLS handshake that didn't succeed), so what's said may reach nobody. The default
    /// closes.
    fn end(&mut self, now: Timestamp, out: &mut Out) {
        let _ = now;
        out.close();
    }

    /// TLS asked for with [`Out::start_tls`] is up.
    fn secured(&mut self, now: Timestamp, out: &mut Out) {
        let _ = (now, out);
    }
}

/// The peer broke the protocol; the connection ends after what has been said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// A service over UDP.
pub trait Datagrams: Send + Sync {
    /// One datagram in, at most one out: the bytes in `out`, if any. The driver enforces the
    /// house's rates per source and in all.
    fn datagram(&self, context: &Context, input: &[u8], out: &mut Out);
}

/// A service whose stream a library owns.
pub trait Streams: Send + Sync {
    /// Talks until the conversation ends. The driver ends it earlier at its limits.
    fn serve(
        &self,
        context: Context,
        stream: Box<dyn Stream>,
        sink: Sink,
    ) -> BoxFuture<'static, ()>;
}

/// A connection as a library wants it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where a [`Streams`] service reports.
pub type Sink = Arc<dyn SeeEvents>;

/// Takes events and makes them durable.
pub trait SeeEvents: Send + Sync {
    /// Resolves when the event is on disk, or when the driver decides that the reply can't wait.
    fn see(&self, seen: Seen) -> BoxFuture<'_, ()>;
}

/// An event as a decoy hands it over, before the driver adds the circumstances.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its kind.
    pub kind: &'static EventKind,
    /// The number it appears under.
    pub logtype: u32,
    /// Its fields: a JSON object.
    pub fields: Box<RawValue>,
}

impl Seen {
    /// An event under its usual number.
    pub fn new<E: Event>(event: &E) -> Self {
        Self::numbered(event, E::KIND.logtype())
    }

    /// An event under another of its kind's numbers.
    pub fn numbered<E: Event>(event: &E, logtype: u32) -> Self {
        debug_assert!(
            E::KIND.logtypes.iter().any(|l| l.code == logtype),
            "{logtype} isn't a number of {}",
            E::KIND.key
        );
        Self {
            kind: E::KIND,
            logtype,
            fields: event.fields(),
        }
    }
}

/// Answers that a session which takes many requests at a time gives before it lets them leave, in
/// bytes; the last one comes on top. See [`Out::is_full`].
const MAX_SAID: usize = 64 * 1024;
/// Events that it reports before they go to disk.
const MAX_SEEN: usize = 64;

/// What a session says, sees and wishes next. The wish starts as "read".
#[derive(Debug, Default)]
pub struct Out {
    bytes: Vec<u8>,
    seen: Vec<Seen>,
    next: Next,
    handshake: Option<&'static Handshake>,
    new_port: bool,
}

/// What a session wishes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// More input.
    #[default]
    Read,
    /// More input, but [`Session::wake`] after this long without any.
    ReadUntil(Duration),
    /// No input for this long (it's kept), then [`Session::wake`].
    Wait(Duration),
    /// A TLS handshake as server, then [`Session::secured`].
    StartTls,
    /// No more TLS, then [`Session::wake`].
    EndTls,
    /// The end, after what has been said.
    Close,
}

impl Out {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says `bytes`.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(bytes.as_ref());
    }

    /// Says `bytes`, which stay where they are if nothing was said before: for long answers.
    pub fn send_whole(&mut self, bytes: Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = bytes;
        } else {
            self.bytes.extend_from_slice(&bytes);
        }
    }

    /// Reports `event`.
    pub fn see<E: Event>(&mut self, event: &E) {
        self.seen.push(Seen::new(event));
    }

    /// Reports `event` under another of its kind's numbers.
    pub fn see_as<E: Event>(&mut self, event: &E, logtype: u32) {
        self.seen.push(Seen::numbered(event, logtype));
    }

    /// Reads on.
    pub fn read(&mut self) {
        self.next = Next::Read;
    }

    /// Reads on, but wakes the session after `after` without input.
    pub fn read_until(&mut self, after: Duration) {
        self.next = Next::ReadUntil(after);
    }

    /// Reads nothing for `time`, then wakes the session.
    pub fn wait(&mut self, time: Duration) {
        self.next = Next::Wait(time);
    }

    /// Starts TLS as server, after what has been said, with the bird's own certificate. Input
    /// that came before the handshake is dropped. Only once a connection.
    pub fn start_tls(&mut self) {
        self.next = Next::StartTls;
    }

    /// Starts TLS as server as `handshake` says, after what has been said. Input that wasn't
    /// consumed is the handshake's beginning. Only once a connection.
    pub fn start_tls_as(&mut self, handshake: &'static Handshake) {
        self.next = Next::StartTls;
        self.handshake = Some(handshake);
    }

    /// Ends TLS without a word of it and goes on in the clear: what is said from
    /// [`Session::wake`] on. What has been said is still said inside.
    pub fn end_tls(&mut self) {
        self.next = Next::EndTls;
    }

    /// Ends the connection after what has been said.
    pub fn close(&mut self) {
        self.next = Next::Close;
    }

    /// UDP: the answer leaves from a fresh port (TFTP, RFC 1350 section 4).
    pub fn from_new_port(&mut self) {
        self.new_port = true;
    }

    /// What the session wishes next.
    pub fn next(&self) -> Next {
        self.next
    }

    /// How TLS starts, where not in the plain way.
    pub fn handshake(&self) -> Option<&'static Handshake> {
        self.handshake
    }

    /// Whether the answer leaves from a fresh port.
    pub fn is_from_new_port(&self) -> bool {
        self.new_port
    }

    /// What has been said since last taken.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// What has been said and not taken.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What has been seen since last taken.
    pub fn take_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// Whether a session that answers several requests in one call should return now: the rest of
    /// the input comes again once this has left. Without it, requests of a few bytes and a peer
    /// that doesn't read would make answers pile up.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= MAX_SAID || self.seen.len() >= MAX_SEEN
    }

    /// Whether anything was seen and not taken.
    pub fn has_seen(&self) -> bool {
        !self.seen.is_empty()
    }
}

/// How a protocol starts TLS where that isn't the plain way.
#[derive(Debug)]
pub struct Handshake {
    /// Name among the handshakes of a decoy.
    pub id: &'static str,
    /// Packets that carry its records; none: the records as they are.
    pub packets: Option<Packets>,
    /// Whether TLS 1.3 is spoken beside 1.2.
    pub tls13: bool,
    /// Application protocol (ALPN) that the server knows, if any.
    pub alpn: &'static [&'static [u8]],
    /// What certificate it shows.
    pub certificate: SelfSigned,
}

/// Packets around the records of a TLS handshake.
#[derive(Clone, Copy, Debug)]
pub struct Packets {
    /// First byte of each; anything else is a record that comes bare.
    pub marker: u8,
    /// Length of a packet's payload by its header; none where the header is no such packet's.
    pub payload: fn(&[u8; Packets::HEADER]) -> Option<usize>,
    /// Puts records into packets.
    pub wrap: fn(&[u8]) -> Vec<u8>,
}

impl Packets {
    /// Length of a packet's header, in bytes.
    pub const HEADER: usize = 8;
}

/// A certificate that a product signs itself when it starts, with an RSA key.
#[derive(Clone, Copy, Debug)]
pub struct SelfSigned {
    /// Name in the bird's vault.
    pub id: &'static str,
    /// Subject and issuer.
    pub common_name: &'static str,
    /// From the bird's pretended start on.
    pub years: u8,
    /// Whether the key has 3072 bits rather than 2048.
    pub long: bool,
}

/// One harmless attempt at a decoy.
#[derive(Clone, Copy)]
pub enum Poke {
    /// A fixed conversation (inside TLS where the kind has it; one datagram each way over UDP).
    Script(&'static [Step]),
    /// A library talks.
    Talk(Talk),
}

/// Talks as a client over a stream; the error says what went wrong.
pub type Talk = fn(Box<dyn Stream>) -> BoxFuture<'static, Result<(), String>>;

/// One step of a fixed conversation.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Says this.
    Send(&'static [u8]),
    /// Reads until this has been seen.
    Expect(&'static [u8]),
    /// Goes on inside TLS, as the server has agreed to.
    StartTls,
    /// Reads whatever comes until the peer is silent for a moment or closes.
    Drain,
}
