//! What every decoy must hold, checked from its [`DecoyKind`] alone, and [`Talk`], a driver in
//! memory with simulated time for a decoy's own tests.
//!
//! Compiled with the cargo feature `testing`; only tests use it. A failed check panics with what
//! was expected, as tests do.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test tool: a failed check is a panic"
)]

mod talk;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand_core::Rng;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Seed;
use crate::decoy::{
    Bird, BoxFuture, Channel, Context, DecoyKind, Out, Poke, SeeEvents, Seen, Service, Sink, Step,
    Tcp,
};
use crate::event::Shape;

pub use talk::Talk;

/// Random conversations held with each kind.
const RANDOM_TALKS: u64 = 200;
/// A session may say this many times what it heard, and [`MAX_GREETING`] more.
const MAX_GAIN: usize = 64;
/// The same for conversations that a fuzzer optimises: a short request may be answered by a page.
const MAX_PAGE_GAIN: usize = 1_024;
/// Bytes that a session may say unasked.
const MAX_GREETING: usize = 256 * 1024;
/// Bytes that come in one packet of a flood: what the driver reads at a time.
const BURST: usize = 16 * 1024;
/// Longest event in JSON, in bytes.
const MAX_EVENT: usize = 256 * 1024;

/// Checks that the files in `src` of the crate at `manifest_dir` (`env!("CARGO_MANIFEST_DIR")`) are
/// the kinds of its registry, one file a kind: a decoy that nobody registered would never listen.
pub fn check_room(manifest_dir: &str, kinds: &[&DecoyKind]) {
    let folder = std::path::Path::new(manifest_dir).join("src");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".rs").map(str::to_owned)
        })
        .filter(|name| name != "lib")
        .collect();
    files.sort();
    let mut registered: Vec<_> = kinds.iter().map(|kind| kind.id).collect();
    registered.sort_unstable();
    assert_eq!(files, registered);
}

/// Checks everything that every kind must hold: declarations, settings, the poke, and what
/// hostile input does. Call it from one test per kind.
pub fn check(kind: &'static DecoyKind) {
    declarations(kind);
    settings(kind);
    match (build(kind, &Map::new()).tcp, build(kind, &Map::new()).udp) {
        (Some(Tcp::Sessions(_)), _) => sessions(kind),
        (Some(Tcp::Streams(_)), _) => streams(kind),
        (None, Some(_)) => {}
        (None, None) => panic!("{kind:?} has no transport"),
    }
    if build(kind, &Map::new()).udp.is_some() {
        datagrams(kind);
    }
    for choice in choices(kind) {
        installations(kind, &choice);
        floods(kind, &choice);
    }
}

