//! MongoDB as mongod 7.0 with access control answers those who can't log in.
//!
//! From the protocol's documentation and from what public scans and logs show of 7.0.9 on Debian
//! 12. Every user seems to exist, so that each shows what it knows: the real server ends the
//! conversation with an unknown one before its proof.

mod bson;
mod commands;
mod scram;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coalmine_core::decoy::{Broken, Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::text::printable;
use coalmine_core::{Bird, Context, DecoyKind, Event, Out, Seed, Service, Timestamp};

use bson::{Doc, Field, Raw};
use commands::Access;
use scram::{Exchange, Guesser, Mechanism};
use wire::{Header, Message, Query, Refusal};

/// Longest message that is read, in bytes; the server itself takes `MAX_CLAIMED`.
const MAX_MESSAGE: usize = 128 * 1024;
/// `maxMessageSizeBytes`.
const MAX_CLAIMED: i32 = 48_000_000;
/// Longest time that a client may wait for a change of the topology.
const MAX_AWAIT: Duration = Duration::from_secs(30);

const AUTHENTICATION: u32 = 28002;
const COMMAND: u32 = 28001;

const HTTP_ANSWER: &str = "HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n\
    Content-Length: 85\r\n\r\nIt looks like you are trying to access MongoDB over HTTP on the native \
    driver port.\r\n";
const UPGRADE: &str = "The client driver may require an upgrade. For more details see \
    https://dochub.mongodb.org/core/legacy-opcode-removal";

/// MongoDB server.
pub static KIND: DecoyKind = DecoyKind {
    id: "mongo",
    title: "MongoDB server",
    doc: "Pretends to be MongoDB 7.0.9 with access control.\nCaptures logins and commands; what drivers say for themselves (hello, ping, endSessions) is no event.\nCommon passwords are recovered within a small budget of processor time.",
    transports: &[Transport::Tcp],
    port: 27017,
    instances: false,
    tls: None,
    events: &[MongoAttempt::KIND],
    settings: MongoSettings::declared,
    build: |given, bird| {
        MongoSettings::parse(given)?;
        Ok(Service::sessions(Mongo(Arc::new(Server::new(bird)))))
    },
    limits: Limits {
        // The server itself never closes an idle connection.
        idle: Duration::from_secs(600),
        total: Duration::from_secs(3600),
        ..Limits::LOGIN.input(MAX_MESSAGE + 4096)
    },
    poke: Poke::Script(&[
        // {listDatabases: 1, $db: "admin"}
        Step::Send(
            b"\x40\0\0\0\x07\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x2b\0\0\0\
              \x01listDatabases\0\0\0\0\0\0\0\xf0\x3f\x02$db\0\x06\0\0\0admin\0\0",
        ),
        Step::Expect(b"Command listDatabases requires authentication"),
        // {saslStart: 1, mechanism: "SCRAM-SHA-256", payload: "n,,n=root,r=fyko", $db: "admin"}
        Step::Send(
            b"\x73\0\0\0\x08\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x5e\0\0\0\
              \x10saslStart\0\x01\0\0\0\x02mechanism\0\x0e\0\0\0SCRAM-SHA-256\0\
              \x05payload\0\x10\0\0\0\0n,,n=root,r=fyko\x02$db\0\x06\0\0\0admin\0\0",
        ),
        Step::Expect(b",i=15000"),
    ]),
};

coalmine_core::settings! {
    /// Settings of the MongoDB decoy: there are none.
    pub struct MongoSettings {}
}

coalmine_core::event! {
    /// Somebody tried to log in to the MongoDB server, or sent it a command without.
    pub struct MongoAttempt: "mongo", "Mongo Authentication Attempt",
        [28002 "authentication", 28001 "command"] {
        /// Name of the command; `saslStart` or `authenticate` for a login.
        cmd: String => "cmd" = "saslStart",
        /// Database that the command was sent to.
        db: String => "db" = "admin",
        /// Logins: the user's name.
        user: Option<String> => "user" = "root",
        /// Logins: the password where it came in the clear or is a common one.
        /// Else, for offline guessing, `$SCRAM-SHA-256$` or `$SCRAM-SHA-1$` and the whole exchange:
        /// RFC 5802's `AuthMessage`, `,p=`, the client's proof.
        /// Missing where the client went away before it proved anything.
        password: Option<String> => "password" = "123456",
    }
}

struct Mongo(Arc<Server>);

/// What the connections share.
struct Server {
    /// Of the salts.
    salts: Seed,
    /// `processId`: the time of the start and random bytes, as an ObjectId is made.
    process: [u8; 12],
    next_connection: AtomicI32,
    next_message: AtomicI32,
    guesser: Guesser,
}

impl Server {
    fn new(bird: &Bird) -> Self {
        let seed = bird.seed.derive("mongo");
        let started = bird
            .booted
            .plus(Duration::from_secs(seed.number("start", 8, 40)));
        let started = u32::try_from(started.secs()).unwrap_or_default();
        let mut process = [0; 12];
        let bytes = started
            .to_be_bytes()
            .into_iter()
            .chain(seed.take::<8>("process"));
        for (to, from) in process.iter_mut().zip(bytes) {
            *to = from;
        }
        let first = |label, low, high| {
            AtomicI32::new(i32::try_from(seed.number(label, low, high)).unwrap_or(1))
        };
        Self {
            next_connection: first("connection", 3, 400),
            next_message: first("message", 50, 5_000),
            salts: seed.derive("salts"),
            process,
            guesser: Guesser::new(),
        }
    }
}

impl Sessions for Mongo {
    fn open(&self, context: &Context, _out: &mut Out) -> Box<dyn Session> {
        Box::new(MongoSession {
            server: Arc::clone(&self.0),
            seed: context.seed.clone(),
            peer: context.peer,
            connection: self.0.next_connection.fetch_add(1, Ordering::Relaxed),
            greeted: false,
            exchange: None,
            exchanges: 0,
            awaiting: None,
        })
    }
}

struct MongoSession {
    server: Arc<Server>,
    seed: Seed,
    peer: SocketAddr,
    connection: i32,
    /// The client has said `hello`, which fixes who it says it is.
    greeted: bool,
    exchange: Option<Exchange>,
    /// How many there were, so that each has a nonce of its own.
    exchanges: u32,
    /// A `hello` that is answered later.
    awaiting: Option<(Asked, Hello)>,
}

/// How a command came, and so how its answer goes.
#[derive(Clone, Copy, Debug)]
struct Asked {
    id: i32,
    way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Message,
    /// As a message that wants no answer.
    Silent,
    Query,
}

/// A command that can be answered.
#[derive(Clone, Copy)]
struct Command<'a> {
    name: &'a [u8],
    body: Raw<'a>,
    db: &'a [u8],
}

