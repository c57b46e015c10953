//! Sessions: who logs in, and what it comes to (MS-SMB2 3.3.5.5, 3.3.5.6).

use std::collections::BTreeMap;
use std::sync::Arc;

use coalmine_wire::accept::{self, Acceptor, Step};
use coalmine_wire::ntlmssp::Response;

use super::connection::{Ask, Connection, MAX_SESSIONS};
use super::message::Writer;
use super::negotiate::{self, Dialect, SIGNING_REQUIRED};
use super::rpc::Caller;
use super::seal::{Derivation, Keys};
use super::status::Status;
use super::{Encryption, ShareEvent};

/// Session flags (2.2.6).
const IS_GUEST: u16 = 1;
const IS_NULL: u16 = 2;
const ENCRYPT_DATA: u16 = 4;

/// Someone who knocked, half-way.
pub(super) struct Pending {
    acceptor: Acceptor,
    /// Hash of what was said in this session and before it (3.1.4.4.2).
    pub(super) preauth: [u8; 64],
}

/// A session.
pub(super) struct Login {
    pub(super) who: Arc<Who>,
    pub(super) caller: Caller,
    /// Guests have none; nobody signs without having to.
    pub(super) keys: Option<Keys>,
    pub(super) must_sign: bool,
    pub(super) must_seal: bool,
    /// Messages that were encrypted for it.
    pub(super) sealed: u64,
    /// How many trees it has connected.
    pub(super) connected: u32,
    /// Which share each tree is.
    pub(super) trees: BTreeMap<u32, Share>,
}

/// What a tree is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Disk,
    Pipes,
}

/// Who is at the other end.
#[derive(Clone, Debug, Default)]
pub(super) struct Who {
    pub(super) user: String,
    pub(super) domain: String,
    /// The client's own name.
    pub(super) remote: String,
    pub(super) arch: &'static str,
}

/// How somebody is let in.
enum Entry {
    User([u8; 16]),
    Guest,
    Anonymous,
}

impl Connection {
    pub(super) fn session_setup(
        &mut self,
        ask: &mut Ask<'_>,
        reply: &mut Writer,
    ) -> Result<Status, Status> {
        let bad = Status::INVALID_PARAMETER;
        let body = ask.request.body(25).ok_or(bad)?;
        // Binding a session to a second connection.
        if body.u8(2).ok_or(bad)? & 1 != 0 {
            return Err(bad);
        }
        let must_sign = u16::from(body.u8(3).ok_or(bad)?) & SIGNING_REQUIRED != 0;
        let offset = body.u16(12).ok_or(bad)?;
        let length = body.u16(14).ok_or(bad)?;
        let token = ask.request.buffer(offset, length).ok_or(bad)?;
        let previous = body.u64(16).ok_or(bad)?;

        let mut id = ask.session;
        if id == 0 {
            if self.pending.len().saturating_add(self.sessions.len()) >= MAX_SESSIONS {
                return Err(Status::INSUFFICIENT_RESOURCES);
            }
            id = self.server.product.session_id(self.draw());
            let challenge = self.random();
            let pending = self.knock(challenge);
            self.pending.insert(id, pending);
        } else if !self.pending.contains_key(&id) {
            if !self.sessions.contains_key(&id) {
                return Err(Status::USER_SESSION_DELETED);
            }
            let challenge = self.random();
            let pending = self.knock(challenge);
            self.pending.insert(id, pending);
        }
        ask.told.0 = id;
        let Some(pending) = self.pending.get_mut(&id) else {
            return Err(Status::USER_SESSION_DELETED);
        };
        negotiate::extend(&mut pending.preauth, ask.request.bytes);
        match pending.acceptor.token(token, ask.now.filetime()) {
            Ok(Step::Continue(token)) => {
                blob(reply, 0, &token);
                Ok(Status::MORE_PROCESSING_REQUIRED)
            }
            Ok(Step::Login(login)) => {
                let pending = self.pending.remove(&id).ok_or(bad)?;
                self.client.authenticated(&login);
                self.sessions.remove(&id);
                let flags = self.log_in(id, &pending, &login, must_sign)?;
                if previous != id {
                    self.sessions.remove(&previous);
                }
                blob(reply, flags.0, &flags.1);
                Ok(Status::OK)
            }
            Ok(Step::Kerberos(ticket)) => {
                self.pending.remove(&id);
                let who = Who {
                    domain: ticket.realm,
                    ..self.who("", "")
                };
                self.see_login(&who, "kerberos", Status::LOGON_FAILURE, None);
                Err(Status::LOGON_FAILURE)
            }
            Err(_) => {
                self.pending.remove(&id);
                ask.told.0 = ask.request.header.session;
                Err(bad)
            }
        }
    }

    fn knock(&self, challenge: [u8; 8]) -> Pending {
        Pending {
            acceptor: Acceptor::new(self.server.target.clone(), challenge, self.server.mechs()),
            preauth: self.preauth,
        }
    }