/// Holds a conversation that a fuzzer made up: `input` is cut into messages, each led by a byte that
/// says how long it is (0: time passes instead). A conversation that starts with 0 and a number is
/// held under that one of the [`choices`]; one datagram is sent under each of them. Fails by panic
/// where a session panics, spins, says too much or reports what it didn't declare.
pub fn converse(kind: &'static DecoyKind, input: &[u8]) {
    let choices = choices(kind);
    for choice in &choices {
        let Some(udp) = build(kind, choice).udp else {
            break;
        };
        let mut out = Out::new();
        udp.datagram(&Context::sample(), input, &mut out);
        assert!(out.bytes().len() <= 65_507, "longer than a datagram");
        check_events(kind, &out.take_seen());
    }
    let (choice, input) = match input {
        [0, number, rest @ ..] => (usize::from(*number) % choices.len(), rest),
        _ => (0, input),
    };
    let service = build(kind, choices.get(choice).unwrap());
    if !matches!(service.tcp, Some(Tcp::Sessions(_))) {
        return;
    }
    let mut talk = Talk::of(kind, &service);
    let mut said = talk.said().len();
    let mut rest = input;
    while let Some((length, after)) = rest.split_first() {
        let (message, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        said += match length {
            0 => talk.advance(Duration::from_secs(5)).len(),
            _ => talk.say(message).len(),
        };
    }
    said += talk.end().len();
    said += talk.advance(Duration::from_secs(3600)).len();
    assert!(
        said <= MAX_GREETING + input.len().saturating_mul(MAX_PAGE_GAIN),
        "{kind:?} said {said} bytes for {}",
        input.len()
    );
    check_events(kind, &talk.seen);
}

/// Settings that between them make a kind everything it can be: the defaults, then each word of
/// each [`choice!`](crate::choice!) and each switch turned, one at a time. Those that don't stand
/// alone (a site of the operator's without its folder) are left out.
pub fn choices(kind: &'static DecoyKind) -> Vec<Map<String, Value>> {
    let mut choices = vec![Map::new()];
    for setting in (kind.settings)() {
        let words = match (&setting.default, setting.schema.get("enum")) {
            (Value::Bool(on), _) => vec![Value::Bool(!on)],
            (default, Some(Value::Array(words))) => {
                words.iter().filter(|w| *w != default).cloned().collect()
            }
            _ => continue,
        };
        for word in words {
            let choice = Map::from_iter([(setting.name.to_owned(), word)]);
            if (kind.build)(&choice, &Bird::sample()).is_ok() {
                choices.push(choice);
            }
        }
    }
    choices
}

/// Two birds share no number that looks as if it were one installation's own.
fn installations(kind: &'static DecoyKind, choice: &Map<String, Value>) {
    let bird = |seed| {
        let sample = Bird::sample();
        Arc::new(Bird {
            node_id: sample.node_id,
            name: sample.name.clone(),
            machine: sample.machine.clone(),
            seed: Seed::new([seed; 32]),
            booted: sample.booted,
            vault: Arc::clone(&sample.vault),
        })
    };
    let said = |seed| answers(kind, choice, &bird(seed), Seed::new([seed; 32]));
    let (first, second) = (said(1), said(2));
    // What it was told it may repeat.
    let told: Vec<_> = match kind.poke {
        Poke::Script(script) => script
            .iter()
            .map(|step| match step {
                Step::Send(bytes) => bytes.escape_ascii().to_string(),
                _ => String::new(),
            })
            .collect(),
        Poke::Talk(_) => Vec::new(),
    };
    for word in peculiar(&first) {
        let shared = peculiar(&second).contains(&word);
        assert!(
            !shared || told.iter().any(|step| step.contains(&word)),
            "{kind:?} {choice:?} says {word} on every bird"
        );
    }
}

/// Words of 16 letters and more that are hexadecimal or mix small letters, capitals and digits.
fn peculiar(said: &[u8]) -> Vec<String> {
    said.split(|b| !b.is_ascii_alphanumeric())
        .filter(|word| word.len() >= 16 && word.iter().any(u8::is_ascii_digit))
        .filter(|word| {
            let mixed =
                word.iter().any(u8::is_ascii_lowercase) && word.iter().any(u8::is_ascii_uppercase);
            mixed || word.iter().all(u8::is_ascii_hexdigit)
        })
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// Many messages in few packets pile nothing up ([`Talk`] looks after each call), and garbage makes
/// few events.
fn floods(kind: &'static DecoyKind, choice: &Map<String, Value>) {
    let (Poke::Script(script), Some(Tcp::Sessions(_))) = (kind.poke, build(kind, choice).tcp)
    else {
        return;
    };
    let service = build(kind, choice);
    let poke = script.iter().filter_map(|step| match step {
        Step::Send(bytes) => Some(*bytes),
        _ => None,
    });
    let poke: Vec<&[u8]> = poke.collect();
    let mut garbage = vec![0; 8 * 1024];
    Seed::new([0x5c; 32])
        .rng("garbage")
        .fill_bytes(&mut garbage);
    let heard = |message: &[u8], after_poke: bool| {
        let mut talk = Talk::of(kind, &service);
        if after_poke {
            for message in &poke {
                talk.say(message);
                talk.settle();
            }
        }
        let before = talk.seen.len();
        let burst = message.repeat(BURST.div_ceil(message.len()));
        talk.say(&burst);
        talk.settle();
        (burst.len(), talk.seen.len() - before)
    };
    heard(&poke.concat(), false);
    for message in &poke {
        heard(message, true);
    }
    // Telnet's commands, and the shortest line.
    for message in [&b"\xff\xf5"[..], b"\xff\xf6", b"a\n"] {
        heard(message, true);
    }
    for after_poke in [false, true] {
        for message in [&garbage[..], b"\0", b"A", b"\xff"] {
            let (heard, seen) = heard(message, after_poke);
            assert!(
                seen <= 16 + heard / 16,
                "{kind:?} {choice:?} made {seen} events of {heard} bytes of garbage"
            );
        }
    }
}

/// What a service of `bird` says to its kind's poke under `settings`, in a connection of this
/// randomness. Empty for a service on a library.
pub fn answers(
    kind: &'static DecoyKind,
    settings: &Map<String, Value>,
    bird: &Arc<Bird>,
    seed: Seed,
) -> Vec<u8> {
    let Poke::Script(script) = kind.poke else {
        return Vec::new();
    };
    let service = (kind.build)(settings, bird).unwrap();
    let context = Context {
        seed,
        channel: match kind.tls {
            Some(_) => Channel::Tls,
            None => Channel::Clear,
        },
        ..Context::sample()
    };
    let mut said = Vec::new();
    if let Some(Tcp::Sessions(sessions)) = &service.tcp {
        let mut talk = Talk::open(sessions.as_ref(), &context, kind.limits.input);
        for step in script {
            said.extend(step_once(&mut talk, step, Split::Never));
        }
        said.extend(talk.settle());
    } else if let Some(udp) = &service.udp {
        for step in script {
            if let Step::Send(bytes) = step {
                let mut out = Out::new();
                udp.datagram(&context, bytes, &mut out);
                said.extend(out.take_bytes());
            }
        }
    }
    said
}

/// Declarations are whole: words, limits, samples of the declared shape.
fn declarations(kind: &'static DecoyKind) {
    assert!(!kind.title.is_empty() && !kind.doc.trim().is_empty());
    assert!(
        kind.id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
        "{:?} isn't a wire name",
        kind.id
    );
    assert!(kind.limits.input > 0 && kind.limits.connections > 0 && kind.limits.per_source > 0);
    assert!(!kind.limits.idle.is_zero() && kind.limits.idle <= kind.limits.total);
    assert!(!kind.events.is_empty(), "{kind:?} sees nothing");
    for event in kind.events {
        assert!(!event.logtypes.is_empty(), "{} lacks a logtype", event.key);
        for field in event.fields {
            let sample = (field.sample)();
            assert!(
                has_shape(&sample, field.shape),
                "{}.{}: sample {sample} isn't of its shape",
                event.key,
                field.name
            );
            assert!(!field.doc.trim().is_empty());
        }
    }
}

/// Defaults parse, unknown keys are refused by name.
fn settings(kind: &'static DecoyKind) {
    let declared = (kind.settings)();
    let mut defaults = Map::new();
    for setting in declared {
        assert!(
            !setting.doc.trim().is_empty(),
            "{} lacks words",
            setting.name
        );
        let twice = defaults.insert(setting.name.to_owned(), setting.default);
        assert!(twice.is_none(), "{} is declared twice", setting.name);
    }
    let service = build(kind, &defaults);
    for transport in kind.transports {
        let there = match transport {
            crate::decoy::Transport::Tcp => service.tcp.is_some(),
            crate::decoy::Transport::Udp => service.udp.is_some(),
        };
        assert!(there, "{kind:?} lacks its part for {}", transport.name());
    }
    let mut unknown = Map::new();
    unknown.insert("no_such_key".to_owned(), Value::Null);
    let Err(faults) = (kind.build)(&unknown, &Bird::sample()) else {
        panic!("{kind:?} takes an unknown key");
    };
    assert!(faults.iter().any(|f| f.key.contains("no_such_key")));
}

/// What every session must hold.
fn sessions(kind: &'static DecoyKind) {
    let Poke::Script(script) = kind.poke else {
        panic!("{kind:?} speaks for itself, so its poke is a script");
    };

    // The poke is understood and seen.
    let whole = play(kind, script, Split::Never);
    assert!(
        !whole.1.is_empty(),
        "the poke of {kind:?} isn't seen; it said {:?}",
        whole.0.escape_ascii().to_string()
    );

    // How TCP cuts the input changes neither what is said nor what is seen.
    let longest = script
        .iter()
        .map(|s| match s {
            Step::Send(bytes) => bytes.len(),
            _ => 0,
        })
        .max()
        .unwrap_or(0);
    for split in (1..longest).map(Split::At).chain([Split::Bytes]) {
        let cut = play(kind, script, split);
        assert_eq!(
            (whole.0.escape_ascii().to_string(), &whole.1),
            (cut.0.escape_ascii().to_string(), &cut.1),
            "cutting the input ({split:?}) changed the conversation"
        );
    }

    // A peer that goes away, at any point.
    for steps in 0..=script.len() {
        let mut talk = Talk::new(kind);
        for step in script.iter().take(steps) {
            step_once(&mut talk, step, Split::Never);
        }
        talk.end();
        talk.advance(kind.limits.total);
        assert!(talk.is_closed(), "{kind:?} outlives its peer");
    }

    // A peer that stays and says nothing.
    Talk::new(kind).advance(kind.limits.total);

    // Random bytes, and the poke with random harm done to it.
    let seed = Seed::new([0x5a; 32]);
    for n in 0..RANDOM_TALKS {
        let mut rng = seed.rng(&format!("talk {n}"));
        let mut talk = Talk::new(kind);
        for step in script {
            let mut bytes = match step {
                Step::Send(bytes) => bytes.to_vec(),
                _ => continue,
            };
            harm(&mut bytes, &mut rng);
            talk.input.extend_from_slice(&bytes);
            talk.pump();
            if n % 3 == 0 {
                talk.advance(Duration::from_secs(rng.next_u64() % 5));
            }
        }
        check_events(kind, &talk.seen);
        talk.ended = true;
        talk.pump();
        talk.advance(kind.limits.total);
        assert!(talk.is_closed(), "{kind:?} outlives its peer (talk {n})");
    }

    // More than is allowed, of everything that commonly starts or never ends a message.
    for byte in [0, b'A', b' ', b'\n', b'(', b'{', 0x30, 0xff] {
        let mut talk = Talk::new(kind);
        for step in script.iter().take(2) {
            step_once(&mut talk, step, Split::Never);
        }
        let mut heard = 0;
        let mut said = 0;
        let flood = vec![byte; 4096];
        while heard < kind.limits.input.saturating_mul(4) && !talk.closed {
            said += talk.say(&flood).len();
            said += talk.settle().len();
            heard += flood.len();
            assert!(
                talk.input.len() <= kind.limits.input.saturating_add(flood.len()),
                "unread input grows"
            );
        }
        assert!(
            said <= MAX_GREETING + heard.saturating_mul(MAX_GAIN),
            "{kind:?} said {said} bytes to {heard} of {byte:#04x}"
        );
        check_events(kind, &talk.seen);
    }
}

/// How the input of a conversation is cut.
#[derive(Clone, Copy, Debug)]
enum Split {
    Never,
    At(usize),
    Bytes,
}

/// Holds the scripted conversation; gives what was said and seen.
fn play(kind: &'static DecoyKind, script: &[Step], split: Split) -> (Vec<u8>, Vec<(u32, Value)>) {
    let mut talk = Talk::new(kind);
    let mut said = talk.said();
    let mut matched = 0;
    for step in script {
        said.extend(step_once(&mut talk, step, split));
        if let Step::Expect(wanted) = step {
            let find = |said: &[u8]| {
                let rest = said.get(matched..).unwrap_or_default();
                rest.windows(wanted.len()).position(|w| w == *wanted)
            };
            while find(&said).is_none() && talk.alarm.is_some() && !talk.closed {
                let time = talk.alarm.map_or(Duration::ZERO, |a| a.since(talk.now));
                said.extend(talk.advance(time));
            }
            let Some(at) = find(&said) else {
                panic!(
                    "{kind:?} didn't say {:?}, but {:?}",
                    wanted.escape_ascii().to_string(),
                    said.escape_ascii().to_string()
                );
            };
            matched += at + wanted.len();
        }
    }
    check_events(kind, &talk.seen);
    (said, talk.events())
}

/// One step of a script; gives what was said meanwhile.
fn step_once(talk: &mut Talk, step: &Step, split: Split) -> Vec<u8> {
    let mut said = talk.said();
    match step {
        Step::Send(bytes) => match split {
            Split::At(at) if at < bytes.len() => {
                let (head, tail) = bytes.split_at(at);
                said.extend(talk.say(head));
                said.extend(talk.say(tail));
            }
            Split::Bytes => {
                for byte in *bytes {
                    said.extend(talk.say([*byte]));
                }
            }
            _ => said.extend(talk.say(bytes)),
        },
        // In memory, TLS is up once the session has asked for it.
        Step::StartTls => assert!(talk.is_tls(), "the session doesn't start TLS"),
        Step::Expect(_) | Step::Drain => said.extend(talk.settle()),
    }
    said
}

/// Does random harm to a message.
fn harm(bytes: &mut Vec<u8>, rng: &mut impl Rng) {
    let pick = |rng: &mut dyn FnMut() -> u64, n: usize| (rng() % n.max(1) as u64) as usize;
    let mut next = || rng.next_u64();
    match next() % 5 {
        0 => {
            let n = pick(&mut next, 600);
            *bytes = (0..n).map(|_| next() as u8).collect();
        }
        1 => {
            for _ in 0..=pick(&mut next, 4) {
                let at = pick(&mut next, bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = next() as u8;
                }
            }
        }
        2 => {
            let at = pick(&mut next, bytes.len() + 1);
            bytes.truncate(at);
        }
        3 => {
            let at = pick(&mut next, bytes.len() + 1);
            let n = pick(&mut next, 40);
            let more: Vec<u8> = (0..n).map(|_| next() as u8).collect();
            bytes.splice(at..at, more);
        }
        _ => {
            let copy = bytes.clone();
            bytes.extend(copy);
        }
    }
}

/// What every datagram service must hold.
fn datagrams(kind: &'static DecoyKind) {
    let service = build(kind, &Map::new());
    let udp = service.udp.unwrap();
    let context = Context::sample();
    let seed = Seed::new([0x5b; 32]);
    let mut seen = Vec::new();
    let mut messages: Vec<&[u8]> = Vec::new();
    if let Poke::Script(script) = kind.poke {
        for step in script {
            if let Step::Send(bytes) = step {
                messages.push(bytes);
            }
        }
    }
    let mut ask = |input: &[u8]| {
        let mut out = Out::new();
        udp.datagram(&context, input, &mut out);
        assert!(out.bytes().len() <= 65_507, "longer than a datagram");
        seen.extend(out.take_seen());
    };
    if kind.transports == [crate::decoy::Transport::Udp] {
        assert!(!messages.is_empty(), "{kind:?} has no poke");
    }
    for message in &messages {
        ask(message);
    }
    let seen_of_poke = seen.len();
    let mut ask = |input: &[u8]| {
        let mut out = Out::new();
        udp.datagram(&context, input, &mut out);
        assert!(out.bytes().len() <= 65_507, "longer than a datagram");
        seen.extend(out.take_seen());
    };
    ask(&[]);
    ask(&[0; 65_507]);
    ask(&[0xff; 65_507]);
    for n in 0..RANDOM_TALKS {
        let mut rng = seed.rng(&format!("datagram {n}"));
        for message in &messages {
            let mut bytes = message.to_vec();
            harm(&mut bytes, &mut rng);
            ask(&bytes);
        }
        let mut bytes = Vec::new();
        harm(&mut bytes, &mut rng);
        ask(&bytes);
    }
    for message in &messages {
        for end in 0..message.len() {
            ask(message.get(..end).unwrap());
        }
    }
    if kind.transports == [crate::decoy::Transport::Udp] {
        assert!(seen_of_poke > 0, "the poke of {kind:?} isn't seen");
    }
    check_events(kind, &seen);
}

/// What every service on a library must hold. Time is simulated here too.
fn streams(kind: &'static DecoyKind) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let service = build(kind, &Map::new());
        let Some(Tcp::Streams(streams)) = service.tcp else {
            panic!("{kind:?} has no streams");
        };
        let book = Arc::new(Book::default());
        let serve = |book: &Arc<Book>| {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let sink: Sink = book.clone();
            let served = streams.serve(Context::sample(), Box::new(far), sink);
            (
                near,
                tokio::spawn(tokio::time::timeout(kind.limits.total, served)),
            )
        };

        let (near, served) = serve(&book);
        match kind.poke {
            Poke::Talk(talk) => talk(Box::new(near)).await.unwrap(),
            Poke::Script(script) => {
                let mut near = near;
                for step in script {
                    if let Step::Send(bytes) = step {
                        near.write_all(bytes).await.unwrap();
                    } else {
                        let mut said = [0; 4096];
                        let moment = Duration::from_secs(5);
                        let _ = tokio::time::timeout(moment, near.read(&mut said)).await;
                    }
                }
            }
        }
        let _ = served.await.unwrap();
        assert!(
            !book.0.lock().unwrap().is_empty(),
            "the poke of {kind:?} isn't seen"
        );

        let seed = Seed::new([0x5c; 32]);
        for n in 0..RANDOM_TALKS / 4 {
            let mut rng = seed.rng(&format!("stream {n}"));
            let (mut near, served) = serve(&book);
            let mut bytes = Vec::new();
            harm(&mut bytes, &mut rng);
            if n % 2 == 0 {
                bytes.push(b'\n');
            }
            let _ = near.write_all(&bytes).await;
            let mut said = [0; 4096];
            let _ = tokio::time::timeout(Duration::from_secs(1), near.read(&mut said)).await;
            drop(near);
            let outcome = served.await;
            assert!(
                matches!(outcome, Ok(Ok(()))),
                "{kind:?} panics or outlives its peer (talk {n})"
            );
        }
        check_events(kind, &book.0.lock().unwrap());
    });
}