/// What a `hello` asked for.
struct Hello {
    legacy: bool,
    hello_ok: bool,
    mechanisms: bool,
    /// The first step of a login, and whether its text was in Base64.
    speculative: Option<Doc>,
}

enum Outcome {
    Say(Doc),
    Await(Duration, Hello),
}

impl Session for MongoSession {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        let Some(header) = Header::read(input) else {
            return Ok(0);
        };
        if input.starts_with(b"GET ") {
            out.send(HTTP_ANSWER);
            return Err(Broken);
        }
        // TLS is off.
        if input.starts_with(&[0x16, 3]) || header.length > MAX_CLAIMED {
            return Err(Broken);
        }
        let length = usize::try_from(header.length).map_err(|_| Broken)?;
        if !(wire::HEADER..=MAX_MESSAGE).contains(&length) {
            return Err(Broken);
        }
        let Some(body) = input.get(wire::HEADER..length) else {
            return Ok(0);
        };
        match header.opcode {
            wire::OP_MSG => self.message(header.id, body, now, out)?,
            wire::OP_QUERY => self.query(header.id, body, now, out)?,
            wire::OP_GET_MORE => self.gone("OP_GET_MORE", header.id, out),
            // They have no answers, and are no longer carried out.
            wire::OP_INSERT | wire::OP_UPDATE | wire::OP_DELETE | wire::OP_KILL_CURSORS => {}
            // Among them OP_COMPRESSED: no compressor was agreed on.
            _ => return Err(Broken),
        }
        Ok(length)
    }

    fn wake(&mut self, now: Timestamp, out: &mut Out) {
        if let Some((asked, hello)) = self.awaiting.take() {
            let doc = self.hello_document(hello, now);
            self.answer(asked, doc, out);
        }
        out.read();
    }

    fn end(&mut self, _now: Timestamp, out: &mut Out) {
        if let Some(exchange) = self.exchange.take() {
            see_login(&exchange, None, out);
        }
        out.close();
    }
}

