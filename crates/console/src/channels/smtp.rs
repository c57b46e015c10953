//! The mail channel: a mail to an address that is a token. To everybody it is a Postfix that takes
//! whatever comes for its domain, and nothing else. It never relays; what it takes it forgets. Where the
//! HTTPS channel has a certificate, it offers STARTTLS (RFC 3207).

pub(crate) mod mail;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::{Endpoint, text};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::https::Shown;
use super::slots::{Slots, accept};
use super::touch::{Candidate, Keeper, Touch, Touches, What};
use super::{FLOOR, mysql};

/// Connections at once (`default_process_limit`).
const MAX_CONNECTIONS: usize = 100;
/// Of which from one source (`smtpd_client_connection_count_limit`).
const MAX_PER_SOURCE: usize = 50;
/// Longest command (`line_length_limit`).
const MAX_LINE: usize = 2048;
/// Largest mail (`message_size_limit`).
const MAX_MAIL: u64 = 10_240_000;
/// How much of a mail is kept.
const MAX_KEPT: usize = 512 * 1024;
/// Recipients of one mail.
const MAX_RECIPIENTS: usize = 100;
/// Faults before the connection is closed (`smtpd_hard_error_limit`).
const MAX_FAULTS: u32 = 20;
/// Commands of one connection.
const MAX_COMMANDS: u32 = 1000;
/// Silence (`smtpd_timeout`).
const MAX_SILENCE: Duration = Duration::from_secs(300);
/// Longest TLS handshake (`smtpd_starttls_timeout` of a server under stress).
const MAX_HANDSHAKE: Duration = Duration::from_secs(10);
/// Life of a connection.
const MAX_LIFE: Duration = Duration::from_secs(900);

/// Who we are.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// Domain of the addresses, as they are written.
    domain: String,
    /// What we call ourselves.
    name: String,
}

impl Host {
    pub fn new(zone: &str) -> Self {
        let domain = domain(zone);
        let name = match zone.parse::<IpAddr>() {
            Ok(_) => domain.clone(),
            Err(_) => format!("mail.{domain}"),
        };
        Self { domain, name }
    }

    fn is_ours(&self, domain: &str, more: &[String]) -> bool {
        let domain = domain.trim_end_matches('.');
        std::iter::once(&self.domain)
            .chain(more)
            .any(|ours| ours.trim_end_matches('.').eq_ignore_ascii_case(domain))
    }
}

/// The domain of mail addresses in `zone` (RFC 5321 section 4.1.3 where that's an address).
pub(super) fn domain(zone: &str) -> String {
    match zone.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => format!("[{address}]"),
        Ok(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
        Err(_) => zone.trim_end_matches('.').to_ascii_lowercase(),
    }
}

/// Accepts until stopped; `shown` is what the HTTPS channel shows in TLS, where that is on.
pub(super) async fn serve<K: Keeper>(
    listener: TcpListener,
    host: Host,
    shown: Option<Shown>,
    touches: Arc<Touches<K>>,
) {
    let slots = Slots::new(MAX_CONNECTIONS, MAX_PER_SOURCE);
    accept(
        listener,
        |source| slots.take(source),
        |stream, peer, local| {
            let (touches, host) = (Arc::clone(&touches), host.clone());
            // Asked for each connection anew: an authority issues when it likes.
            let tls = shown.as_ref().and_then(Shown::for_mail);
            async move {
                let domains = touches.domains().await;
                let talk = Talk {
                    dialogue: Dialogue::new(host, domains, Tls::of(tls.as_ref())),
                    tls,
                    stream,
                    peer,
                    local,
                    touches,
                };
                // However it ends, it's the peer's business.
                let _ = timeout(MAX_LIFE, Box::pin(talk.run())).await;
            }
        },
    )
    .await;
}

