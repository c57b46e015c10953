//! SSH: an OpenSSH server that takes nobody in (RFC 4251 to 4254).

mod engine;
mod ident;
mod keys;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::decoy::{
    BoxFuture, Context, DecoyKind, Limits, Poke, Seen, Service, Sink, Stream, Streams, Transport,
};
use coalmine_core::settings::{Fault, any, one_line, pause};
use coalmine_core::{Bird, Event, Seed, event, settings, text};
use russh::client;
use russh::keys::PublicKeyOrCertificate;
use serde_json::{Map, Value};
use sha2::{Digest, Sha512};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use engine::{Attempt, Engine, Judge, Outcome};
use ident::Verdict;

/// Refusals until the peer is sent away; Debian's `MaxAuthTries`.
const MAX_TRIES: u32 = 6;
/// The same for Dropbear; its `MAX_AUTH_TRIES`.
const MAX_DROPBEAR_TRIES: u32 = 10;
/// How the version of a Dropbear server begins.
const DROPBEAR: &str = "SSH-2.0-dropbear";
/// How long Dropbear waits before a refusal, in microseconds.
const DROPBEAR_DELAY: (u64, u64) = (250_000, 350_000);
/// Longest banner before the login, in bytes.
const MAX_BANNER: usize = 4096;
/// Most watched credentials.
const MAX_WATCHED: usize = 1000;

/// The decoy.
pub static KIND: DecoyKind = DecoyKind {
    id: "ssh",
    title: "SSH server",
    doc: "Pretends to be an OpenSSH or Dropbear server.\n\
          Captures user names, passwords, public keys and the client's version.\n\
          Nobody ever gets in.\n",
    transports: &[Transport::Tcp],
    port: 22,
    instances: true,
    tls: None,
    events: &[SshLogin::KIND],
    settings: SshSettings::declared,
    build,
    // Debian's `LoginGraceTime` is 120 s.
    limits: Limits {
        total: Duration::from_secs(120),
        ..Limits::LOGIN
    },
    poke: Poke::Talk(poke),
};

event! {
    /// Somebody tried to log in.
    pub struct SshLogin: "sshlogin", "SSH Login Attempt", [
        4002 "login attempt",
        4000 "new connection",
        4001 "client version received",
    ] {
        /// As the client sent it; empty before a login attempt.
        username: String => "USERNAME" = "root",
        /// As the client sent it; password logins only.
        password: Option<String> => "PASSWORD" = "hunter2",
        /// The decoy's version string.
        local_version: String => "LOCALVERSION" = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10",
        /// The client's version string; empty before the client told it.
        remote_version: String => "REMOTEVERSION" = "SSH-2.0-OpenSSH_9.2",
        /// The public key in OpenSSH's one-line form; key logins only.
        key: Option<String> => "KEY" = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJhbmRvbSBieXRlcyBvZiBhIHB1YmxpYyBrZXk=",
        /// `Yes` when watched credentials are on, so that this attempt matched one.
        watched_credentials: Option<&'static str> => "WATCHED_CREDENTIALS" = "Yes",
    }
}

settings! {
    /// Settings of the SSH decoy.
    pub struct SshSettings {
        /// The version string, from `SSH-2.0-` on.
        /// One of Dropbear, like `SSH-2.0-dropbear_2022.83`, brings its algorithms, tries and
        /// delays.
        version: String => "version" = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10".to_owned(), ident_line;
        /// Text that clients show before the login; empty for none.
        preauth_banner: String => "preauth_banner" = String::new(), banner;
        /// Whether prompts (keyboard-interactive) are offered beside passwords and keys.
        keyboard_interactive: bool => "keyboard_interactive" = false, any;
        /// How long a wrong password is refused, in milliseconds, give or take a quarter.
        /// Debian's PAM takes 2000. Dropbear takes 250 to 350, or less where less is set.
        auth_delay_ms: u16 => "auth_delay_ms" = 2000, pause;
        /// Whether connections and client versions are reported too.
        connection_alerts: bool => "connection_alerts" = false, any;
        /// Whether only attempts with watched credentials are reported.
        watched: bool => "watched_credentials.enabled" = false, any;
        /// The watched credentials: `user:password`, or `user` for all attempts of that user.
        watch_list: Vec<String> => "watched_credentials.items" = Vec::new(), watch_list;
    }
}

impl SshSettings {
    fn is_dropbear(&self) -> bool {
        self.version.starts_with(DROPBEAR)
    }
}

fn ident_line(version: &str) -> Result<(), String> {
    one_line(version)?;
    if !version.starts_with("SSH-2.0-") || version.len() < 9 || !version.is_ascii() {
        return Err("must be ASCII and start with SSH-2.0-".to_owned());
    }
    Ok(())
}