impl MongoSession {
    fn message(
        &mut self,
        id: i32,
        body: &[u8],
        now: Timestamp,
        out: &mut Out,
    ) -> Result<(), Broken> {
        let message = Message::read(body).ok_or(Broken)?;
        let way = if message.more_to_come {
            Way::Silent
        } else {
            Way::Message
        };
        let asked = Asked { id, way };
        let body = match message.body {
            Ok(body) => body,
            Err(refusal) => {
                self.answer(asked, refusal.document(), out);
                return Ok(());
            }
        };
        let Some(db) = body.get("$db").and_then(Field::text) else {
            let refusal = Refusal::at(40571, "OP_MSG requests require a $db argument");
            self.answer(asked, refusal.document(), out);
            return Ok(());
        };
        self.command(asked, body, db, now, out);
        Ok(())
    }

    fn query(&mut self, id: i32, body: &[u8], now: Timestamp, out: &mut Out) -> Result<(), Broken> {
        let query = Query::read(body).ok_or(Broken)?;
        let Some(db) = query.namespace.strip_suffix(b".$cmd") else {
            self.gone("OP_QUERY", id, out);
            return Ok(());
        };
        let asked = Asked {
            id,
            way: Way::Query,
        };
        if !matches!(query.count, 1 | -1) {
            let text = format!(
                "Bad numberToReturn ({}) for $cmd type ns - can only be 1 or -1",
                query.count
            );
            self.answer(asked, Refusal::at(16979, text).document(), out);
            return Ok(());
        }
        // Old drivers wrap commands to say where they should go.
        let wrapped = query.document.fields().next();
        let wrapped = wrapped.filter(|field| matches!(field.name, b"$query" | b"query"));
        let document = wrapped.and_then(Field::document).unwrap_or(query.document);
        self.command(asked, document, db, now, out);
        Ok(())
    }

    /// Answers to a kind of message that the server no longer takes.
    fn gone(&self, opcode: &str, id: i32, out: &mut Out) {
        let doc = Doc::new()
            .text(
                "$err",
                format!("{opcode} is no longer supported. {UPGRADE}"),
            )
            .int("code", 5_739_101)
            .double("ok", 0.0);
        let own = self.server.next_message.fetch_add(1, Ordering::Relaxed);
        out.send(wire::reply(own, id, 2, doc));
    }

    fn command(&mut self, asked: Asked, body: Raw, db: &[u8], now: Timestamp, out: &mut Out) {
        let name = body.fields().next().map_or(&b""[..], |field| field.name);
        let command = Command { name, body, db };
        let login = matches!(name, b"saslStart" | b"saslContinue" | b"authenticate");
        if !login && !commands::is_chatter(name) {
            let event = MongoAttempt {
                cmd: printable(name),
                db: printable(db),
                user: None,
                password: None,
            };
            out.see_as(&event, COMMAND);
        }
        match self.run(asked, command, now, out) {
            Ok(Outcome::Say(doc)) => self.answer(asked, doc, out),
            Ok(Outcome::Await(time, hello)) => {
                self.awaiting = Some((asked, hello));
                out.wait(time);
            }
            Err(refusal) => self.answer(asked, refusal.document(), out),
        }
    }

