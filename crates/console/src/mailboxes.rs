//! Mailboxes that the operator has given: where mails of tokens are put, one way of reaching them
//! behind [`Mailboxes`].
//!
//! *Invariant:* whether a mail waits to be put somewhere stands in its token, so that what was
//! interrupted, or found its server away, goes on later.

mod imap;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use coalmine_core::{Timestamp, TokenId};
use coalmine_store::StoreError;
use coalmine_store::tokens::{TokenFilter, TokenRow};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{ConsoleConfig, Shared, now};

pub use imap::{ImapMailbox, ImapServer, Login, Password};

/// Kinds of tokens whose mails are put into mailboxes.
pub const KINDS: &[&str] = &["gmail", "office365mail"];
/// Field of the token object: `local` where the mail is a file alone, `connected` where it was put
/// into its mailbox.
pub const STATE: &str = "state";
/// Field that says where it was put.
pub const PLACEMENT: &str = "placement";
/// Field that says why it could not be put there, yet or at all.
pub const PROBLEM: &str = "placement_error";
/// Field that is true while it waits to be put there.
pub const PENDING: &str = "placement_pending";
/// Most tokens looked through for mails that wait.
const MAX_RESUMED: usize = 20_000;
/// How often those that wait are tried again.
const AGAIN: Duration = Duration::from_mins(10);

/// Held by whoever puts mails anywhere, so that none is put there twice.
#[derive(Debug, Default)]
pub struct Placing(Mutex<()>);

/// Somebody's mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its address, in lower case.
    pub address: String,
    /// Its owner's name; empty where it isn't known.
    pub name: String,
}

/// A mail for a mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Mail<'a> {
    /// RFC 5322, lines ended by CRLF.
    pub text: &'a str,
    /// When it seems to have arrived.
    pub sent: Timestamp,
}

/// Why a mail could not be put into a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The server isn't there or isn't the right one: others of its mailboxes fail too.
    #[error("{0}")]
    Server(String),
    /// This mailbox is the matter.
    #[error("{0}")]
    Mailbox(String),
}

/// A way of reaching mailboxes.
pub trait Mailboxes: fmt::Debug + Send + Sync {
    /// What it is, for people, e.g. `imap.example.com:993`.
    fn name(&self) -> String;
    /// The mailboxes that it reaches.
    fn list(&self) -> Vec<Mailbox>;
    /// Puts a mail into a mailbox; the answer is the folder that it is in.
    fn place<'a>(
        &'a self,
        address: &'a str,
        mail: Mail<'a>,
    ) -> BoxFuture<'a, Result<String, Problem>>;
}

/// Every way of reaching mailboxes that is configured.
pub fn ways(config: &ConsoleConfig) -> Vec<&dyn Mailboxes> {
    let imap = config.mailboxes.iter();
    imap.map(|server| server as &dyn Mailboxes).collect()
}

/// The mailboxes that are configured, each once.
pub fn all(config: &ConsoleConfig) -> Vec<Mailbox> {
    let mut seen = BTreeSet::new();
    let listed = ways(config).into_iter().flat_map(|way| way.list());
    listed
        .filter(|mailbox| seen.insert(mailbox.address.clone()))
        .collect()
}

/// Whether somebody can put a mail into this mailbox.
pub fn reached(config: &ConsoleConfig, address: &str) -> bool {
    way(&ways(config), address).is_some()
}

/// Puts the mails of these tokens into their mailboxes, where they wait for it.
pub async fn place(console: Shared, tokens: Vec<TokenId>) {
    let _alone = console.placing.0.lock().await;
    let ways = ways(&console.config);
    // What can't be reached now would hold up each mail as long as the first.
    let mut down: Vec<Option<Problem>> = vec![None; ways.len()];
    for id in tokens {
        if *console.stop.borrow() {
            return;
        }
        if let Err(error) = place_one(&console, &id, &ways, &mut down).await {
            tracing::error!(%error, "the store failed while mails were put into mailboxes");
            return;
        }
    }
}

