//! SPNEGO (RFC 4178, MS-SPNG): which mechanism to use, and its tokens.

use crate::Malformed;
use crate::ber::{
    ENUMERATED, OCTET_STRING, OID, Reader, SEQUENCE, Writer, context, dotted, number, oid,
};
use crate::bytes::escaped;
use crate::kerberos::GSS_FRAME;

/// SPNEGO's own object identifier.
const SPNEGO: &str = "1.3.6.1.5.5.2";
/// GeneralString.
const GENERAL_STRING: u8 = 0x1b;
/// Most mechanisms that a peer may list.
const MAX_MECHS: usize = 32;

/// A mechanism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mech {
    /// NTLM.
    Ntlm,
    /// Kerberos 5.
    Kerberos,
    /// Kerberos 5 under the number that Windows 2000 mistyped.
    MsKerberos,
    /// Kerberos 5, user to user.
    KerberosUserToUser,
    /// Extended negotiation.
    NegoEx,
    /// Any other, its dotted object identifier.
    Other(String),
}

/// What is known by name.
const KNOWN: &[(Mech, &str)] = &[
    (Mech::Ntlm, "1.3.6.1.4.1.311.2.2.10"),
    (Mech::Kerberos, "1.2.840.113554.1.2.2"),
    (Mech::MsKerberos, "1.2.840.48018.1.2.2"),
    (Mech::KerberosUserToUser, "1.2.840.113554.1.2.2.3"),
    (Mech::NegoEx, "1.3.6.1.4.1.311.2.2.30"),
];

impl Mech {
    /// Its dotted object identifier.
    pub fn dotted(&self) -> &str {
        match self {
            Self::Other(dots) => dots,
            known => KNOWN
                .iter()
                .find(|(mech, _)| mech == known)
                .map_or("", |(_, dots)| dots),
        }
    }

    /// Whether it is Kerberos, under either number.
    pub fn is_kerberos(&self) -> bool {
        matches!(self, Self::Kerberos | Self::MsKerberos)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let dots = dotted(reader.take(OID)?)?;
        let known = KNOWN.iter().find(|(_, known)| *known == dots);
        Ok(known.map_or(Self::Other(dots), |(mech, _)| mech.clone()))
    }

    fn write(&self, writer: &mut Writer) {
        writer.put(OID, &oid(self.dotted()));
    }
}

/// The first token of a side: NegTokenInit (RFC 4178 section 4.2.1), or a server's NegTokenInit2
/// (MS-SPNG section 2.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Init {
    /// Mechanisms, the most wanted first.
    pub mechs: Vec<Mech>,
    /// First token of the first mechanism.
    pub token: Option<Vec<u8>>,
    /// NegTokenInit2's hint.
    pub hint: Option<String>,
    /// Code over the list of mechanisms.
    pub mic: Option<Vec<u8>>,
    /// The list as it was encoded: what a mechListMIC is made over.
    pub list: Vec<u8>,
}

impl Init {
    /// Reads one, inside GSS-API's frame or without.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if let Some(framed) = reader.optional(GSS_FRAME)? {
            reader = Reader::new(framed);
            if dotted(reader.take(OID)?)? != SPNEGO {
                return Err(Malformed);
            }
        }
        let mut init = reader.reader(context(0))?.reader(SEQUENCE)?;
        let list = init.take(context(0))?;
        let mut read = Self {
            list: list.to_vec(),
            ..Self::default()
        };
        let mut mechs = Reader::new(list).reader(SEQUENCE)?;
        while !mechs.is_empty() {
            if read.mechs.len() == MAX_MECHS {
                return Err(Malformed);
            }
            read.mechs.push(Mech::read(&mut mechs)?);
        }
        init.optional(context(1))?;
        read.token = octets(&mut init, 2)?;
        // Under number 3 a client has its code, a server its hints, and the code under 4.
        if let Some(third) = init.optional(context(3))? {
            let mut third = Reader::new(third);
            if let Some(hints) = third.optional(SEQUENCE)? {
                let mut hints = Reader::new(hints);
                if let Some(name) = hints.optional(context(0))? {
                    read.hint = Some(escaped(Reader::new(name).take(GENERAL_STRING)?));
                }
            } else {
                read.mic = Some(third.take(OCTET_STRING)?.to_vec());
            }
        }
        if let Some(mic) = octets(&mut init, 4)? {
            read.mic = Some(mic);
        }
        Ok(read)
    }

    /// Writes one in GSS-API's frame, but for the code.
    pub fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.nest(GSS_FRAME, |w| {
            w.put(OID, &oid(SPNEGO)).nest(context(0), |w| {
                w.nest(SEQUENCE, |w| {
                    w.nest(context(0), |w| {
                        w.nest(SEQUENCE, |w| {
                            for mech in &self.mechs {
                                mech.write(w);
                            }
                        });
                    });
                    if let Some(token) = &self.token {
                        w.nest(context(2), |w| {
                            w.put(OCTET_STRING, token);
                        });
                    }
                    if let Some(hint) = &self.hint {
                        w.nest(context(3), |w| {
                            w.nest(SEQUENCE, |w| {
                                w.nest(context(0), |w| {
                                    w.put(GENERAL_STRING, hint.as_bytes());
                                });
                            });
                        });
                    }
                });
            });
        });
        writer.finish()
    }
}

/// How far the negotiation is (RFC 4178 section 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Done.
    Completed,
    /// Another token is needed.
    Incomplete,
    /// Refused.
    Reject,
    /// Another token is needed, and codes over the list of mechanisms.
    RequestMic,
}

impl State {
    const ALL: [Self; 4] = [
        Self::Completed,
        Self::Incomplete,
        Self::Reject,
        Self::RequestMic,
    ];
}