    fn answer(&self, asked: Asked, doc: Doc, out: &mut Out) {
        let own = || self.server.next_message.fetch_add(1, Ordering::Relaxed);
        match asked.way {
            Way::Message => out.send(wire::message(own(), asked.id, doc)),
            Way::Silent => {}
            // Always with the flag that awaiting is known.
            Way::Query => out.send(wire::reply(own(), asked.id, 8, doc)),
        }
    }

    /// Carries out a command in the order of the server's own checks.
    fn run(
        &mut self,
        asked: Asked,
        command: Command,
        now: Timestamp,
        out: &mut Out,
    ) -> Result<Outcome, Refusal> {
        let Command { name, body, db } = command;
        if asked.way == Way::Query && !commands::is_legacy(name) {
            let shown = printable(name);
            let text = format!("Unsupported OP_QUERY command: {shown}. {UPGRADE}");
            return Err(Refusal::new(352, "UnsupportedOpQueryCommand", text));
        }
        match commands::access(name, db) {
            Access::Unknown => {
                let text = [b"no such command: '", name, b"'"].concat();
                return Err(Refusal::new(59, "CommandNotFound", text));
            }
            Access::AdminOnly => {
                let text = [name, b" may only be run against the admin database."].concat();
                return Err(Refusal::new(13, "Unauthorized", text));
            }
            Access::Closed => {
                let text = [b"Command ", name, b" requires authentication"].concat();
                return Err(Refusal::new(13, "Unauthorized", text));
            }
            Access::Open => {}
        }
        let doc = match name {
            b"hello" | b"isMaster" | b"ismaster" => return self.hello(command, now),
            b"buildInfo" | b"buildinfo" => build_info(),
            b"whatsmyuri" => {
                let peer = SocketAddr::new(self.peer.ip().to_canonical(), self.peer.port());
                Doc::new().text("you", peer.to_string())
            }
            b"connectionStatus" => {
                let none = |doc: Doc, name| doc.array(name, [(); 0], |doc, _, ()| doc);
                let info = none(Doc::new(), "authenticatedUsers");
                let mut info = none(info, "authenticatedUserRoles");
                if body.get("showPrivileges").is_some_and(Field::is_true) {
                    info = none(info, "authenticatedUserPrivileges");
                }
                Doc::new().document("authInfo", info)
            }
            b"saslStart" => self.sasl_start(body, db, out)?,
            b"saslContinue" => self.sasl_continue(body, now, out)?,
            b"authenticate" => return Err(authenticate(body, db, out)),
            // Ping and logout.
            _ => Doc::new(),
        };
        Ok(Outcome::Say(doc.double("ok", 1.0)))
    }

    fn hello(&mut self, command: Command, now: Timestamp) -> Result<Outcome, Refusal> {
        let Command { name, body, .. } = command;
        if self.greeted && body.get("client").is_some() {
            let text = "The client metadata document may only be sent in the first hello";
            return Err(Refusal::new(186, "ClientMetadataCannotBeMutated", text));
        }
        let pause = self.pause(body)?;
        let mut hello = Hello {
            legacy: name != b"hello",
            hello_ok: body.get("helloOk").is_some(),
            mechanisms: false,
            speculative: None,
        };
        if let Some(user) = body.get("saslSupportedMechs").and_then(Field::text) {
            if !user.contains(&b'.') {
                let text = "username must contain a '.' separated database.user pair";
                return Err(Refusal::new(2, "BadValue", text));
            }
            hello.mechanisms = !user.starts_with(b"$external.");
        }
        self.greeted = true;
        // Whatever is wrong with it, the server goes on as if it weren't there.
        let speculative = body
            .get("speculativeAuthenticate")
            .and_then(Field::document);
        hello.speculative = speculative.and_then(|start| {
            start.get("saslStart")?;
            let db = start.get("db").and_then(Field::text)?;
            let mechanism = Mechanism::of(start.get("mechanism").and_then(Field::text)?)?;
            self.first_step(mechanism, db, start.get("payload")?)
        });
        Ok(match pause {
            Some(time) => Outcome::Await(time, hello),
            None => Outcome::Say(self.hello_document(hello, now)),
        })
    }