/// Notes what a stream service sees.
#[derive(Default)]
struct Book(Mutex<Vec<Seen>>);

impl SeeEvents for Book {
    fn see(&self, seen: Seen) -> BoxFuture<'_, ()> {
        self.0.lock().unwrap().push(seen);
        Box::pin(async {})
    }
}

/// Every event is one that the kind declares, whole, in shape and bounded.
fn check_events(kind: &'static DecoyKind, seen: &[Seen]) {
    for one in seen {
        let declared = one.kind;
        assert!(
            kind.events.iter().any(|e| e.key == declared.key),
            "{kind:?} sees {}, which it doesn't declare",
            declared.key
        );
        assert!(declared.logtypes.iter().any(|l| l.code == one.logtype));
        assert!(
            one.fields.get().len() <= MAX_EVENT,
            "an event of {kind:?} has {} bytes",
            one.fields.get().len()
        );
        let fields: Map<String, Value> = serde_json::from_str(one.fields.get()).unwrap();
        for field in declared.fields {
            match fields.get(field.name) {
                None => assert!(field.optional, "{} lacks {}", declared.key, field.name),
                Some(value) => assert!(has_shape(value, field.shape)),
            }
        }
        assert!(
            fields
                .keys()
                .all(|k| declared.fields.iter().any(|f| f.name == k))
        );
    }
}

