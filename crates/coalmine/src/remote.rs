//! The way to the running Console, and commands about its keys.

use anyhow::{Context, Result};
use coalmine_client::Client;

use crate::folder::Folder;
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

#[cfg(test)]
mod tests {
    use super::*;

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