    /// How long the answer to a `hello` waits for a change that never comes. Answers are never
    /// streamed: a client that would take them (`exhaustAllowed`) asks again instead.
    fn pause(&self, body: Raw) -> Result<Option<Duration>, Refusal> {
        let version = body.get("topologyVersion").and_then(Field::document);
        let time = body.get("maxAwaitTimeMS").and_then(Field::integer);
        let (version, time) = match (version, time) {
            (None, None) => return Ok(None),
            (Some(version), Some(time)) => (version, time),
            (Some(_), None) => {
                let text = "A request with a 'topologyVersion' must include 'maxAwaitTimeMS'";
                return Err(Refusal::at(31368, text));
            }
            (None, Some(_)) => {
                let text = "A request with 'maxAwaitTimeMS' must include a 'topologyVersion'";
                return Err(Refusal::at(31368, text));
            }
        };
        let counter = version.get("counter").and_then(Field::integer);
        let counter = counter.unwrap_or_default();
        if counter < 0 {
            let text = "topologyVersion must have a non-negative counter";
            return Err(Refusal::at(31372, text));
        }
        let Ok(time) = u64::try_from(time) else {
            let text =
                format!("BSON field 'maxAwaitTimeMS' value must be >= 0, actual value '{time}'");
            return Err(Refusal::new(2, "BadValue", text));
        };
        let process = version.get("processId").and_then(Field::object_id);
        if process != Some(self.server.process) || time == 0 {
            return Ok(None);
        }
        if counter > 0 {
            let text = format!(
                "Received a topology version with counter: {counter} which is greater than the \
                 server topology version counter: 0"
            );
            return Err(Refusal::at(31382, text));
        }
        Ok(Some(Duration::from_millis(time).min(MAX_AWAIT)))
    }

    fn hello_document(&self, hello: Hello, now: Timestamp) -> Doc {
        let mut doc = Doc::new();
        if hello.hello_ok {
            doc = doc.boolean("helloOk", true);
        }
        let primary = if hello.legacy {
            "ismaster"
        } else {
            "isWritablePrimary"
        };
        let version = Doc::new()
            .object_id("processId", self.server.process)
            .long("counter", 0);
        doc = doc
            .boolean(primary, true)
            .document("topologyVersion", version)
            .int("maxBsonObjectSize", 16_777_216)
            .int("maxMessageSizeBytes", MAX_CLAIMED)
            .int("maxWriteBatchSize", 100_000)
            .date("localTime", now.millis())
            .int("logicalSessionTimeoutMinutes", 30)
            .int("connectionId", self.connection)
            .int("minWireVersion", 0)
            .int("maxWireVersion", 21)
            .boolean("readOnly", false);
        if hello.mechanisms {
            // The strongest first.
            let both = [Mechanism::Sha256, Mechanism::Sha1];
            doc = doc.array("saslSupportedMechs", both, |doc, n, mechanism| {
                doc.text(n, mechanism.name())
            });
        }
        if let Some(speculative) = hello.speculative {
            doc = doc.document("speculativeAuthenticate", speculative);
        }
        doc.double("ok", 1.0)
    }

    fn sasl_start(&mut self, body: Raw, db: &[u8], out: &mut Out) -> Result<Doc, Refusal> {
        let missing = |field: &str| {
            let text = format!("BSON field 'saslStart.{field}' is missing but a required field");
            Refusal::at(40414, text)
        };
        let mechanism = body.get("mechanism").and_then(Field::text);
        let mechanism = mechanism.ok_or_else(|| missing("mechanism"))?;
        let payload = body.get("payload").ok_or_else(|| missing("payload"))?;
        let Some(known) = Mechanism::of(mechanism) else {
            // PLAIN (RFC 4616) tells everything at once.
            let bytes = payload_bytes(payload).map_or_else(Vec::new, |(bytes, _)| bytes);
            let mut parts = bytes.split(|&b| b == 0).skip(1);
            let plain = mechanism == b"PLAIN";
            let mut part = || parts.next().filter(|_| plain).map(printable);
            let event = MongoAttempt {
                cmd: "saslStart".to_owned(),
                db: printable(db),
                user: part(),
                password: part(),
            };
            out.see_as(&event, AUTHENTICATION);
            return Err(unknown_mechanism(mechanism));
        };
        self.first_step(known, db, payload).ok_or_else(|| {
            let event = MongoAttempt {
                cmd: "saslStart".to_owned(),
                db: printable(db),
                user: None,
                password: None,
            };
            out.see_as(&event, AUTHENTICATION);
            failed()
        })
    }