/// One connection.
struct Talk<S, K> {
    dialogue: Dialogue,
    /// What takes it into TLS, where that is offered.
    tls: Option<TlsAcceptor>,
    stream: S,
    peer: SocketAddr,
    local: SocketAddr,
    touches: Arc<Touches<K>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin, K: Keeper> Talk<S, K> {
    /// All of it: in the clear, and then inside TLS if the peer wants that.
    async fn run(mut self) -> io::Result<()> {
        let hello = format!("220 {} ESMTP Postfix\r\n", self.dialogue.host.name);
        self.say(&hello).await?;
        let (true, Some(tls)) = (self.converse().await?, self.tls) else {
            return Ok(());
        };
        self.dialogue.secure();
        let mut inside = Talk {
            stream: timeout(MAX_HANDSHAKE, tls.accept(self.stream)).await??,
            dialogue: self.dialogue,
            tls: None,
            peer: self.peer,
            local: self.local,
            touches: self.touches,
        };
        inside.converse().await?;
        Ok(())
    }

    /// Takes commands and mails until the end. Whether that is the beginning of TLS: then nothing is
    /// left of what was read. Like Postfix, which throws away what a client has sent behind STARTTLS
    /// and goes on: it may be somebody else's on the way (CVE-2011-0411), and a client that was only
    /// hasty is heard all the same.
    async fn converse(&mut self) -> io::Result<bool> {
        let mut input = Vec::new();
        let mut block = vec![0; 8192];
        loop {
            let mut used: usize = 0;
            while let Some((line, length)) = next_line(input.get(used..).unwrap_or_default()) {
                used = used.saturating_add(length);
                let arrival = Instant::now();
                let Some(said) = self.dialogue.line(line) else {
                    continue;
                };
                let kept = match said.delivered {
                    Some(envelope) => self.deliver(envelope, arrival).await,
                    None => true,
                };
                // What Postfix says then; mail servers come again.
                let text = match kept {
                    true => said.text.as_str(),
                    false => "451 4.3.0 Error: queue file write error\r\n",
                };
                self.say(text).await?;
                if said.closes {
                    self.stream.shutdown().await?;
                    return Ok(false);
                }
                if said.secures {
                    return Ok(true);
                }
            }
            input.drain(..used.min(input.len()));
            let read = timeout(MAX_SILENCE, self.stream.read(&mut block)).await??;
            if read == 0 {
                return Ok(false);
            }
            input.extend_from_slice(block.get(..read).unwrap_or_default());
        }
    }

    /// Tells of every token that the mail is for, one after the other. How long that takes says how
    /// many recipients there were, and no more. Whether all of them were written down.
    async fn deliver(&self, envelope: Envelope, arrival: Instant) -> bool {
        let mail = Arc::new(mail::read(&envelope.kept, envelope.size));
        let (mut until, mut kept) = (arrival, true);
        for recipient in &envelope.recipients {
            until += FLOOR;
            let candidates = candidates(recipient);
            let touch = Touch {
                at: crate::now(),
                src: Endpoint::from(self.peer),
                dst: Endpoint::from(self.local),
                what: What::Smtp {
                    tls: self.dialogue.tls == Tls::Active,
                    helo: envelope.helo.clone(),
                    from: envelope.from.clone(),
                    recipient: recipient.clone(),
                    mail: Arc::clone(&mail),
                },
            };
            kept &= self.touches.touch(candidates, touch).await.is_some();
        }
        sleep_until(until).await;
        kept
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        let write = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.flush().await
        };
        timeout(MAX_SILENCE, write).await?
    }
}

/// The token of an address: what stands before the `@`, or before a `+` there.
fn candidates(recipient: &str) -> Vec<Candidate> {
    let local = recipient
        .rsplit_once('@')
        .map_or(recipient, |(local, _)| local);
    let local = local.split('+').next().unwrap_or_default();
    local.parse().ok().map(Candidate::Id).into_iter().collect()
}

/// The next line without its end, and its length with it. Lines that are too long come in pieces.
fn next_line(input: &[u8]) -> Option<(&[u8], usize)> {
    let window = input.get(..MAX_LINE).unwrap_or(input);
    match window.iter().position(|b| *b == b'\n') {
        Some(end) => {
            let line = window.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            Some((line, end.saturating_add(1)))
        }
        None if window.len() == MAX_LINE => Some((window, MAX_LINE)),
        None => None,
    }
}

/// A mail on its way in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub helo: String,
    pub from: String,
    pub recipients: Vec<String>,
    /// Its beginning.
    pub kept: Vec<u8>,
    /// All of it, in bytes.
    pub size: u64,
}

/// What is said to a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub text: String,
    pub delivered: Option<Envelope>,
    pub closes: bool,
    /// Whether TLS begins behind it.
    pub secures: bool,
}

/// Where a conversation stands with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    /// There is none.
    Missing,
    Offered,
    Active,
}

impl Tls {
    const fn of(acceptor: Option<&TlsAcceptor>) -> Self {
        match acceptor {
            None => Self::Missing,
            Some(_) => Self::Offered,
        }
    }
}

/// Where a conversation stands. Pure.
pub(crate) struct Dialogue {
    host: Host,
    /// Domains that are ours too.
    domains: Vec<String>,
    tls: Tls,
    helo: Option<String>,
    from: Option<String>,
    recipients: Vec<String>,
    /// The mail, while it is being sent.
    data: Option<(Vec<u8>, u64)>,
    faults: u32,
    commands: u32,
}

