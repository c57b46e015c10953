//! Mailboxes reached by IMAP (RFC 9051): log in, APPEND, log out.
//!
//! A mailbox's own login uses LOGIN; a master user's uses AUTHENTICATE PLAIN (RFC 4616) with the
//! mailbox as the identity to act as, as Dovecot and Cyrus offer.

use std::borrow::Cow;
use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use coalmine_core::text;
use data_encoding::BASE64;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use imap_next::client::{Client, Event, Options};
use imap_next::imap_types::auth::{AuthMechanism, AuthenticateData};
use imap_next::imap_types::command::{Command, CommandBody};
use imap_next::imap_types::core::Tag;
use imap_next::imap_types::flag::Flag;
use imap_next::imap_types::response::{Code, GreetingKind, Status, StatusBody, StatusKind};
use imap_next::imap_types::secret::Secret;
use imap_next::{Interrupt, Io, State as _};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Mail, Mailbox, Mailboxes, Problem};

/// Longest wait for a connection, its TLS included.
const MAX_CONNECT: Duration = Duration::from_secs(10);
/// Longest conversation after that.
const MAX_CONVERSATION: Duration = Duration::from_secs(30);
/// For the good-bye after it.
const MAX_GOODBYE: Duration = Duration::from_secs(2);
/// Longest response, in bytes, literals included.
const MAX_RESPONSE: u32 = 64 * 1024;
/// Most bytes taken from a server in one conversation.
const MAX_TAKEN: usize = 256 * 1024;
/// Longest password in a file, in bytes.
const MAX_PASSWORD: u64 = 4_096;
/// Longest words of a server that are told, in characters.
const MAX_SAID: usize = 200;

/// An IMAP server of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImapServer {
    /// Name or address; the certificate must be for it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether TLS begins at once; without it passwords are sent in the clear.
    pub tls: bool,
    /// Certificates of the authorities to trust, PEM; `None` for the system's.
    pub ca_file: Option<PathBuf>,
    /// The folder that takes mails, made where it is missing.
    pub folder: String,
    /// Whether mails look as if they had been read.
    pub seen: bool,
    /// Who may act as every mailbox's owner.
    pub master: Option<Login>,
    /// Its mailboxes.
    pub mailboxes: Vec<ImapMailbox>,
}

/// A mailbox of such a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImapMailbox {
    /// Its address, in lower case.
    pub address: String,
    /// Its owner's name; may be empty.
    pub name: String,
    /// The name that the server knows it by.
    pub user: String,
    /// Its own password; `None` where the master user logs in.
    pub password: Option<Password>,
}

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Password,
}

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// As it stands in the configuration.
    Text(String),
    /// In the first line of a file, read at each use.
    File(PathBuf),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(***)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

impl Password {
    fn read(&self) -> Result<String, String> {
        let path = match self {
            Self::Text(text) => return Ok(text.clone()),
            Self::File(path) => path,
        };
        let unreadable = |cause| format!("the file {} can't be read: {cause}", path.display());
        let mut file = std::fs::File::open(path)
            .map_err(unreadable)?
            .take(MAX_PASSWORD);
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(unreadable)?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }
}

impl Mailboxes for ImapServer {
    fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn list(&self) -> Vec<Mailbox> {
        let mailboxes = self.mailboxes.iter();
        mailboxes
            .map(|mailbox| Mailbox {
                address: mailbox.address.clone(),
                name: mailbox.name.clone(),
            })
            .collect()
    }

    fn place<'a>(
        &'a self,
        address: &'a str,
        mail: Mail<'a>,
    ) -> BoxFuture<'a, Result<String, Problem>> {
        async move {
            let mut mailboxes = self.mailboxes.iter();
            let mailbox = mailboxes
                .find(|mailbox| mailbox.address == address)
                .ok_or_else(|| {
                    Problem::Mailbox("is not among the server's mailboxes".to_owned())
                })?;
            let slow = |what: &str| Problem::Server(format!("{}: {what} in time", self.name()));
            let stream = timeout(MAX_CONNECT, TcpStream::connect((&*self.host, self.port)))
                .await
                .map_err(|_| slow("did not answer"))?
                .map_err(|cause| Problem::Server(format!("{}: {cause}", self.name())))?;
            let talk = async {
                match self.tls {
                    false => self.talk(stream, mailbox, mail).await,
                    true => {
                        let stream = timeout(MAX_CONNECT, self.secure(stream))
                            .await
                            .map_err(|_| slow("made no TLS connection"))??;
                        self.talk(stream, mailbox, mail).await
                    }
                }
            };
            talk.await?;
            Ok(self.folder.clone())
        }
        .boxed()
    }
}