    /// Begins a login; forgets the one before, as the server does.
    fn first_step(&mut self, mechanism: Mechanism, db: &[u8], payload: Field) -> Option<Doc> {
        self.exchange = None;
        self.exchanges = self.exchanges.saturating_add(1);
        let random = self.seed.take(&format!("mongo nonce {}", self.exchanges));
        let (first, as_text) = payload_bytes(payload)?;
        let exchange = Exchange::begin(mechanism, db, &first, &self.server.salts, random)?;
        let doc = step_document(&exchange.answer, as_text);
        self.exchange = Some(exchange);
        Some(doc)
    }

    fn sasl_continue(&mut self, body: Raw, now: Timestamp, out: &mut Out) -> Result<Doc, Refusal> {
        let protocol = |text: &str| Refusal::new(17, "ProtocolError", text);
        let exchange = self.exchange.take();
        let exchange = exchange.ok_or_else(|| protocol("No SASL session state found"))?;
        let id = body.get("conversationId").and_then(Field::integer);
        if id != Some(1) {
            see_login(&exchange, None, out);
            return Err(protocol("sasl: Mismatched conversation id"));
        }
        let last = body.get("payload").and_then(payload_bytes);
        let proof = last.and_then(|(last, _)| exchange.proof(&last));
        let password = proof.map(|proof| {
            let found = self.server.guesser.recover(&exchange, &proof, now);
            found.unwrap_or_else(|| printable(&exchange.transcript(&proof)))
        });
        see_login(&exchange, password, out);
        Err(failed())
    }
}

/// Reports a login.
fn see_login(exchange: &Exchange, password: Option<String>, out: &mut Out) {
    let event = MongoAttempt {
        cmd: "saslStart".to_owned(),
        db: printable(&exchange.db),
        user: Some(printable(&exchange.user)),
        password,
    };
    out.see_as(&event, AUTHENTICATION);
}

/// The bytes of a step and whether they came as Base64 text.
fn payload_bytes(payload: Field) -> Option<(Vec<u8>, bool)> {
    match payload.text() {
        Some(text) => Some((STANDARD.decode(text).ok()?, true)),
        None => Some((payload.binary()?.to_vec(), false)),
    }
}

/// The server's step of a login.
fn step_document(payload: &[u8], as_text: bool) -> Doc {
    let doc = Doc::new().int("conversationId", 1).boolean("done", false);
    if as_text {
        doc.text("payload", STANDARD.encode(payload))
    } else {
        doc.binary("payload", payload)
    }
}

fn failed() -> Refusal {
    Refusal::new(18, "AuthenticationFailed", "Authentication failed.")
}

fn unknown_mechanism(name: &[u8]) -> Refusal {
    let text = [
        b"Received authentication for mechanism ",
        name,
        b" which is unknown or not enabled",
    ]
    .concat();
    Refusal::new(334, "MechanismUnavailable", text)
}

/// The command from before SASL: only certificates are left of it, and there is no TLS.
fn authenticate(body: Raw, db: &[u8], out: &mut Out) -> Refusal {
    let text = |name| body.get(name).and_then(Field::text);
    // The key of MONGODB-CR: an MD5 of nonce, user and hashed password.
    let event = MongoAttempt {
        cmd: "authenticate".to_owned(),
        db: printable(db),
        user: text("user").map(printable),
        password: text("key").map(printable),
    };
    out.see_as(&event, AUTHENTICATION);
    match text("mechanism") {
        None => Refusal::new(2, "BadValue", "Auth mechanism not specified"),
        Some(b"MONGODB-X509") => failed(),
        Some(other) => unknown_mechanism(other),
    }
}