impl Dialogue {
    fn new(host: Host, domains: Vec<String>, tls: Tls) -> Self {
        Self {
            host,
            domains,
            tls,
            helo: None,
            from: None,
            recipients: Vec::new(),
            data: None,
            faults: 0,
            commands: 0,
        }
    }

    /// Takes a line; what to say to it, if anything.
    pub fn line(&mut self, line: &[u8]) -> Option<Said> {
        if self.data.is_some() {
            return self.data_line(line);
        }
        self.commands = self.commands.saturating_add(1);
        let line = text::printable(line);
        let (verb, rest) = line
            .trim_end()
            .split_once(' ')
            .unwrap_or((line.trim_end(), ""));
        let mut said = self.command(&verb.to_ascii_uppercase(), rest.trim());
        let refused = said.text.starts_with(['4', '5']);
        self.faults = self.faults.saturating_add(u32::from(refused));
        if self.faults >= MAX_FAULTS || self.commands >= MAX_COMMANDS {
            said.text = format!("421 4.7.0 {} Error: too many errors\r\n", self.host.name);
            said.closes = true;
        }
        Some(said)
    }

    /// A line of the mail, whose leading dot is doubled (RFC 5321 section 4.5.2).
    fn data_line(&mut self, line: &[u8]) -> Option<Said> {
        let (kept, size) = self.data.as_mut()?;
        if line != b"." {
            let line = line.strip_prefix(b".").unwrap_or(line);
            let more = u64::try_from(line.len()).unwrap_or(u64::MAX);
            *size = size.saturating_add(more).saturating_add(2);
            if kept.len().saturating_add(line.len()) < MAX_KEPT {
                kept.extend_from_slice(line);
                kept.extend_from_slice(b"\r\n");
            }
            return None;
        }
        let (kept, size) = self.data.take()?;
        let from = self.from.take().unwrap_or_default();
        let recipients = std::mem::take(&mut self.recipients);
        if size > MAX_MAIL {
            return Some(said("552 5.3.4 Error: message file too big"));
        }
        let text = format!("250 2.0.0 Ok: queued as {}\r\n", queue_id());
        Some(Said {
            text,
            delivered: Some(Envelope {
                helo: self.helo.clone().unwrap_or_default(),
                from,
                recipients,
                kept,
                size,
            }),
            ..Said::default()
        })
    }

    fn command(&mut self, verb: &str, rest: &str) -> Said {
        match verb {
            "HELO" | "EHLO" if rest.is_empty() => said(&format!("501 Syntax: {verb} hostname")),
            "HELO" => {
                self.greet(rest);
                said(&format!("250 {}", self.host.name))
            }
            "EHLO" => {
                self.greet(rest);
                let name = &self.host.name;
                let starttls = match self.tls {
                    Tls::Offered => "250-STARTTLS\r\n",
                    Tls::Missing | Tls::Active => "",
                };
                said(&format!(
                    "250-{name}\r\n250-PIPELINING\r\n250-SIZE {MAX_MAIL}\r\n250-VRFY\r\n250-ETRN\r\n\
                     {starttls}250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8"
                ))
            }
            "STARTTLS" => self.starttls(rest),
            "MAIL" => self.mail(rest),
            "RCPT" => self.rcpt(rest),
            "DATA" if !rest.is_empty() => said("501 5.5.4 Syntax: DATA"),
            "DATA" if self.recipients.is_empty() => said("503 5.5.1 Error: need RCPT command"),
            "DATA" => {
                self.data = Some((Vec::new(), 0));
                said("354 End data with <CR><LF>.<CR><LF>")
            }
            "RSET" => {
                self.reset();
                said("250 2.0.0 Ok")
            }
            "NOOP" => said("250 2.0.0 Ok"),
            "VRFY" if rest.is_empty() => said("501 5.5.4 Syntax: VRFY address"),
            "VRFY" => said(&format!("252 2.0.0 {rest}")),
            "ETRN" if self.helo.is_none() => said("503 Error: send HELO/EHLO first"),
            "ETRN" => said("458 Unable to queue messages"),
            "AUTH" => said("503 5.5.1 Error: authentication not enabled"),
            "HELP" => said("502 5.5.1 Error: command not implemented"),
            "QUIT" => Said {
                closes: true,
                ..said("221 2.0.0 Bye")
            },
            "GET" | "POST" | "CONNECT" => Said {
                closes: true,
                ..said("221 2.7.0 Error: I can break rules, too. Goodbye.")
            },
            _ => said("500 5.5.2 Error: command not recognized"),
        }
    }

