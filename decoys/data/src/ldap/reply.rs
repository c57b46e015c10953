//! Answers (RFC 4511 section 4.1.9): results, entries and the notice before a disconnection.

use coalmine_wire::ber::{ENUMERATED, INTEGER, OCTET_STRING, SEQUENCE, SET, Writer};

/// `1.3.6.1.4.1.1466.20036`, the notice of disconnection (RFC 4511 section 4.4.1).
const NOTICE: &[u8] = b"1.3.6.1.4.1.1466.20036";

/// Result codes (RFC 4511 appendix A).
pub(super) mod code {
    pub const SUCCESS: i64 = 0;
    pub const OPERATIONS_ERROR: i64 = 1;
    pub const PROTOCOL_ERROR: i64 = 2;
    pub const COMPARE_FALSE: i64 = 5;
    pub const COMPARE_TRUE: i64 = 6;
    pub const AUTH_METHOD_NOT_SUPPORTED: i64 = 7;
    pub const STRONGER_AUTH_REQUIRED: i64 = 8;
    pub const UNAVAILABLE_CRITICAL_EXTENSION: i64 = 12;
    pub const SASL_BIND_IN_PROGRESS: i64 = 14;
    pub const NO_SUCH_ATTRIBUTE: i64 = 16;
    pub const UNDEFINED_ATTRIBUTE: i64 = 17;
    pub const INAPPROPRIATE_MATCHING: i64 = 18;
    pub const CONSTRAINT_VIOLATION: i64 = 19;
    pub const INVALID_SYNTAX: i64 = 21;
    pub const NO_SUCH_OBJECT: i64 = 32;
    pub const INVALID_DN: i64 = 34;
    pub const INAPPROPRIATE_AUTH: i64 = 48;
    pub const INVALID_CREDENTIALS: i64 = 49;
    pub const INSUFFICIENT_ACCESS: i64 = 50;
    pub const UNWILLING: i64 = 53;
    pub const ALREADY_EXISTS: i64 = 68;
    pub const OTHER: i64 = 80;
    pub const NO_SUCH_OPERATION: i64 = 119;
    pub const PROXY_DENIED: i64 = 123;
}

/// A result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub code: i64,
    pub matched: Vec<u8>,
    pub text: Vec<u8>,
    /// `serverSaslCreds` of a bind.
    pub credentials: Option<Vec<u8>>,
    /// `responseValue` of an extended operation.
    pub value: Option<Vec<u8>>,
}

impl Reply {
    pub fn new(code: i64, text: impl Into<Vec<u8>>) -> Self {
        Self {
            code,
            text: text.into(),
            ..Self::default()
        }
    }

    pub fn success() -> Self {
        Self::default()
    }

    /// As the answer `op` to message `id`.
    pub fn message(&self, long: bool, id: i64, op: u8) -> Vec<u8> {
        message(long, id, |w| {
            w.nest(op, |w| self.fields(w));
        })
    }

    fn fields(&self, w: &mut Writer) {
        w.number(ENUMERATED, self.code);
        w.put(OCTET_STRING, &self.matched);
        w.put(OCTET_STRING, &self.text);
        if let Some(credentials) = &self.credentials {
            w.put(0x87, credentials);
        }
        if let Some(value) = &self.value {
            w.put(0x8b, value);
        }
    }
}

/// The notice that a server sends before it hangs up.
pub(super) fn notice(long: bool, code: i64, text: &[u8]) -> Vec<u8> {
    let reply = Reply::new(code, text);
    message(long, 0, |w| {
        w.nest(0x78, |w| {
            reply.fields(w);
            w.put(0x8a, NOTICE);
        });
    })
}

fn message(long: bool, id: i64, inside: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = if long { Writer::long() } else { Writer::new() };
    let message = writer.nest(SEQUENCE, |w| {
        w.number(INTEGER, id);
        inside(w);
    });
    message.finish()
}

/// An attribute of an entry.
#[derive(Clone, Debug)]
pub(super) struct Attr {
    pub name: &'static str,
    pub values: Vec<String>,
    /// Shown only where it's asked for.
    pub operational: bool,
}

/// An entry as the answer to search `id`.
pub(super) fn entry(
    long: bool,
    id: i64,
    name: &str,
    attributes: &[&Attr],
    types_only: bool,
) -> Vec<u8> {
    message(long, id, |w| {
        w.nest(0x64, |w| {
            w.put(OCTET_STRING, name.as_bytes());
            w.nest(SEQUENCE, |w| {
                for attribute in attributes {
                    w.nest(SEQUENCE, |w| {
                        w.put(OCTET_STRING, attribute.name.as_bytes());
                        w.nest(SET, |w| {
                            for value in attribute.values.iter().filter(|_| !types_only) {
                                w.put(OCTET_STRING, value.as_bytes());
                            }
                        });
                    });
                }
            });
        });
    })
}
