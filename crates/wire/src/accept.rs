//! One server's side of a negotiation by NTLM, Kerberos or SPNEGO around them: what every decoy that
//! takes Windows logins uses.

#[cfg(test)]
mod tests;

use crate::Malformed;
use crate::kerberos::{ApReq, GSS_FRAME};
use crate::ntlmssp::{
    Authenticate, Challenge, Keys, MIC, Negotiate, Response, Target, Version, flags, is_ntlmssp,
    server_signature,
};
use crate::spnego::{Init, Mech, Resp, State};

/// First byte of an AP-REQ without a frame.
const BARE_AP_REQ: u8 = 0x6e;
/// First byte of a NegTokenInit without a frame.
const BARE_INIT: u8 = 0xa0;
/// First byte of a NegTokenResp.
const RESP: u8 = 0xa1;

/// The server's side.
#[derive(Clone, Debug)]
pub struct Acceptor {
    target: Target,
    server_challenge: [u8; 8],
    mechs: &'static [Mech],
    negotiation: Option<Negotiation>,
    /// NEGOTIATE and CHALLENGE, once they went.
    sent: Option<(Vec<u8>, Vec<u8>)>,
}

/// What SPNEGO has come to.
#[derive(Clone, Debug, Default)]
struct Negotiation {
    /// The client's list as it was encoded.
    list: Vec<u8>,
    /// The client sent a code over it.
    client_code: bool,
}

/// What to do next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Send this and wait for the next token.
    Continue(Vec<u8>),
    /// Somebody wants in by NTLM.
    Login(Login),
    /// Somebody wants in with a ticket.
    Kerberos(ApReq),
}

impl Acceptor {
    /// A server that presents itself as `target`, takes `mechs` (the most wanted first), and
    /// challenges with these eight random bytes.
    pub fn new(target: Target, server_challenge: [u8; 8], mechs: &'static [Mech]) -> Self {
        Self {
            target,
            server_challenge,
            mechs,
            negotiation: None,
            sent: None,
        }
    }

    /// What a server says that speaks first (SMB): its mechanisms, NegTokenInit2.
    pub fn hello(&self, hint: Option<&str>) -> Vec<u8> {
        let init = Init {
            mechs: self.mechs.to_vec(),
            hint: hint.map(str::to_owned),
            ..Init::default()
        };
        init.write()
    }

    /// The client's next token: NTLM's, Kerberos' or SPNEGO's. What is to be sent comes in the same
    /// wrapping. `filetime` is now, in 100 ns since 1601.
    ///
    /// # Errors
    /// [`Malformed`] for anything else, for messages out of turn, and for clients that offer no
    /// mechanism of the server's.
    pub fn token(&mut self, input: &[u8], filetime: u64) -> Result<Step, Malformed> {
        match input.first() {
            _ if is_ntlmssp(input) => {
                self.negotiation = None;
                self.ntlm(input, filetime)
            }
            Some(&BARE_AP_REQ) => ApReq::parse(input).map(Step::Kerberos),
            Some(&GSS_FRAME) => match ApReq::parse(input) {
                Ok(request) => Ok(Step::Kerberos(request)),
                Err(Malformed) => self.init(input, filetime),
            },
            Some(&BARE_INIT) => self.init(input, filetime),
            Some(&RESP) => self.resp(input, filetime),
            _ => Err(Malformed),
        }
    }

    fn init(&mut self, input: &[u8], filetime: u64) -> Result<Step, Malformed> {
        let init = Init::parse(input)?;
        self.negotiation = Some(Negotiation {
            list: init.list,
            client_code: init.mic.is_some(),
        });
        let token = init.token.as_deref().unwrap_or_default();
        let ours = |mech: &Mech| self.mechs.contains(mech);
        let first = init.mechs.first().ok_or(Malformed)?;
        let chosen = init.mechs.iter().find(|mech| ours(mech));
        if first.is_kerberos() && (chosen == Some(first) || chosen.is_none()) {
            return ApReq::parse(token).map(Step::Kerberos);
        }
        let chosen = chosen.ok_or(Malformed)?.clone();
        if chosen == *first && chosen == Mech::Ntlm && !token.is_empty() {
            return match self.ntlm(token, filetime)? {
                Step::Continue(challenge) => Ok(Step::Continue(incomplete(Mech::Ntlm, challenge))),
                other => Ok(other),
            };
        }
        // The client is told which of its mechanisms it is to be and comes again with that one's
        // first token (RFC 4178 section 4.2.2).
        let state = match chosen == *first {
            true => State::Incomplete,
            false => State::RequestMic,
        };
        let answer = Resp {
            state: Some(state),
            mech: Some(chosen),
            ..Resp::default()
        };
        Ok(Step::Continue(answer.write()))
    }

