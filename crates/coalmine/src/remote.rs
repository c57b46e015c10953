//! Commands that ask the running Console: keys and tokens.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use coalmine_client::{Client, ClientError};
use coalmine_core::token::{Reach, Takes};

use crate::folder::Folder;
use crate::registry;
use crate::terminal::{self, safe};

/// A client of the Console that runs on `folder`.
///
/// # Errors
/// When nothing runs there, or its files can't be read.
pub fn client(folder: &Folder) -> Result<Client> {
    let run = folder.running()?;
    Client::from_files(&run.console_url, &run.client_config, &run.ca_file).with_context(|| {
        format!(
            "the files of {} can't be used; run this as the user that runs Coalmine",
            folder.path().display()
        )
    })
}

/// `NAME=VALUE`.
///
/// # Errors
/// Without a `=`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

/// `coalmine key create`.
///
/// # Errors
/// The Console's refusal.
pub fn create_key(client: &Client, role: &str, note: &str) -> Result<()> {
    let key = client.create_key(role, note)?;
    terminal::line(&format!(
        "{}  (id {}, {})",
        key.auth_token, key.key_id, key.auth_token_type
    ));
    Ok(())
}

/// `coalmine key list`.
///
/// # Errors
/// The Console's refusal.
pub fn list_keys(client: &Client) -> Result<()> {
    terminal::line(&format!(
        "{:<10} {:<10} {:<27} {:<34} NOTE",
        "ID", "ROLE", "CREATED", "KEY"
    ));
    for key in client.keys()? {
        terminal::line(&format!(
            "{:<10} {:<10} {:<27} {:<34} {}",
            key.key_id,
            key.auth_token_type,
            key.created,
            key.auth_token,
            safe(&key.note)
        ));
    }
    Ok(())
}

/// `coalmine key remove`.
///
/// # Errors
/// The Console's refusal.
pub fn remove_key(client: &Client, key_id: &str) -> Result<()> {
    client.remove_key(key_id)?;
    terminal::line(&format!("Key {key_id} is gone."));
    Ok(())
}

/// `coalmine tokens create`.
///
/// # Errors
/// The Console's refusal, with what the kind asks for; a file that can't be written.
pub fn create_token(
    client: &Client,
    kind: &str,
    memo: &str,
    with: &[(String, String)],
    out: Option<&Path>,
) -> Result<()> {
    let Some(known) = registry::tokens().iter().find(|known| known.id == kind) else {
        bail!("there is no token kind {kind:?}; there are:\n{}", kinds());
    };
    let mut params: Vec<(&str, &str)> = Vec::new();
    let mut files = Vec::new();
    for (name, value) in with {
        let asked = known.asks.iter().find(|asked| asked.name == name);
        match asked.map(|asked| asked.takes) {
            Some(Takes::File { .. }) => {
                let bytes = fs::read(value).with_context(|| format!("read {value}"))?;
                files.push((name.as_str(), value.as_str(), bytes));
            }
            _ => params.push((name, value)),
        }
    }
    let files: Vec<(&str, &str, &[u8])> = files.iter().map(|(n, f, b)| (*n, *f, &b[..])).collect();
    let made = match files.is_empty() {
        true => client.create_token(kind, memo, &params),
        false => client.create_token_from(kind, memo, &params, &files),
    };
    let token = made.map_err(|error| match error {
        ClientError::Refused(message) => anyhow::anyhow!("{message}{}", asks(known)),
        other => other.into(),
    })?;
    terminal::line(&format!("token     {}", token.canarytoken));
    terminal::line(&format!("url       {}", token.url));
    terminal::line(&format!("hostname  {}", token.hostname));
    if let Reach::Local(limits) = known.reach {
        terminal::line(&format!("mind      {limits}"));
    }
    if let Some(out) = out {
        let bytes = client.download_token(&token.canarytoken)?;
        fs::write(out, bytes).with_context(|| format!("write {}", out.display()))?;
        terminal::line(&format!("file      {}", out.display()));
    }
    Ok(())
}

/// `coalmine tokens list`.
///
/// # Errors
/// The Console's refusal.
pub fn list_tokens(client: &Client, json: bool) -> Result<()> {
    let tokens = client.tokens()?;
    if json {
        for token in tokens {
            terminal::line(&serde_json::to_string(&token)?);
        }
        return Ok(());
    }
    terminal::line(&format!(
        "{:<26} {:<16} {:>7} {:<8} MEMO",
        "TOKEN", "KIND", "TOUCHED", "STATE"
    ));
    for token in tokens {
        let state = if token.enabled { "enabled" } else { "disabled" };
        terminal::line(&format!(
            "{:<26} {:<16} {:>7} {state:<8} {}",
            token.canarytoken,
            token.kind,
            token.triggered_count,
            safe(&token.memo)
        ));
    }
    Ok(())
}

fn kinds() -> String {
    let lines: Vec<String> = registry::tokens()
        .iter()
        .map(|kind| match kind.reach {
            Reach::Direct => format!("  {:<22} {}", kind.id, kind.title),
            Reach::Local(_) => format!(
                "  {:<22} {} (works without an account)",
                kind.id, kind.title
            ),
        })
        .collect();
    lines.join("\n")
}

fn asks(kind: &coalmine_core::TokenKind) -> String {
    let asks: Vec<String> = kind
        .asks
        .iter()
        .map(|ask| {
            let needed = if ask.required { "needed" } else { "optional" };
            format!("\n  --with {}=...  ({needed}) {}", ask.name, ask.doc.trim())
        })
        .collect();
    asks.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_pairs() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("=b").is_err() && pair("ab").is_err());
    }

    #[test]
    fn without_a_console_the_error_says_how_to_start_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(Some(dir.path())).unwrap();
        let text = client(&folder).unwrap_err().to_string();
        assert!(
            text.contains(&format!("coalmine up --data {}", dir.path().display())),
            "{text}"
        );
    }
}
