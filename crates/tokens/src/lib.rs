//! Token kinds: one file and two lines each.
//!
//! *Invariant:* pure. A kind mints artefacts and says what a touch means; it holds no socket,
//! reads no clock and knows no channel's code.

use coalmine_core::event::Logtype;
use coalmine_core::{EventKind, TokenKind, token};

pub mod dns;
pub mod doc_msexcel;
pub mod doc_msword;
pub mod files;
pub mod http;
pub mod msexcel_macro;
pub mod msword_macro;
pub mod pdf_acrobat_reader;
pub mod signed_exe;
pub mod windows_dir;

/// Every token kind there is.
pub static KINDS: &[&TokenKind] = ALL;

const ALL: &[&TokenKind] = &[
    &http::KIND, //
    &dns::KIND,
    &doc_msexcel::KIND,
    &doc_msword::KIND,
    &msexcel_macro::KIND,
    &msword_macro::KIND,
    &pdf_acrobat_reader::KIND,
    &signed_exe::KIND,
    &windows_dir::KIND,
];

/// The event kind of every touched token; its numbers are those of the kinds above.
pub static TOKEN_EVENT: EventKind = token::event_kind(&LOGTYPES);

static LOGTYPES: [Logtype; ALL.len()] = {
    const NONE: Logtype = Logtype { code: 0, means: "" };
    let mut logtypes = [NONE; ALL.len()];
    let mut i = 0;
    while i < ALL.len() {
        logtypes[i] = Logtype {
            code: ALL[i].logtype,
            means: ALL[i].id,
        };
        i += 1;
    }
    logtypes
};

#[cfg(test)]
mod tests;