fn banner(text: &str) -> Result<(), String> {
    if text.len() > MAX_BANNER {
        return Err(format!("must be at most {MAX_BANNER} bytes long"));
    }
    Ok(())
}

fn watch_list(list: &[String]) -> Result<(), String> {
    if list.len() > MAX_WATCHED {
        return Err(format!("must have at most {MAX_WATCHED} entries"));
    }
    if list.iter().any(|w| w.is_empty() || w.len() > 512) {
        return Err("entries must have 1 to 512 bytes".to_owned());
    }
    Ok(())
}

fn build(given: &Map<String, Value>, bird: &Arc<Bird>) -> Result<Service, Vec<Fault>> {
    let settings = SshSettings::parse(given)?;
    let banner = settings.preauth_banner.trim_end_matches(['\r', '\n']);
    let banner = (!banner.is_empty()).then(|| format!("{banner}\n"));
    let algorithms = if settings.is_dropbear() {
        engine::dropbear()
    } else {
        engine::openssh()
    };
    let engine = Engine::new(
        &settings.version,
        algorithms,
        banner,
        settings.keyboard_interactive,
        keys::host_keys(bird)?,
    );
    Ok(Service::streams(Ssh(Arc::new(Server {
        settings,
        engine,
        secret: bird.seed.derive("ssh delays"),
    }))))
}

struct Ssh(Arc<Server>);

struct Server {
    settings: SshSettings,
    engine: Engine,
    secret: Seed,
}

impl Streams for Ssh {
    fn serve(
        &self,
        context: Context,
        stream: Box<dyn Stream>,
        sink: Sink,
    ) -> BoxFuture<'static, ()> {
        let server = self.0.clone();
        Box::pin(async move {
            // A peer that goes away in between is no error.
            let _ = serve(server, context, stream, sink).await;
        })
    }
}

/// One connection: identification by our own rules, the rest by the engine.
async fn serve(
    server: Arc<Server>,
    context: Context,
    mut stream: Box<dyn Stream>,
    sink: Sink,
) -> std::io::Result<()> {
    let mut visitor = Visitor {
        server: server.clone(),
        sink,
        luck: context.seed,
        remote_version: String::new(),
        user: None,
        tries: 0,
        failures: 0,
    };
    visitor.note(4000).await;
    let hello = format!("{}\r\n", server.settings.version);
    stream.write_all(hello.as_bytes()).await?;
    stream.flush().await?;

    let mut reader = ident::Reader::default();
    let mut chunk = [0; 256];
    let (verdict, rest) = loop {
        let n = stream.read(&mut chunk).await?;
        if n == 0 {
            return Ok(());
        }
        let mut bytes = chunk.iter().take(n);
        if let Some(verdict) = bytes.find_map(|b| reader.push(*b)) {
            break (verdict, bytes.copied().collect::<Vec<_>>());
        }
    };
    match verdict {
        Verdict::Drop => {}
        Verdict::Refuse(_) if server.settings.is_dropbear() => {}
        Verdict::Refuse(text) => {
            // OpenSSH writes the line end apart and hangs up; where input is left unread the
            // reset overtakes it.
            let text = if rest.is_empty() {
                text
            } else {
                text.trim_ascii_end()
            };
            stream.write_all(text.as_bytes()).await?;
        }
        Verdict::Speak(ident) => {
            visitor.remote_version = text::printable(&ident);
            visitor.note(4001).await;
            server.engine.speak(stream, &ident, &rest, visitor).await;
            return Ok(());
        }
    }
    stream.shutdown().await
}

/// The peer of one connection, and what it has tried.
struct Visitor {
    server: Arc<Server>,
    sink: Sink,
    luck: Seed,
    remote_version: String,
    user: Option<String>,
    tries: u32,
    failures: u32,
}

impl Visitor {
    /// Reports a step of the connection, where that is wanted.
    async fn note(&self, logtype: u32) {
        if self.server.settings.connection_alerts {
            let event = self.event(String::new(), None, None);
            self.sink.see(Seen::numbered(&event, logtype)).await;
        }
    }

    fn event(&self, username: String, password: Option<String>, key: Option<String>) -> SshLogin {
        SshLogin {
            username,
            password,
            local_version: self.server.settings.version.clone(),
            remote_version: self.remote_version.clone(),
            key,
            watched_credentials: self.server.settings.watched.then_some("Yes"),
        }
    }

    /// Reports a login attempt, unless only others are watched for.
    async fn report(&self, user: &str, password: Option<String>, key: Option<String>) {
        let settings = &self.server.settings;
        if settings.watched && !watches(&settings.watch_list, user, password.as_deref()) {
            return;
        }
        let event = self.event(user.to_owned(), password, key);
        self.sink.see(Seen::new(&event)).await;
    }