    fn greet(&mut self, name: &str) {
        self.reset();
        self.helo = Some(name.to_owned());
    }

    fn reset(&mut self) {
        self.from = None;
        self.recipients.clear();
    }

    /// Also before a greeting and in the middle of a mail, as at Postfix.
    fn starttls(&self, rest: &str) -> Said {
        match self.tls {
            _ if !rest.is_empty() => said("501 5.5.4 Syntax: STARTTLS"),
            Tls::Active => said("554 5.5.1 Error: TLS already active"),
            Tls::Missing => said("502 5.5.1 Error: command not implemented"),
            Tls::Offered => Said {
                secures: true,
                ..said("220 2.0.0 Ready to start TLS")
            },
        }
    }

    /// TLS begins: everything said before is forgotten (RFC 3207 section 4.2), but for how much was
    /// said and wrong.
    fn secure(&mut self) {
        self.tls = Tls::Active;
        self.helo = None;
        self.reset();
    }

    fn mail(&mut self, rest: &str) -> Said {
        if self.helo.is_none() {
            return said("503 5.5.1 Error: send HELO/EHLO first");
        }
        if self.from.is_some() {
            return said("503 5.5.1 Error: nested MAIL command");
        }
        let Some((from, options)) = path(rest, "FROM:") else {
            return said("501 5.5.4 Syntax: MAIL FROM:<address>");
        };
        let size = options
            .split_whitespace()
            .filter_map(|option| option.split_once('='))
            .find(|(name, _)| name.eq_ignore_ascii_case("SIZE"))
            .and_then(|(_, size)| size.parse::<u64>().ok());
        if size.is_some_and(|size| size > MAX_MAIL) {
            return said("552 5.3.4 Message size exceeds fixed limit");
        }
        self.from = Some(from.to_owned());
        said("250 2.1.0 Ok")
    }

    fn rcpt(&mut self, rest: &str) -> Said {
        if self.from.is_none() {
            return said("503 5.5.1 Error: need MAIL command");
        }
        let Some((to, _)) = path(rest, "TO:").filter(|(to, _)| !to.is_empty()) else {
            return said("501 5.5.4 Syntax: RCPT TO:<address>");
        };
        let domain = to.rsplit_once('@').map(|(_, domain)| domain);
        // Without a domain it's the postmaster's, or somebody's of ours.
        if domain.is_some_and(|domain| !self.host.is_ours(domain, &self.domains)) {
            return said(&format!("554 5.7.1 <{to}>: Relay access denied"));
        }
        if self.recipients.len() >= MAX_RECIPIENTS {
            return said("452 4.5.3 Error: too many recipients");
        }
        self.recipients.push(to.to_owned());
        said("250 2.1.5 Ok")
    }
}

fn said(text: &str) -> Said {
    Said {
        text: format!("{text}\r\n"),
        ..Said::default()
    }
}

/// `<address>` after `word`, and the options behind it.
fn path<'a>(rest: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let start = rest.get(..word.len())?;
    if !start.eq_ignore_ascii_case(word) {
        return None;
    }
    let rest = rest.get(word.len()..)?.trim_start();
    match rest.strip_prefix('<') {
        Some(rest) => rest.split_once('>'),
        None => Some(rest.split_once(' ').unwrap_or((rest, ""))),
    }
}

/// As Postfix names its queue files (`enable_long_queue_ids = no`).
fn queue_id() -> String {
    let bytes: [u8; 5] = mysql::random();
    data_encoding::HEXUPPER.encode(&bytes)
}

/// Talks to a server of `zone` as made-up bytes say; for the fuzzer.
pub fn exercise(input: &[u8]) {
    let host = Host::new("tokens.example.com");
    let mut dialogue = Dialogue::new(host, Vec::new(), Tls::Offered);
    let mut rest = input;
    while let Some((line, length)) = next_line(rest) {
        rest = rest.get(length..).unwrap_or_default();
        let Some(said) = dialogue.line(line) else {
            continue;
        };
        assert!(said.text.ends_with("\r\n"));
        if let Some(envelope) = said.delivered {
            let mail = mail::read(&envelope.kept, envelope.size);
            assert!(envelope.kept.len() <= MAX_KEPT && mail.links.len() <= mail::MAX_LINKS);
        }
        if said.closes {
            break;
        }
        if said.secures {
            dialogue.secure();
        }
    }
}

#[cfg(test)]
mod tests;
