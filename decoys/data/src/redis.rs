//! Redis as Redis 7.0.15 of Debian 12 answers those who don't know its password.
//!
//! Recorded from the package with `requirepass` set. Requests come as arrays of bulk strings
//! (RESP2, redis.io "Redis serialization protocol") or as lines of words; answers are RESP2 until
//! a `HELLO` succeeds, and none does.

mod commands;
mod request;

use std::time::Duration;

use coalmine_core::decoy::{Broken, Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::text::{MAX_FIELD, printable};
use coalmine_core::{Context, DecoyKind, Event, Out, Service, Timestamp};

use commands::Verdict;
use request::{Reader, Request};

/// Longest text of a command's arguments in an event, in bytes; what is cut is counted.
const MAX_ARGS: usize = MAX_FIELD - 64;
/// Longest piece of a command, and of its arguments together, that an error repeats, in bytes.
const MAX_REPEATED: usize = 128;

const NO_AUTH: &str = "NOAUTH Authentication required.";
const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const HELLO_NO_AUTH: &str = "NOAUTH HELLO must be called with the client already authenticated, \
    otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and \
    select the RESP protocol version at the same time";

/// Redis server.
pub static KIND: DecoyKind = DecoyKind {
    id: "redis",
    title: "Redis server",
    doc: "Pretends to be Redis 7.0.15 with a password that nobody knows.\nCaptures every command with its arguments, and so every password tried.",
    transports: &[Transport::Tcp],
    port: 6379,
    instances: false,
    tls: None,
    events: &[RedisCommand::KIND],
    settings: RedisSettings::declared,
    build: |given, _| {
        RedisSettings::parse(given)?;
        Ok(Service::sessions(Redis))
    },
    limits: Limits {
        // The server itself never closes an idle connection.
        idle: Duration::from_secs(600),
        total: Duration::from_secs(3600),
        ..Limits::LOGIN.input(request::MAX_INLINE + 16 * 1024)
    },
    poke: Poke::Script(&[
        Step::Send(b"*3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$6\r\nsecret\r\nINFO\r\n"),
        Step::Expect(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
        Step::Expect(b"-NOAUTH Authentication required.\r\n"),
    ]),
};

coalmine_core::settings! {
    /// Settings of the Redis decoy: there are none.
    pub struct RedisSettings {}
}

coalmine_core::event! {
    /// Somebody sent the Redis server a command.
    pub struct RedisCommand: "redis", "Redis Command", [21001 ""] {
        /// Its name, as the client sent it.
        cmd: String => "CMD" = "AUTH",
        /// Its arguments with a space between them.
        args: String => "ARGS" = "default hunter2",
    }
}

struct Redis;

impl Sessions for Redis {
    fn open(&self, _context: &Context, _out: &mut Out) -> Box<dyn Session> {
        Box::new(RedisSession(Reader::default()))
    }
}

struct RedisSession(Reader);

impl Session for RedisSession {
    /// Answers all whole requests at once, as the server does: one that closes without a word
    /// takes the answers before it along.
    fn feed(&mut self, input: &[u8], _now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        let mut rest = input;
        loop {
            match self.0.next(&mut rest) {
                Ok(Some(request)) => match answer(&request, out) {
                    Then::GoOn if out.is_full() => break,
                    Then::GoOn => {}
                    Then::Close => {
                        out.close();
                        break;
                    }
                    Then::Vanish => {
                        out.take_bytes();
                        out.close();
                        break;
                    }
                },
                Ok(None) => break,
                Err(fault) => {
                    let mut text = b"Protocol error: ".to_vec();
                    text.extend(fault.text());
                    error(&text, out);
                    return Err(Broken);
                }
            }
        }
        Ok(input.len().saturating_sub(rest.len()))
    }
}

/// What follows an answer.
enum Then {
    GoOn,
    Close,
    /// The end of the connection without what hasn't been sent yet.
    Vanish,
}

/// Answers `request` in the order of the server's own checks.
fn answer(request: &Request, out: &mut Out) -> Then {
    let [name, args @ ..] = request.words.as_slice() else {
        return Then::GoOn;
    };
    out.see(&RedisCommand {
        cmd: printable(name),
        args: shown_args(args, request),
    });
    let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
    // Browsers are made to send these to services that they shouldn't reach.
    if is(b"post") || is(b"host:") {
        return Then::Vanish;
    }
    let sub = args.first().map(Vec::as_slice);
    let refusal = match commands::verdict(name, sub, request.count) {
        Verdict::Unknown => unknown(name, args),
        Verdict::UnknownSub => {
            let mut text = b"unknown subcommand '".to_vec();
            text.extend(c_text(sub.unwrap_or_default()).iter().take(MAX_REPEATED));
            text.extend(b"'. Try ");
            text.extend(name.to_ascii_uppercase());
            text.extend(b" HELP.");
            text
        }
        Verdict::WrongCount(full) => {
            format!("wrong number of arguments for '{full}' command").into_bytes()
        }
        Verdict::Protected(word) => format!(
            "{} command not allowed. If the enable-{word}-command option is set to \"local\", you \
             can run it from a local connection, otherwise you need to set this option in the \
             configuration file, and then restart the server.",
            word.to_ascii_uppercase()
        )
        .into_bytes(),
        Verdict::Known("auth") => {
            match args {
                [_] | [_, _] if request.count <= 3 => coded(WRONG_PASS, out),
                _ => error(b"syntax error", out),
            }
            return Then::GoOn;
        }
        Verdict::Known("hello") => {
            hello(args, out);
            return Then::GoOn;
        }
        Verdict::Known("quit") => {
            out.send("+OK\r\n");
            return Then::Close;
        }
        Verdict::Known("reset") => {
            out.send("+RESET\r\n");
            return Then::GoOn;
        }
        Verdict::Known("exec") => {
            abort(NO_AUTH.as_bytes(), out);
            return Then::GoOn;
        }
        Verdict::Known(_) => {
            coded(NO_AUTH, out);
            return Then::GoOn;
        }
    };
    if is(b"exec") {
        abort(&refusal, out);
    } else {
        error(&refusal, out);
    }
    Then::GoOn
}

/// The arguments with spaces between them; what is cut is counted.
fn shown_args(args: &[Vec<u8>], request: &Request) -> String {
    let joined = args.join(&b' ');
    let mut text = printable(&joined);
    let name = request.words.first().map_or(0, Vec::len);
    let whole = request.length.saturating_sub(name.saturating_add(1));
    if whole > joined.len() || text.len() > MAX_ARGS {
        text.truncate(text.floor_char_boundary(MAX_ARGS));
        text.push_str(&format!("… ({whole} bytes in all)"));
    }
    text
}

/// The text for a command that doesn't exist. Its limit counts the quotes, too, but cuts only
/// before an argument.
fn unknown(name: &[u8], args: &[Vec<u8>]) -> Vec<u8> {
    let mut shown = Vec::new();
    for arg in args {
        let left = MAX_REPEATED.saturating_sub(shown.len());
        if left == 0 {
            break;
        }
        shown.push(b'\'');
        shown.extend(c_text(arg).iter().take(left));
        shown.extend(b"' ");
    }
    let mut text = b"unknown command '".to_vec();
    text.extend(c_text(name).iter().take(MAX_REPEATED));
    text.extend(b"', with args beginning with: ");
    text.extend(shown);
    text
}

/// `HELLO [version [AUTH user password] [SETNAME name]]`.
fn hello(args: &[Vec<u8>], out: &mut Out) {
    let mut options = args;
    if let Some((version, rest)) = args.split_first() {
        options = rest;
        match request::number(version) {
            None => {
                error(b"Protocol version is not an integer or out of range", out);
                return;
            }
            Some(2 | 3) => {}
            Some(_) => {
                coded("NOPROTO unsupported protocol version", out);
                return;
            }
        }
    }
    while let Some((option, rest)) = options.split_first() {
        let is = |word: &[u8]| c_text(option).eq_ignore_ascii_case(word);
        match rest {
            [_, _, ..] if is(b"auth") => {
                coded(WRONG_PASS, out);
                return;
            }
            [name, rest @ ..] if is(b"setname") => {
                if !name.iter().all(u8::is_ascii_graphic) {
                    let text =
                        b"Client names cannot contain spaces, newlines or special characters.";
                    error(text, out);
                    return;
                }
                options = rest;
            }
            _ => {
                let mut text = b"Syntax error in HELLO option '".to_vec();
                text.extend(c_text(option));
                text.push(b'\'');
                error(&text, out);
                return;
            }
        }
    }
    coded(HELLO_NO_AUTH, out);
}

/// Text up to its first zero, as C prints it.
fn c_text(bytes: &[u8]) -> &[u8] {
    bytes.split(|&b| b == 0).next().unwrap_or_default()
}

/// An error without a code of its own; ends of lines become spaces.
fn error(text: &[u8], out: &mut Out) {
    out.send("-ERR ");
    line(text, out);
}

/// An error whose text begins with its code.
fn coded(text: &str, out: &mut Out) {
    out.send("-");
    line(text.as_bytes(), out);
}

/// A refused `EXEC` also ends its transaction.
fn abort(text: &[u8], out: &mut Out) {
    out.send("-EXECABORT Transaction discarded because of: ");
    line(text, out);
}

fn line(text: &[u8], out: &mut Out) {
    let flat: Vec<u8> = text
        .iter()
        .map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b })
        .collect();
    out.send(flat);
    out.send("\r\n");
}

#[cfg(test)]
mod tests;
