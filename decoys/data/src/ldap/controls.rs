//! Controls as slapd takes them from somebody who isn't logged in.

use coalmine_wire::ber::{BOOLEAN, INTEGER, OCTET_STRING, Reader, SEQUENCE};

use super::message::Control;
use super::reply::{Reply, code};

const BIND: u8 = 0x60;
const SEARCH: u8 = 0x63;
const MODIFY: u8 = 0x66;
const ADD: u8 = 0x68;
const DELETE: u8 = 0x4a;
const RENAME: u8 = 0x6c;
const COMPARE: u8 = 0x6e;
const EXTENDED: u8 = 0x77;

const UPDATES: &[u8] = &[MODIFY, ADD, DELETE, RENAME];
const NAMED: &[u8] = &[SEARCH, COMPARE, MODIFY, ADD, DELETE, RENAME];
const ALL: &[u8] = &[BIND, SEARCH, COMPARE, MODIFY, ADD, DELETE, RENAME, EXTENDED];

/// Why a control that fits the operation is refused.
type Check = fn(&Control) -> Option<Reply>;

/// Every control of Debian's slapd: number, name in errors, operations, and its check.
const KNOWN: &[(&str, &str, &[u8], Check)] = &[
    (
        "2.16.840.1.113730.3.4.18",
        "proxied authorization",
        &[SEARCH, COMPARE, MODIFY, ADD, DELETE, RENAME, EXTENDED],
        |_| {
            Some(Reply::new(
                code::PROXY_DENIED,
                "anonymous proxied authorization not allowed",
            ))
        },
    ),
    ("2.16.840.1.113730.3.4.2", "manageDSAit", NAMED, |c| {
        absent(c, "manageDSAit")
    }),
    (
        "1.3.6.1.4.1.4203.1.10.1",
        "subentries",
        &[SEARCH],
        subentries,
    ),
    ("1.3.6.1.1.22", "dontUseCopy", &[SEARCH, COMPARE], |c| {
        absent(c, "dontUseCopy")
    }),
    ("1.2.840.113556.1.4.319", "paged results", &[SEARCH], paged),
    ("1.2.840.113556.1.4.1339", "domainScope", &[SEARCH], |c| {
        absent(c, "domainScope")
    }),
    (
        "1.2.826.0.1.3344810.2.3",
        "valuesReturnFilter",
        &[SEARCH],
        |_| None,
    ),
    ("1.3.6.1.1.13.2", "postRead", UPDATES, |_| None),
    ("1.3.6.1.1.13.1", "preRead", UPDATES, |_| None),
    ("1.3.6.1.1.12", "assert", NAMED, |_| None),
    (
        "1.3.6.1.4.1.21008.108.63.1",
        "sessionTracking",
        ALL,
        session_tracking,
    ),
];

/// The refusal of an operation for its controls.
pub(super) fn refusal(op: u8, controls: &[Control]) -> Option<Reply> {
    let mut met: Vec<&str> = Vec::new();
    for control in controls {
        let known = KNOWN.iter().find(|(oid, ..)| oid.as_bytes() == control.oid);
        match known {
            Some((oid, name, operations, check)) if operations.contains(&op) => {
                if met.contains(oid) {
                    let text = format!("{name} control specified multiple times");
                    return Some(Reply::new(code::PROTOCOL_ERROR, text));
                }
                met.push(oid);
                if let Some(refusal) = check(control) {
                    return Some(refusal);
                }
            }
            _ if !control.critical => {}
            known => {
                let what = match known {
                    Some(_) => "unavailable",
                    None => "not recognized",
                };
                let text = format!("critical extension is {what}");
                return Some(Reply::new(code::UNAVAILABLE_CRITICAL_EXTENSION, text));
            }
        }
    }
    None
}

fn wrong(text: impl Into<Vec<u8>>) -> Option<Reply> {
    Some(Reply::new(code::PROTOCOL_ERROR, text))
}

fn absent(control: &Control, name: &str) -> Option<Reply> {
    control.value?;
    wrong(format!("{name} control value not absent"))
}

fn subentries(control: &Control) -> Option<Reply> {
    let Some(value) = control.value else {
        return wrong("subentries control value is absent");
    };
    let fits = Reader::new(value).take(BOOLEAN).is_ok();
    if fits {
        None
    } else {
        wrong("subentries control could not be decoded")
    }
}

fn paged(control: &Control) -> Option<Reply> {
    let Some(value) = control.value else {
        return wrong("paged results control value is absent");
    };
    let inside = Reader::new(value).reader(SEQUENCE).and_then(|mut list| {
        list.take(INTEGER)?;
        list.take(OCTET_STRING)
    });
    match inside {
        Ok(_) => None,
        Err(_) => wrong("paged results control could not be decoded"),
    }
}

fn session_tracking(control: &Control) -> Option<Reply> {
    let value = control.value.unwrap_or_default();
    let inside = Reader::new(value).reader(SEQUENCE).and_then(|mut list| {
        for _ in 0..4 {
            list.take(OCTET_STRING)?;
        }
        Ok(())
    });
    match inside {
        Ok(()) => None,
        Err(_) => wrong("sessionTracking control decoding error"),
    }
}