impl ImapServer {
    async fn secure(
        &self,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Problem> {
        let failed = |what: String| Problem::Server(format!("{}: TLS: {what}", self.name()));
        let roots = self.roots().map_err(failed)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| failed(cause.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| failed("the host can't stand in a certificate".to_owned()))?;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|cause| failed(cause.to_string()))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            Some(file) => {
                let told = |cause: &dyn fmt::Display| format!("{}: {cause}", file.display());
                for certificate in
                    CertificateDer::pem_file_iter(file).map_err(|cause| told(&cause))?
                {
                    let certificate = certificate.map_err(|cause| told(&cause))?;
                    roots.add(certificate).map_err(|cause| told(&cause))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        match roots.is_empty() {
            true => Err(
                "no authority to trust: install ca-certificates or set ca_file in [[tokens.imap]]"
                    .to_owned(),
            ),
            false => Ok(roots),
        }
    }

    async fn talk<S>(&self, stream: S, mailbox: &ImapMailbox, mail: Mail<'_>) -> Result<(), Problem>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut talk = Conversation {
            stream,
            client: machine(false),
            server: self.name(),
            taken: 0,
            tags: 0,
            answer: None,
        };
        timeout(MAX_CONVERSATION, self.deliver(&mut talk, mailbox, mail))
            .await
            .map_err(|_| Problem::Server(format!("{}: was not done in time", self.name())))??;
        // The mail is there whatever comes now.
        let _ = timeout(MAX_GOODBYE, talk.run(CommandBody::Logout)).await;
        Ok(())
    }

    async fn deliver<S>(
        &self,
        talk: &mut Conversation<S>,
        mailbox: &ImapMailbox,
        mail: Mail<'_>,
    ) -> Result<(), Problem>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        talk.greeting().await?;
        talk.log_in(self, mailbox).await?;
        let append = || {
            let flags = match self.seen {
                true => vec![Flag::Seen],
                false => Vec::new(),
            };
            let body = CommandBody::append(
                self.folder.clone(),
                flags,
                arrived(mail),
                mail.text.as_bytes().to_vec(),
            );
            body.map_err(|_| Problem::Server("the folder can't be named in IMAP".to_owned()))
        };
        let refused = |said: String| Problem::Mailbox(format!("took no mail: {said}"));
        match talk.run(append()?).await? {
            Outcome::Done => {}
            Outcome::Refused(said, false) => return Err(refused(said)),
            Outcome::Refused(_, true) => {
                let folder = CommandBody::create(self.folder.clone())
                    .map_err(|_| Problem::Server("the folder can't be named in IMAP".to_owned()))?;
                talk.expect(folder, refused).await?;
                talk.expect(append()?, refused).await?;
            }
        }
        Ok(())
    }
}

/// A client's side of the protocol, at its beginning or after the greeting.
fn machine(greeted: bool) -> Client {
    let mut options = Options::default();
    options.max_response_size = MAX_RESPONSE;
    options.discard_greeting = greeted;
    Client::new(options)
}

/// When the mail is to have arrived; `None`: now.
fn arrived(mail: Mail<'_>) -> Option<imap_next::imap_types::datetime::DateTime> {
    let utc = DateTime::from_timestamp(mail.sent.secs(), 0)?;
    utc.with_timezone(&FixedOffset::east_opt(0)?)
        .try_into()
        .ok()
}

/// What became of a command.
enum Outcome {
    Done,
    /// What the server said, and whether it would do with a folder made first.
    Refused(String, bool),
}

struct Conversation<S> {
    stream: S,
    client: Client,
    server: String,
    taken: usize,
    tags: u32,
    /// What is sent once the server asks for it.
    answer: Option<Vec<u8>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    async fn greeting(&mut self) -> Result<(), Problem> {
        match self.event().await? {
            Event::GreetingReceived { greeting } if greeting.kind == GreetingKind::Ok => Ok(()),
            Event::GreetingReceived { greeting } if greeting.kind == GreetingKind::Bye => {
                let said = cut(greeting.text.inner());
                Err(self.problem(&format!("said good-bye: {said}")))
            }
            // Logged in beforehand, as somebody we don't know.
            _ => Err(self.problem("greeted otherwise than IMAP servers do")),
        }
    }