    fn resp(&mut self, input: &[u8], filetime: u64) -> Result<Step, Malformed> {
        let resp = Resp::parse(input)?;
        // A client of a server that spoke first may begin here.
        let negotiation = self.negotiation.get_or_insert_default();
        negotiation.client_code |= resp.mic.is_some();
        let token = resp.token.as_deref().ok_or(Malformed)?;
        if !is_ntlmssp(token) {
            return ApReq::parse(token).map(Step::Kerberos);
        }
        match self.ntlm(token, filetime)? {
            Step::Continue(challenge) => {
                let answer = Resp {
                    state: Some(State::Incomplete),
                    token: Some(challenge),
                    ..Resp::default()
                };
                Ok(Step::Continue(answer.write()))
            }
            other => Ok(other),
        }
    }

    /// One of NTLM's messages.
    fn ntlm(&mut self, message: &[u8], filetime: u64) -> Result<Step, Malformed> {
        if let Ok(negotiate) = Negotiate::parse(message) {
            let challenge =
                Challenge::new(&self.target, &negotiate, self.server_challenge, filetime);
            self.sent = Some((message.to_vec(), challenge.bytes.clone()));
            return Ok(Step::Continue(challenge.bytes));
        }
        let authenticate = Authenticate::parse(message)?;
        let (negotiate, challenge) = self.sent.take().ok_or(Malformed)?;
        Ok(Step::Login(Login {
            user: authenticate.user.clone(),
            domain: authenticate.domain.clone(),
            workstation: authenticate.workstation.clone(),
            version: authenticate.version,
            response: authenticate.response(),
            hash: authenticate.hash(&self.server_challenge),
            authenticate: Box::new(authenticate),
            server_challenge: self.server_challenge,
            messages: Box::new([negotiate, challenge, message.to_vec()]),
        }))
    }

    /// What is sent once `login` has been let in: nothing outside SPNEGO; inside, that it's done,
    /// with a code over the list of mechanisms where the client sent one and the session has a key.
    pub fn accept(&self, login: &Login, session_key: Option<&[u8; 16]>) -> Vec<u8> {
        let Some(negotiation) = &self.negotiation else {
            return Vec::new();
        };
        let agreed = login.authenticate.flags;
        // Without extended session security signatures are of another kind, which no client that
        // makes codes uses.
        let due = negotiation.client_code && agreed & flags::EXTENDED_SESSIONSECURITY != 0;
        let mic = session_key
            .filter(|_| due)
            .map(|key| server_signature(key, agreed, &negotiation.list).to_vec());
        let done = Resp {
            state: Some(State::Completed),
            mic,
            ..Resp::default()
        };
        done.write()
    }

    /// What is sent when a login is refused: nothing outside SPNEGO.
    pub fn reject(&self) -> Vec<u8> {
        if self.negotiation.is_none() {
            return Vec::new();
        }
        let refused = Resp {
            state: Some(State::Reject),
            ..Resp::default()
        };
        refused.write()
    }

    /// Whether the last token came in SPNEGO's wrapping.
    pub fn is_negotiated(&self) -> bool {
        self.negotiation.is_some()
    }

    /// What the server presents itself as.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

/// The answer to a client's first token that took its mechanism.
fn incomplete(mech: Mech, token: Vec<u8>) -> Vec<u8> {
    let answer = Resp {
        state: Some(State::Incomplete),
        mech: Some(mech),
        token: Some(token),
        mic: None,
    };
    answer.write()
}

/// Somebody wants in by NTLM.
#[derive(Clone, Debug)]
pub struct Login {
    /// Who.
    pub user: String,
    /// Whose user that is.
    pub domain: String,
    /// The client's own name.
    pub workstation: String,
    /// The client's version, where it says so.
    pub version: Option<Version>,
    /// How the login was made.
    pub response: Response,
    /// The line that hashcat and john take; see [`Authenticate::hash`].
    pub hash: Option<String>,
    /// The whole message.
    pub authenticate: Box<Authenticate>,
    server_challenge: [u8; 8],
    /// All three, as they were sent.
    messages: Box<[Vec<u8>; 3]>,
}

impl Login {
    /// ExportedSessionKey if the login was made with this password and its MIC, where it has one, is
    /// right. None for a wrong password, anonymous logins, and those with LM's response alone.
    pub fn verify(&self, password: &str) -> Option<[u8; 16]> {
        let keys = Keys::of(&self.authenticate, &self.server_challenge, password)?;
        if let Some(mic) = self.authenticate.mic {
            let [negotiate, challenge, authenticate] = &*self.messages;
            let mut cleared = authenticate.clone();
            cleared.get_mut(MIC)?.fill(0);
            if !keys.sealed([negotiate, challenge, &cleared], mic) {
                return None;
            }
        }
        Some(keys.exported)
    }

    /// ExportedSessionKey of an anonymous login, with which some clients sign all the same. None for
    /// every other login.
    pub fn anonymous_key(&self) -> Option<[u8; 16]> {
        Keys::anonymous(&self.authenticate).map(|keys| keys.exported)
    }
}
