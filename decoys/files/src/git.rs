//! The git protocol (`git help protocol-pack`, section "Git transport") as git-daemon 2.39 of
//! Debian 12 speaks it when it exports nothing: every repository is refused with the same words.
//!
//! Recorded from the package with its default options (no `--informative-errors`, no `--enable`);
//! the recorded conversations lie in `git/testdata`. Whatever the daemon doesn't understand it
//! answers by closing the connection without a word.

#[cfg(test)]
mod tests;

use std::time::Duration;

use coalmine_core::decoy::{Broken, Limits, Poke, Session, Sessions, Step, Transport};
use coalmine_core::text::printable;
use coalmine_core::{Context, DecoyKind, Event, Out, Service, Timestamp};

/// Longest packet with its length, in bytes (`LARGE_PACKET_MAX`); no longer answer is sent.
const MAX_PACKET: usize = 65_520;
/// Longest request without its length, in bytes: the daemon's buffer less its final zero.
const MAX_REQUEST: usize = MAX_PACKET - 1;

/// Bytes of a packet's length, in hex.
const LENGTH: usize = 4;
/// What can be asked for.
const SERVICES: [&[u8]; 3] = [
    b"git-upload-pack ",
    b"git-receive-pack ",
    b"git-upload-archive ",
];
const REFUSAL: &[u8] = b"ERR access denied or repository not exported: ";

/// Git server.
pub static KIND: DecoyKind = DecoyKind {
    id: "git",
    title: "Git server",
    doc: "Pretends to be git-daemon on Debian that exports no repository.\n\
          Captures which repository is asked for, and under which host name, by clone, fetch, push and archive.",
    transports: &[Transport::Tcp],
    port: 9418,
    instances: false,
    tls: None,
    events: &[GitClone::KIND],
    settings: GitSettings::declared,
    build: |given, _| {
        GitSettings::parse(given)?;
        Ok(Service::sessions(Git))
    },
    // The daemon itself waits for ever.
    limits: Limits::LOGIN
        .input(LENGTH + MAX_REQUEST)
        .idle(Duration::from_secs(600)),
    poke: Poke::Script(&[
        Step::Send(b"0033git-upload-pack /poke.git\0host=poke\0\0version=2\0"),
        Step::Expect(b"003bERR access denied or repository not exported: /poke.git"),
    ]),
};

coalmine_core::settings! {
    /// Settings of the git decoy: there are none.
    pub struct GitSettings {}
}

coalmine_core::event! {
    /// Somebody asked the git server for a repository.
    pub struct GitClone: "gitclone", "Git Repository Clone Attempt", [19001 ""] {
        /// Host, with its port if it was given, as the client names it; empty where it names none.
        host: String => "HOST" = "files-02.corp.example",
        /// Repository as the client names it.
        repo: String => "REPO" = "/project.git",
    }
}

struct Git;

impl Sessions for Git {
    fn open(&self, _context: &Context, _out: &mut Out) -> Box<dyn Session> {
        Box::new(GitSession)
    }
}

struct GitSession;

impl Session for GitSession {
    fn feed(&mut self, input: &[u8], _now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        let Some((length, rest)) = input.split_first_chunk::<LENGTH>() else {
            return Ok(0);
        };
        let length = request_length(length).ok_or(Broken)?;
        let Some(line) = rest.get(..length) else {
            return Ok(0);
        };
        let request = Request::parse(line).ok_or(Broken)?;
        out.see(&GitClone {
            host: printable(request.host),
            repo: printable(request.repo),
        });
        if request.is_sound {
            let length = LENGTH
                .saturating_add(REFUSAL.len())
                .saturating_add(request.repo.len());
            if length <= MAX_PACKET {
                out.send(format!("{length:04x}"));
                out.send(REFUSAL);
                out.send(request.repo);
            }
        }
        out.close();
        Ok(input.len())
    }
}

/// Bytes that follow a packet's length, without the final zero that the daemon adds; nothing where
/// it gives up at once. The special packets 0000, 0001 and 0002 hold no request either.
fn request_length(length: &[u8; LENGTH]) -> Option<usize> {
    let mut whole = 0_usize;
    for digit in length {
        let digit = char::from(*digit).to_digit(16)?;
        whole = whole
            .saturating_mul(16)
            .saturating_add(usize::try_from(digit).ok()?);
    }
    whole.checked_sub(LENGTH).filter(|n| *n <= MAX_REQUEST)
}

/// A request for one of the three services.
struct Request<'a> {
    repo: &'a [u8],
    host: &'a [u8],
    /// Whether the daemon takes what follows the repository.
    is_sound: bool,
}

impl<'a> Request<'a> {
    /// `git-upload-pack /x\0host=h\0\0version=2\0`, where all but the service may be missing.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let (asked, extra) = until_zero(line);
        let asked = asked.strip_suffix(b"\n").unwrap_or(asked);
        let repo = SERVICES.iter().find_map(|s| asked.strip_prefix(*s))?;
        let (host, is_sound) = host(extra);
        Some(Self {
            repo,
            host,
            is_sound,
        })
    }
}

/// The host named in what follows the repository, and whether the daemon takes all of it. Behind an
/// empty text it takes anything: that's where later versions of the protocol put their parameters.
fn host(extra: &[u8]) -> (&[u8], bool) {
    let (first, rest) = until_zero(extra);
    if first.is_empty() {
        return (first, true);
    }
    let host = match first.split_at_checked(5) {
        Some((name, host)) if name.eq_ignore_ascii_case(b"host=") => host,
        _ => return (&[], false),
    };
    let (more, _) = until_zero(rest);
    (host, more.is_empty() && is_host(host))
}

/// Whether an IPv6 address in brackets ends in `]` or has a port behind it.
fn is_host(host: &[u8]) -> bool {
    let Some(literal) = host.strip_prefix(b"[") else {
        return true;
    };
    let mut parts = literal.splitn(2, |b| *b == b']');
    let (_, after) = (parts.next(), parts.next());
    after.is_some_and(|after| after.is_empty() || after.starts_with(b":"))
}

/// `text` up to its first zero, and what follows that.
fn until_zero(text: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = text.splitn(2, |b| *b == 0);
    let first = parts.next().unwrap_or_default();
    (first, parts.next().unwrap_or_default())
}