    async fn log_in(&mut self, server: &ImapServer, mailbox: &ImapMailbox) -> Result<(), Problem> {
        let (body, password) = match (&mailbox.password, &server.master) {
            (Some(password), _) => {
                let password = password.read().map_err(Problem::Mailbox)?;
                let body = CommandBody::login(mailbox.user.clone(), password.clone());
                let body = body.map_err(|_| {
                    Problem::Mailbox("its user name or password has a NUL".to_owned())
                })?;
                (body, password)
            }
            (None, Some(master)) => {
                let password = master.password.read().map_err(Problem::Server)?;
                let words = [&*mailbox.user, &*master.user, &*password];
                self.answer = Some(words.join("\0").into_bytes());
                (CommandBody::authenticate(AuthMechanism::Plain), password)
            }
            (None, None) => {
                return Err(Problem::Mailbox(
                    "has no password, and its server no master user".to_owned(),
                ));
            }
        };
        // Servers may say the command again that they refuse.
        let quoted = password.replace('\\', "\\\\").replace('"', "\\\"");
        let answer = BASE64.encode(self.answer.as_deref().unwrap_or_default());
        let refused = |said: String| {
            let secrets = [&*quoted, &*password, &*answer].into_iter();
            let said = secrets
                .filter(|secret| !secret.is_empty())
                .fold(said, |said, secret| said.replace(secret, "***"));
            Problem::Mailbox(format!("login refused: {said}"))
        };
        self.expect(body, refused).await
    }

    /// Runs a command that must succeed.
    async fn expect(
        &mut self,
        body: CommandBody<'static>,
        refused: impl Fn(String) -> Problem,
    ) -> Result<(), Problem> {
        match self.run(body).await? {
            Outcome::Done => Ok(()),
            Outcome::Refused(said, _) => Err(refused(said)),
        }
    }

    async fn run(&mut self, body: CommandBody<'static>) -> Result<Outcome, Problem> {
        self.tags = self.tags.saturating_add(1);
        let tag = format!("A{}", self.tags);
        let tag = Tag::try_from(tag).map_err(|_| self.problem("no tag"))?;
        let command = Command {
            tag: tag.clone(),
            body,
        };
        self.client.enqueue_command(command);
        loop {
            let status = match self.event().await? {
                Event::StatusReceived { status }
                | Event::CommandRejected { status, .. }
                | Event::AuthenticateStatusReceived { status, .. } => status,
                Event::AuthenticateContinuationRequestReceived { .. } => {
                    let answer = match self.answer.take() {
                        Some(answer) => AuthenticateData::Continue(Secret::new(Cow::Owned(answer))),
                        None => AuthenticateData::Cancel,
                    };
                    let _ = self.client.set_authenticate_data(answer);
                    continue;
                }
                _ => continue,
            };
            match status {
                Status::Tagged(tagged) if tagged.tag == tag => {
                    if tagged.body.kind == StatusKind::No {
                        // A mail may be refused before it was sent; the machine would wait for
                        // leave to send it for ever.
                        self.client = machine(true);
                    }
                    return Ok(outcome(&tagged.body));
                }
                Status::Bye(bye) => {
                    let said = cut(bye.text.inner());
                    return Err(self.problem(&format!("said good-bye: {said}")));
                }
                _ => {}
            }
        }
    }

    async fn event(&mut self) -> Result<Event, Problem> {
        loop {
            match self.client.next() {
                Ok(event) => return Ok(event),
                Err(Interrupt::Io(Io::Output(bytes))) => {
                    let written = self.stream.write_all(&bytes).await;
                    written.map_err(|cause| self.problem(&cause.to_string()))?;
                    let flushed = self.stream.flush().await;
                    flushed.map_err(|cause| self.problem(&cause.to_string()))?;
                }
                Err(Interrupt::Io(Io::NeedMoreInput)) => {
                    let mut bytes = [0; 4_096];
                    let read = self.stream.read(&mut bytes).await;
                    let read = read.map_err(|cause| self.problem(&cause.to_string()))?;
                    self.taken = self.taken.saturating_add(read);
                    match bytes.get(..read) {
                        Some([]) | None => return Err(self.problem("closed the connection")),
                        Some(_) if self.taken > MAX_TAKEN => {
                            return Err(self.problem("talks without end"));
                        }
                        Some(bytes) => self.client.enqueue_input(bytes),
                    }
                }
                Err(Interrupt::Error(_)) => {
                    return Err(self.problem("does not answer as IMAP servers do"));
                }
            }
        }
    }

    fn problem(&self, what: &str) -> Problem {
        Problem::Server(format!("{}: {what}", self.server))
    }
}

fn outcome(body: &StatusBody<'_>) -> Outcome {
    match body.kind {
        StatusKind::Ok => Outcome::Done,
        _ => Outcome::Refused(
            cut(body.text.inner()),
            matches!(body.code, Some(Code::TryCreate)),
        ),
    }
}

/// A server's words, printable and short.
fn cut(said: &str) -> String {
    let said = text::printable(said.as_bytes());
    said.chars().take(MAX_SAID).collect()
}

#[cfg(test)]
mod tests;