    /// Waits as OpenSSH does before it refuses: a time of its own for each user, doubled until it
    /// hides how long the check took; for passwords that is PAM's random delay.
    ///
    /// Dropbear waits a random time, whatever was tried.
    async fn stall(&self, user: &str, began: Instant, password: bool) {
        if self.server.settings.is_dropbear() {
            let (least, most) = DROPBEAR_DELAY;
            let drawn = self
                .luck
                .number(&format!("delay {}", self.tries), least, most);
            let limit = u64::from(self.server.settings.auth_delay_ms).saturating_mul(1000);
            let until = began + Duration::from_micros(drawn.min(limit));
            return tokio::time::sleep_until(until).await;
        }
        let checked = if password {
            let mean = u64::from(self.server.settings.auth_delay_ms).saturating_mul(1000);
            let label = format!("delay {}", self.tries);
            let micros = self
                .luck
                .number(&label, mean / 4 * 3, (mean / 4 * 5).saturating_add(1));
            Duration::from_micros(micros)
        } else {
            Duration::ZERO
        };
        let until = began
            + stretched(
                base(&self.server.secret, user),
                began.elapsed().max(checked),
            );
        tokio::time::sleep_until(until).await;
    }
}

impl Judge for Visitor {
    fn attempt(&mut self, user: String, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let began = Instant::now();
            self.tries = self.tries.saturating_add(1);
            let known = self.user.get_or_insert_with(|| user.clone()).clone();
            // The first question for the methods is free.
            let free = matches!(attempt, Attempt::None) && self.tries == 1;
            let quick = matches!(attempt, Attempt::None);
            let slow = matches!(attempt, Attempt::Password(_));
            match attempt {
                Attempt::None | Attempt::Unknown => {}
                Attempt::Password(password) => self.report(&user, Some(password), None).await,
                Attempt::Key(key) => self.report(&user, None, Some(key)).await,
            }
            let dropbear = self.server.settings.is_dropbear();
            if known != user && dropbear {
                return Outcome::Close;
            }
            if known != user {
                return Outcome::Disconnect(format!(
                    "Change of username or service not allowed: \
                     ({known},ssh-connection) -> ({user},ssh-connection)"
                ));
            }
            if !quick {
                self.stall(&user, began, slow).await;
            }
            if !free {
                self.failures = self.failures.saturating_add(1);
            }
            if dropbear && self.failures >= MAX_DROPBEAR_TRIES {
                return Outcome::Close;
            }
            if !dropbear && self.failures >= MAX_TRIES {
                return Outcome::Disconnect("Too many authentication failures".to_owned());
            }
            Outcome::Fail
        })
    }
}

/// Whether an attempt is on the list; a key matches by its user alone.
fn watches(list: &[String], user: &str, password: Option<&str>) -> bool {
    list.iter().any(|entry| match entry.split_once(':') {
        None => entry == user,
        Some((name, wanted)) => name == user && password == Some(wanted),
    })
}

/// The time that OpenSSH gives each user of an installation: 5 ms and up to 4.3 ms more.
fn base(secret: &Seed, user: &str) -> Duration {
    let mut hash = Sha512::new();
    hash.update(secret.bytes());
    hash.update(user.as_bytes());
    let digest = hash.finalize();
    let head = digest.first_chunk::<4>().copied().unwrap_or_default();
    Duration::from_millis(5) + Duration::from_nanos(u64::from(u32::from_be_bytes(head)) / 1000)
}

/// `base`, doubled until it isn't shorter than `spent`.
fn stretched(base: Duration, spent: Duration) -> Duration {
    let mut time = base;
    while time < spent {
        time = time.saturating_mul(2);
    }
    time
}

/// One password attempt by a real client.
fn poke(stream: Box<dyn Stream>) -> BoxFuture<'static, Result<(), String>> {
    struct Anyone;
    impl client::Handler for Anyone {
        type Error = russh::Error;
        async fn check_server_key(
            &mut self,
            _: &PublicKeyOrCertificate,
        ) -> Result<bool, Self::Error> {
            Ok(true)
        }
    }
    Box::pin(async move {
        let config = Arc::new(client::Config::default());
        let mut session = client::connect_stream(config, stream, Anyone)
            .await
            .map_err(|e| e.to_string())?;
        let outcome = session
            .authenticate_password("coalmine-poke", "harmless")
            .await
            .map_err(|e| e.to_string())?;
        if outcome.success() {
            return Err("the decoy let somebody in".to_owned());
        }
        let _ = session
            .disconnect(russh::Disconnect::ByApplication, "", "")
            .await;
        Ok(())
    })
}