    /// Decides on a login; session flags and SPNEGO's last token.
    fn log_in(
        &mut self,
        id: u64,
        pending: &Pending,
        login: &accept::Login,
        must_sign: bool,
    ) -> Result<(u16, Vec<u8>), Status> {
        let who = Who {
            domain: login.domain.clone(),
            ..self.who(&login.user, &login.workstation)
        };
        let entry = self.server.admits(login);
        let kind = match (&entry, &login.response) {
            (_, Response::Anonymous) => "anonymous",
            (Ok(Entry::Guest), _) => "guest",
            (_, Response::V2) => "NTLMv2",
            (_, Response::V1 | Response::V1Extended) => "NTLMv1",
            _ => "unknown",
        };
        let status = entry.as_ref().err().copied().unwrap_or(Status::OK);
        self.see_login(&who, kind, status, login.hash.clone());
        let entry = entry?;
        let agreed = self.agreed.as_ref().ok_or(Status::INVALID_PARAMETER)?;
        let mut flags = 0;
        let mut keys = None;
        let derived = |key: &[u8; 16]| {
            let derivation = match agreed.dialect {
                Dialect::Smb202 | Dialect::Smb210 => Derivation::None,
                Dialect::Smb300 | Dialect::Smb302 => Derivation::Labels,
                Dialect::Smb311 => Derivation::Preauth(&pending.preauth),
            };
            Keys::new(key, derivation, agreed.signing, agreed.cipher)
        };
        match &entry {
            Entry::User(key) => keys = derived(key),
            Entry::Guest => flags |= IS_GUEST,
            // impacket signs as nobody, and Samba takes it.
            Entry::Anonymous if self.server.product.is_samba() => {
                keys = login.anonymous_key().and_then(|key| derived(&key));
            }
            Entry::Anonymous => flags |= IS_NULL,
        }
        let encryption = self.server.settings.encryption;
        let user = matches!(entry, Entry::User(_));
        let can_seal = user && keys.as_ref().is_some_and(Keys::can_seal);
        if encryption == Encryption::Required && !can_seal {
            return Err(Status::ACCESS_DENIED);
        }
        let must_seal = encryption == Encryption::Required;
        if can_seal && matches!(encryption, Encryption::Desired | Encryption::Required) {
            flags |= ENCRYPT_DATA;
        }
        let both = self.offer.security_mode | self.server.security_mode();
        let key = match &entry {
            Entry::User(key) => Some(key),
            _ => None,
        };
        let token = pending.acceptor.accept(login, key);
        let caller = match &entry {
            Entry::User(_) => Caller::User,
            Entry::Guest => Caller::Guest,
            Entry::Anonymous => Caller::Anonymous,
        };
        let login = Login {
            caller,
            must_sign: user && keys.is_some() && (must_sign || both & SIGNING_REQUIRED != 0),
            who: Arc::new(who),
            keys,
            must_seal,
            sealed: 0,
            connected: 0,
            trees: BTreeMap::new(),
        };
        self.sessions.insert(id, login);
        Ok((flags, token))
    }

    fn who(&self, user: &str, workstation: &str) -> Who {
        Who {
            user: user.to_owned(),
            domain: String::new(),
            remote: if workstation.is_empty() {
                self.peer.to_string()
            } else {
                workstation.to_owned()
            },
            arch: self.client.guess(),
        }
    }

    fn see_login(&mut self, who: &Who, kind: &str, status: Status, hash: Option<String>) {
        if !self.server.settings.report_logins {
            return;
        }
        let event = ShareEvent {
            login_type: Some(kind.to_owned()),
            status: status.name(),
            ntlm_hash: hash,
            ..self.event(who)
        };
        self.seen.push((event, 5010));
    }

    /// What every event of this connection says.
    pub(super) fn event(&self, who: &Who) -> ShareEvent {
        let dialect = self
            .agreed
            .as_ref()
            .map_or("", |agreed| agreed.dialect.name());
        self.server.event(who, dialect)
    }

    pub(super) fn logoff(&mut self, ask: &Ask<'_>, reply: &mut Writer) -> Result<Status, Status> {
        ask.request.body(4).ok_or(Status::INVALID_PARAMETER)?;
        self.gone = self.sessions.remove(&ask.session);
        let files: Vec<u64> = self
            .opens
            .iter()
            .filter(|(_, open)| open.session == ask.session)
            .map(|(id, _)| *id)
            .collect();
        for file in files {
            self.forget(file);
        }
        reply.u16(4).u16(0);
        Ok(Status::OK)
    }
}

impl super::Server {
    /// Whether a login is let in, and how: those who are known by their password, strangers as
    /// guests where there are guests.
    fn admits(&self, login: &accept::Login) -> Result<Entry, Status> {
        if login.response == Response::Anonymous {
            return Ok(Entry::Anonymous);
        }
        let users = &self.settings.users.0;
        let known = users
            .iter()
            .find(|user| user.name.to_lowercase() == login.user.to_lowercase());
        match known {
            Some(user) => login
                .verify(&user.password)
                .map(Entry::User)
                .ok_or(Status::LOGON_FAILURE),
            None if self.settings.guests => Ok(Entry::Guest),
            None => Err(Status::LOGON_FAILURE),
        }
    }
}

/// The body of an answer (2.2.6).
fn blob(reply: &mut Writer, flags: u16, token: &[u8]) {
    let length = u16::try_from(token.len()).unwrap_or(0);
    reply.u16(9).u16(flags).u16(72).u16(length).bytes(token);
}