/// `buildInfo` of the package `mongodb-org-server` 7.0.9 for Debian 12.
fn build_info() -> Doc {
    let openssl = Doc::new()
        .text("running", "OpenSSL 3.0.11 19 Sep 2023")
        .text("compiled", "OpenSSL 3.0.11 19 Sep 2023");
    let environment = Doc::new()
        .text("distmod", "debian12")
        .text("distarch", "x86_64")
        .text("cc", "/opt/mongodbtoolchain/v4/bin/gcc: gcc (GCC) 11.3.0")
        .text(
            "ccflags",
            "-Werror -include mongo/platform/basic.h -ffp-contract=off \
             -fasynchronous-unwind-tables -g2 -Wall -Wsign-compare -Wno-unknown-pragmas \
             -Winvalid-pch -gdwarf-5 -fno-omit-frame-pointer -fno-strict-aliasing -O2 \
             -march=sandybridge -mtune=generic -mprefer-vector-width=128 \
             -Wno-unused-local-typedefs -Wno-unused-function -Wno-deprecated-declarations \
             -Wno-unused-const-variable -Wno-unused-but-set-variable -Wno-missing-braces \
             -fstack-protector-strong -gdwarf64 -Wa,--nocompress-debug-sections \
             -fno-builtin-memcmp -Wimplicit-fallthrough=5",
        )
        .text("cxx", "/opt/mongodbtoolchain/v4/bin/g++: g++ (GCC) 11.3.0")
        .text(
            "cxxflags",
            "-Woverloaded-virtual -Wpessimizing-move -Wno-maybe-uninitialized \
             -fsized-deallocation -Wno-deprecated -std=c++20",
        )
        .text(
            "linkflags",
            "-Wl,--fatal-warnings -B/opt/mongodbtoolchain/v4/bin -gdwarf-5 -pthread -Wl,-z,now \
             -fuse-ld=lld -fstack-protector-strong -gdwarf64 -Wl,--build-id \
             -Wl,--hash-style=gnu -Wl,-z,noexecstack -Wl,--warn-execstack -Wl,-z,relro \
             -Wl,--compress-debug-sections=none -Wl,-z,origin -Wl,--enable-new-dtags",
        )
        .text("target_arch", "x86_64")
        .text("target_os", "linux")
        .text(
            "cppdefines",
            "SAFEINT_USE_INTRINSICS 0 PCRE2_STATIC NDEBUG _XOPEN_SOURCE 700 _GNU_SOURCE \
             _FORTIFY_SOURCE 2 ABSL_FORCE_ALIGNED_ACCESS BOOST_ENABLE_ASSERT_DEBUG_HANDLER \
             BOOST_FILESYSTEM_NO_CXX20_ATOMIC_REF BOOST_LOG_NO_SHORTHAND_NAMES \
             BOOST_LOG_USE_NATIVE_SYSLOG BOOST_LOG_WITHOUT_THREAD_ATTR \
             BOOST_MATH_NO_LONG_DOUBLE_MATH_FUNCTIONS BOOST_SYSTEM_NO_DEPRECATED \
             BOOST_THREAD_USES_DATETIME BOOST_THREAD_VERSION 5",
        );
    Doc::new()
        .text("version", "7.0.9")
        .text("gitVersion", "3ff3a3925c36ed277cf5eafca5495f2e3728dd67")
        .array("modules", [(); 0], |doc, _, ()| doc)
        .text("allocator", "tcmalloc")
        .text("javascriptEngine", "mozjs")
        .text("sysInfo", "deprecated")
        .array("versionArray", [7, 0, 9, 0], Doc::int)
        .document("openssl", openssl)
        .document("buildEnvironment", environment)
        .int("bits", 64)
        .boolean("debug", false)
        .int("maxBsonObjectSize", 16_777_216)
        .array("storageEngines", ["devnull", "wiredTiger"], Doc::text)
}

#[cfg(test)]
mod tests;