fn has_shape(value: &Value, shape: Shape) -> bool {
    match shape {
        Shape::String => value.is_string(),
        Shape::Integer => value.is_i64() || value.is_u64(),
        Shape::Object => value.is_object(),
        Shape::Strings => value
            .as_array()
            .is_some_and(|list| list.iter().all(Value::is_string)),
    }
}

/// A service of the sample bird.
fn build(kind: &'static DecoyKind, settings: &Map<String, Value>) -> Service {
    (kind.build)(settings, &Bird::sample())
        .unwrap_or_else(|faults| panic!("{kind:?} refuses {settings:?}: {faults:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::decoy::{Broken, Session, Sessions};
    use crate::decoy::{Limits, Transport};
    use crate::settings::any;

    crate::event! {
        /// A line came.
        pub struct LineHeard: "lineheard", "A Line", [9 ""] {
            /// The line.
            line: String => "LINE" = "hello",
        }
    }

    crate::settings! {
        /// Settings of the test decoy.
        pub struct LineSettings {
            /// How it errs.
            fault: u16 => "fault" = 0, any;
        }
    }

    /// Answers lines; how it errs is told by its kind.
    struct Lines<const FAULT: u8>;

    impl<const FAULT: u8> Sessions for Lines<FAULT> {
        fn open(&self, _context: &Context, out: &mut Out) -> Box<dyn Session> {
            out.send("hello\n");
            Box::new(Self)
        }
    }

    impl<const FAULT: u8> Session for Lines<FAULT> {
        fn feed(&mut self, input: &[u8], _now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
            let whole = input.iter().position(|b| *b == b'\n');
            let end = match (whole, FAULT) {
                (Some(end), _) => end,
                // Takes what came for a whole line.
                (None, 1) => input.len() - 1,
                // Takes everything for text.
                (None, 2) => {
                    std::str::from_utf8(input).unwrap();
                    return Ok(0);
                }
                (None, _) => return Ok(0),
            };
            out.see(&LineHeard {
                line: crate::text::printable(&input[..end]),
            });
            out.send("thanks\n");
            if FAULT == 3 {
                out.wait(Duration::ZERO);
            }
            Ok(end + 1)
        }

        fn wake(&mut self, _now: Timestamp, out: &mut Out) {
            out.wait(Duration::ZERO);
        }
    }

    const fn kind<const FAULT: u8>(script: &'static [Step]) -> DecoyKind {
        DecoyKind {
            id: "lines",
            title: "Lines",
            doc: "Hears lines.",
            transports: &[Transport::Tcp],
            port: 7,
            instances: false,
            tls: None,
            events: &[<LineHeard as crate::Event>::KIND],
            settings: LineSettings::declared,
            build: |given, _| LineSettings::parse(given).map(|_| Service::sessions(Lines::<FAULT>)),
            limits: Limits::LOGIN,
            poke: Poke::Script(script),
        }
    }

    const POKE: &[Step] = &[Step::Send(b"one\ntwo\n"), Step::Expect(b"thanks\n")];

    #[test]
    fn a_sound_decoy_passes() {
        static KIND: DecoyKind = kind::<0>(POKE);
        check(&KIND);
    }

    #[test]
    #[should_panic(expected = "changed the conversation")]
    fn cutting_the_input_is_noticed() {
        static KIND: DecoyKind = kind::<1>(POKE);
        check(&KIND);
    }

    #[test]
    #[should_panic(expected = "Utf8Error")]
    fn a_panic_is_noticed() {
        static KIND: DecoyKind = kind::<2>(POKE);
        check(&KIND);
    }

    #[test]
    #[should_panic(expected = "the session spins")]
    fn spinning_is_noticed() {
        static KIND: DecoyKind = kind::<3>(POKE);
        check(&KIND);
    }

    #[test]
    #[should_panic(expected = "isn't seen")]
    fn a_blind_poke_is_noticed() {
        static KIND: DecoyKind = kind::<0>(&[Step::Send(b"one")]);
        check(&KIND);
    }

    #[test]
    #[should_panic(expected = "didn't say")]
    fn an_unmet_expectation_is_noticed() {
        static KIND: DecoyKind = kind::<0>(&[Step::Send(b"one\n"), Step::Expect(b"never")]);
        check(&KIND);
    }
}
