//! CredSSP: the messages around SPNEGO (MS-CSSP section 2.2.1), and RDSTLS (MS-RDPBCGR section
//! 2.2.17).

use coalmine_core::decoy::Broken;
use coalmine_wire::ber;

use super::reader::{Reader, text16};

/// The version that servers with all updates speak.
const VERSION: i64 = 6;
/// `STATUS_LOGON_FAILURE`: unknown user or wrong password.
const LOGON_FAILURE: i32 = 0xc000_006d_u32 as i32;

/// What a client's `TSRequest` holds that means anything to us.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TsRequest<'a> {
    pub version: i64,
    /// A token of SPNEGO or NTLM.
    pub token: Option<&'a [u8]>,
}

impl<'a> TsRequest<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Broken> {
        Self::read(message).map_err(|_| Broken)
    }

    fn read(message: &'a [u8]) -> Result<Self, coalmine_wire::Malformed> {
        let mut request = ber::Reader::new(message).reader(ber::SEQUENCE)?;
        let version = request.reader(ber::context(0))?.integer()?;
        let token = match request.optional(ber::context(1))? {
            None => None,
            Some(tokens) => {
                let mut tokens = ber::Reader::new(tokens).reader(ber::SEQUENCE)?;
                let mut first = tokens.reader(ber::SEQUENCE)?;
                Some(first.reader(ber::context(0))?.take(ber::OCTET_STRING)?)
            }
        };
        Ok(Self { version, token })
    }

    /// Whether a client of this version is told why it failed (MS-CSSP 2.2.1, `errorCode`).
    pub(super) fn takes_errors(&self) -> bool {
        matches!(self.version, 3 | 4 | 6..)
    }
}

/// The server's token.
pub(super) fn answer(token: &[u8]) -> Vec<u8> {
    message(|w| {
        w.nest(ber::context(1), |w| {
            w.nest(ber::SEQUENCE, |w| {
                w.nest(ber::SEQUENCE, |w| {
                    w.nest(ber::context(0), |w| {
                        w.put(ber::OCTET_STRING, token);
                    });
                });
            });
        });
    })
}

/// Why the login failed.
pub(super) fn failure() -> Vec<u8> {
    message(|w| {
        w.nest(ber::context(4), |w| {
            w.integer(i64::from(LOGON_FAILURE));
        });
    })
}

fn message(inside: impl FnOnce(&mut ber::Writer)) -> Vec<u8> {
    let mut writer = ber::Writer::new();
    writer.nest(ber::SEQUENCE, |w| {
        w.nest(ber::context(0), |w| {
            w.integer(VERSION);
        });
        inside(w);
    });
    writer.finish()
}

/// What the server of RDSTLS says first: its one version.
pub(super) const RDSTLS_CAPABILITIES: [u8; 8] = [1, 0, 1, 0, 1, 0, 1, 0];
/// The answer to the credentials: `ERROR_LOGON_FAILURE`.
pub(super) const RDSTLS_FAILURE: [u8; 10] = [1, 0, 4, 0, 1, 0, 0x2e, 0x05, 0, 0];

/// Credentials of a client that a broker sent here. The password is one that only the broker's
/// server can read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Redirected {
    pub user: String,
    pub domain: String,
}

impl Redirected {
    /// Reads the Authentication Request at the front of `input`: what it says and its length, `None`
    /// while it isn't whole.
    pub(super) fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, Broken> {
        let head = [1, 0, 2, 0];
        let known = input.len().min(head.len());
        if input.get(..known) != head.get(..known) {
            return Err(Broken);
        }
        let by_password = match input.get(4..6) {
            None => return Ok(None),
            Some([1, 0]) => true,
            Some([2, 0]) => false,
            Some(_) => return Err(Broken),
        };
        let mut rest = Reader::new(input);
        // What isn't whole yet reads as broken.
        let Ok(read) = Self::read(&mut rest, by_password) else {
            return Ok(None);
        };
        Ok(Some((read, input.len().saturating_sub(rest.len()))))
    }

    fn read(message: &mut Reader<'_>, by_password: bool) -> Result<Self, Broken> {
        message.take(6)?;
        let text = |message: &mut Reader<'_>| {
            let length = message.u16()?;
            message.take(usize::from(length)).map(text16)
        };
        if !by_password {
            // Session and cookie of one that comes again.
            message.u32()?;
            text(message)?;
            return Ok(Self::default());
        }
        let [_guid, user, domain, _password] = [
            text(message)?,
            text(message)?,
            text(message)?,
            text(message)?,
        ];
        Ok(Self { user, domain })
    }
}
