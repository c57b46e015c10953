//! Breadcrumbs that were followed: a login with an SSH key that was left lying about.

use std::collections::HashMap;
use std::sync::Arc;

use coalmine_core::{Event, EventKind, Sighting, event};
use coalmine_store::{Store, StoreError};
use serde::Deserialize;

/// The decoys' event that tells of a login with a key.
const LOGIN: &str = "sshlogin";

/// Event kinds of this room.
pub const KINDS: &[&EventKind] = &[SshKeyBreadcrumb::KIND];

event! {
    /// Somebody tried to log in with an SSH key that was left as a breadcrumb.
    /// It stands in place of the login attempt.
    pub struct SshKeyBreadcrumb: "sshkeybreadcrumb", "SSH Key Breadcrumb Used", [
        29001 "",
    ] {
        /// The public key in OpenSSH's one-line form.
        key: String => "KEY" = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJhbmRvbSBieXRlcyBvZiBhIHB1YmxpYyBrZXk=",
        /// The service that it was tried on.
        service: &'static str => "SERVICE" = "SSH",
        /// As the client sent it.
        username: String => "USERNAME" = "backup",
        /// Where the key was left.
        reminder: String => "reminder" = "build-7:/home/deploy/.ssh",
    }
}

/// What a login says that matters here.
#[derive(Deserialize)]
struct Login {
    #[serde(rename = "KEY")]
    key: Option<String>,
    #[serde(rename = "USERNAME", default)]
    username: String,
}

/// The same sightings, but logins with a breadcrumb's key are told as such.
///
/// # Errors
/// The store's.
pub async fn recognise(
    store: &Store,
    sightings: Arc<[Sighting]>,
) -> Result<Arc<[Sighting]>, StoreError> {
    let logins: Vec<(usize, String, String)> = sightings
        .iter()
        .enumerate()
        .filter(|(_, sighting)| sighting.kind == LOGIN)
        .filter_map(|(n, sighting)| {
            let login: Login = serde_json::from_str(sighting.fields.get()).ok()?;
            Some((n, login.key?, login.username))
        })
        .collect();
    if logins.is_empty() {
        return Ok(sightings);
    }
    let keys = logins.iter().map(|(_, key, _)| plain(key)).collect();
    let known: HashMap<String, String> = store
        .breadcrumbs()
        .among(keys)
        .await?
        .into_iter()
        .map(|known| (known.key, known.reminder))
        .collect();
    if known.is_empty() {
        return Ok(sightings);
    }
    let mut told = sightings.to_vec();
    for (n, key, username) in logins {
        let (Some(reminder), Some(sighting)) = (known.get(&plain(&key)), told.get_mut(n)) else {
            continue;
        };
        let used = SshKeyBreadcrumb {
            key,
            service: "SSH",
            username,
            reminder: reminder.clone(),
        };
        sighting.kind = SshKeyBreadcrumb::KIND.key.into();
        sighting.logtype = 29001;
        sighting.fields = used.fields();
    }
    Ok(told.into())
}

/// A key's type and base64, without its comment.
fn plain(key: &str) -> String {
    let parts: Vec<&str> = key.split_whitespace().take(2).collect();
    parts.join(" ")
}