/// Every further token (RFC 4178 section 4.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resp {
    /// How far it is.
    pub state: Option<State>,
    /// Which mechanism it is to be.
    pub mech: Option<Mech>,
    /// The mechanism's next token.
    pub token: Option<Vec<u8>>,
    /// Code over the list of mechanisms.
    pub mic: Option<Vec<u8>>,
}

impl Resp {
    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut resp = Reader::new(bytes).reader(context(1))?.reader(SEQUENCE)?;
        let mut read = Self::default();
        if let Some(state) = resp.optional(context(0))? {
            let code = number(Reader::new(state).take(ENUMERATED)?)?;
            let code = usize::try_from(code).map_err(|_| Malformed)?;
            read.state = Some(*State::ALL.get(code).ok_or(Malformed)?);
        }
        if let Some(mech) = resp.optional(context(1))? {
            read.mech = Some(Mech::read(&mut Reader::new(mech))?);
        }
        read.token = octets(&mut resp, 2)?;
        read.mic = octets(&mut resp, 3)?;
        Ok(read)
    }

    /// Writes one.
    pub fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let code = |state: State| State::ALL.iter().position(|s| *s == state);
        writer.nest(context(1), |w| {
            w.nest(SEQUENCE, |w| {
                if let Some(code) = self.state.and_then(code) {
                    w.nest(context(0), |w| {
                        w.number(ENUMERATED, i64::try_from(code).unwrap_or_default());
                    });
                }
                if let Some(mech) = &self.mech {
                    w.nest(context(1), |w| mech.write(w));
                }
                for (tag, value) in [(2, &self.token), (3, &self.mic)] {
                    if let Some(value) = value {
                        w.nest(context(tag), |w| {
                            w.put(OCTET_STRING, value);
                        });
                    }
                }
            });
        });
        writer.finish()
    }
}

/// `[tag] OCTET STRING`, where it's there.
fn octets(reader: &mut Reader<'_>, tag: u8) -> Result<Option<Vec<u8>>, Malformed> {
    match reader.optional(context(tag))? {
        None => Ok(None),
        Some(value) => Ok(Some(Reader::new(value).take(OCTET_STRING)?.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Windows and Samba say first when a client connects to SMB (MS-SPNG section 2.2.1 gives
    /// the fields).
    const HELLO: &str = "604806062b0601050502a03e303ca00e300c060a2b06010401823702020aa32a3028a0261b246e6f745f646566696e65645f696e5f5246433431373840706c656173655f69676e6f7265";

    #[test]
    fn a_server_that_speaks_first_is_byte_for_byte_samba() {
        let init = Init {
            mechs: vec![Mech::Ntlm],
            hint: Some("not_defined_in_RFC4178@please_ignore".to_owned()),
            ..Init::default()
        };
        assert_eq!(hex::encode(init.write()), HELLO);
        let read = Init::parse(&hex::decode(HELLO).unwrap()).unwrap();
        assert_eq!((read.mechs, read.hint), (init.mechs, init.hint));
        assert_eq!(hex::encode(read.list), "300c060a2b06010401823702020a");
    }

    #[test]
    fn a_clients_mechanisms_token_and_code_are_read() {
        let mut writer = Writer::new();
        writer.nest(context(0), |w| {
            w.nest(SEQUENCE, |w| {
                w.nest(context(0), |w| {
                    w.nest(SEQUENCE, |w| {
                        for dots in [
                            "1.2.840.48018.1.2.2",
                            "1.2.840.113554.1.2.2",
                            "1.3.6.1.4.1.311.2.2.30",
                            "1.2.3",
                        ] {
                            w.put(OID, &oid(dots));
                        }
                    });
                });
                // reqFlags: a BIT STRING that everybody ignores.
                w.nest(context(1), |w| {
                    w.put(3, &[0, 0x40]);
                });
                w.nest(context(2), |w| {
                    w.put(OCTET_STRING, b"token");
                });
                w.nest(context(3), |w| {
                    w.put(OCTET_STRING, b"code");
                });
            });
        });
        let read = Init::parse(&writer.finish()).unwrap();
        assert_eq!(
            read.mechs,
            [
                Mech::MsKerberos,
                Mech::Kerberos,
                Mech::NegoEx,
                Mech::Other("1.2.3".to_owned())
            ]
        );
        assert_eq!(read.token.as_deref(), Some(&b"token"[..]));
        assert_eq!(read.mic.as_deref(), Some(&b"code"[..]));
        assert_eq!(read.hint, None);
    }

    #[test]
    fn further_tokens_go_there_and_back() {
        let resp = Resp {
            state: Some(State::RequestMic),
            mech: Some(Mech::Ntlm),
            token: Some(b"token".to_vec()),
            mic: Some(vec![1; 16]),
        };
        assert_eq!(Resp::parse(&resp.write()), Ok(resp));
        let done = Resp {
            state: Some(State::Completed),
            ..Resp::default()
        };
        assert_eq!(hex::encode(done.write()), "a1073005a0030a0100");
        assert_eq!(
            Resp::parse(b"\xa1\x07\x30\x05\xa0\x03\x0a\x01\x04"),
            Err(Malformed)
        );
    }

    #[test]
    fn no_piece_of_a_token_is_one() {
        let hello = hex::decode(HELLO).unwrap();
        for end in 0..hello.len() {
            assert_eq!(Init::parse(&hello[..end]), Err(Malformed), "{end}");
        }
        let endless = Init {
            mechs: vec![Mech::Ntlm; MAX_MECHS + 1],
            ..Init::default()
        };
        assert_eq!(Init::parse(&endless.write()), Err(Malformed));
        // Another mechanism's frame.
        assert_eq!(
            Init::parse(&crate::kerberos::tests::framed()),
            Err(Malformed)
        );
    }
}