/// Goes on with what an earlier run was interrupted at, and tries again what found its server away.
pub async fn resume(console: Shared) {
    loop {
        for kind in KINDS {
            let filter = TokenFilter {
                kind: Some((*kind).to_owned()),
                ..TokenFilter::default()
            };
            match console.store.tokens().page(filter, None, MAX_RESUMED).await {
                Ok(page) => {
                    let waiting = page.tokens.into_iter().filter(is_pending);
                    place(console.clone(), waiting.map(|token| token.id).collect()).await;
                }
                Err(error) => tracing::error!(%error, "tokens whose mails wait could not be read"),
            }
        }
        if ways(&console.config).is_empty() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether a token's mail waits to be put into its mailbox.
pub fn is_pending(token: &TokenRow) -> bool {
    token.fields.get(PENDING) == Some(&Value::Bool(true))
}

async fn place_one(
    console: &Shared,
    id: &TokenId,
    ways: &[&dyn Mailboxes],
    down: &mut [Option<Problem>],
) -> Result<(), StoreError> {
    let tokens = console.store.tokens();
    let Some(token) = tokens.get(id).await?.filter(is_pending) else {
        return Ok(());
    };
    let mut fields = token.fields.clone();
    fields.remove(PENDING);
    fields.remove(PROBLEM);
    let placed = match (address(&token), mail(&token)) {
        (Some(address), Some(mail)) => match way(ways, address) {
            Some(n) => at(ways, down, n, address, mail).await,
            None => Err(Problem::Mailbox(
                "no server of [[tokens.imap]] has this mailbox any more".to_owned(),
            )),
        },
        _ => Err(Problem::Mailbox(
            "the token holds no single mail".to_owned(),
        )),
    };
    match placed {
        Ok((server, folder)) => {
            fields.insert(STATE.to_owned(), "connected".into());
            fields.insert(
                PLACEMENT.to_owned(),
                json!({"server": server, "folder": folder, "placed": now().secs()}),
            );
        }
        Err(problem) => {
            match &problem {
                // Said once for all of its mailboxes.
                Problem::Server(_) => drop(fields.insert(PENDING.to_owned(), true.into())),
                Problem::Mailbox(_) => {
                    tracing::warn!(token = %id, %problem, "a mail could not be put into its mailbox");
                }
            }
            fields.insert(PROBLEM.to_owned(), problem.to_string().into());
        }
    }
    if fields == token.fields {
        return Ok(());
    }
    // Gone meanwhile: its mail stays where it is.
    match tokens.set_fields(id, &token.params, &fields).await {
        Err(StoreError::Refused(_)) => Ok(()),
        other => other,
    }
}

async fn at(
    ways: &[&dyn Mailboxes],
    down: &mut [Option<Problem>],
    n: usize,
    address: &str,
    mail: Mail<'_>,
) -> Result<(String, String), Problem> {
    let (Some(way), Some(state)) = (ways.get(n), down.get_mut(n)) else {
        return Err(Problem::Mailbox("no such server".to_owned()));
    };
    if let Some(problem) = state {
        return Err(problem.clone());
    }
    let folder = way.place(address, mail).await.inspect_err(|problem| {
        if matches!(problem, Problem::Server(_)) {
            tracing::warn!(server = way.name(), %problem, "mails cannot be put into mailboxes");
            *state = Some(problem.clone());
        }
    })?;
    Ok((way.name(), folder))
}

/// Which way leads to this mailbox.
fn way(ways: &[&dyn Mailboxes], address: &str) -> Option<usize> {
    ways.iter()
        .position(|way| way.list().iter().any(|mailbox| mailbox.address == address))
}

/// The one mailbox of a token.
fn address(token: &TokenRow) -> Option<&str> {
    match token.fields.get("mailboxes")?.as_array()?.as_slice() {
        [one] => one.as_str(),
        _ => None,
    }
}

/// The one mail of a token.
fn mail(token: &TokenRow) -> Option<Mail<'_>> {
    Some(Mail {
        text: token.fields.get("renders")?.get(&token.kind)?.as_str()?,
        sent: Timestamp::from_secs(token.fields.get("sent")?.as_i64()?),
    })
}
