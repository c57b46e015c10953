//! Token kinds: one file and two lines each.
//!
//! *Invariant:* pure. A kind mints artefacts and says what a touch means; it holds no socket,
//! reads no clock and knows no channel's code.

use coalmine_core::event::Logtype;
use coalmine_core::{EventKind, TokenKind, token};

pub mod active_directory_login;
pub mod aws;
pub mod aws_id;
pub mod aws_s3;
pub mod azure_entra_login;
pub mod azure_id;
pub mod cloned_css;
pub mod cloned_web;
pub mod credit_card;
pub mod dns;
pub mod doc_msexcel;
pub mod doc_msword;
pub mod fast_redirect;
pub mod files;
pub mod gmail;
pub mod google;
pub mod google_docs;
pub mod google_sheets;
pub mod http;
pub mod idp_app;
pub mod kubeconfig;
pub mod mails;
pub mod msexcel_macro;
pub mod msword_macro;
pub mod mysql_dump;
pub mod office365mail;
pub mod pdf_acrobat_reader;
pub mod pwa;
pub mod qr_code;
pub mod redirects;
pub mod referrers;
pub mod sensitive_cmd;
pub mod signed_exe;
pub mod sites;
pub mod slack_api;
pub mod slow_redirect;
pub mod smtp;
pub mod sql;
pub mod svn;
pub mod web_image;
pub mod windows_dir;
pub mod wireguard;

/// Every token kind there is.
pub static KINDS: &[&TokenKind] = ALL;

const ALL: &[&TokenKind] = &[
    &http::KIND, //
    &dns::KIND,
    &active_directory_login::KIND,
    &aws_id::KIND,
    &aws_s3::KIND,
    &azure_entra_login::KIND,
    &azure_id::KIND,
    &cloned_css::KIND,
    &cloned_web::KIND,
    &credit_card::KIND,
    &doc_msexcel::KIND,
    &doc_msword::KIND,
    &fast_redirect::KIND,
    &gmail::KIND,
    &google_docs::KIND,
    &google_sheets::KIND,
    &idp_app::KIND,
    &kubeconfig::KIND,
    &msexcel_macro::KIND,
    &msword_macro::KIND,
    &mysql_dump::KIND,
    &office365mail::KIND,
    &pdf_acrobat_reader::KIND,
    &pwa::KIND,
    &qr_code::KIND,
    &sensitive_cmd::KIND,
    &signed_exe::KIND,
    &slack_api::KIND,
    &slow_redirect::KIND,
    &smtp::KIND,
    &sql::KIND,
    &svn::KIND,
    &web_image::KIND,
    &windows_dir::KIND,
    &wireguard::KIND,
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
