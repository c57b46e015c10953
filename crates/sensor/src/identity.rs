//! Who a bird is: made once from real randomness, kept in its folder for life.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use coalmine_core::decoy::Vault;
use coalmine_core::{Bird, Machine, NodeId, Seed, Timestamp};
use serde::{Deserialize, Serialize};

/// A bird pretends to have been up for between three and forty days when it's first started.
const PRETENDED_UPTIME: std::ops::Range<u64> = 3 * 86_400..40 * 86_400;

/// What stands in `identity.json`.
#[derive(Serialize, Deserialize)]
struct Identity {
    node_id: NodeId,
    /// 64 hex digits.
    seed: String,
    /// Pretended boot time, microseconds since the epoch.
    booted: Timestamp,
}

/// The bird called `name` under `dir`, made if it isn't there.
pub(crate) fn bird(
    dir: &Path,
    name: &str,
    machine: Machine,
    now: Timestamp,
) -> io::Result<Arc<Bird>> {
    let dir = dir.join(folder(name));
    fs::create_dir_all(&dir)?;
    let file = dir.join("identity.json");
    let identity: Identity = match fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let identity = fresh(now)?;
            write_private(&file, &serde_json::to_vec_pretty(&identity)?)?;
            identity
        }
        Err(error) => return Err(error),
    };
    let seed: [u8; 32] = hex::decode(&identity.seed)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the seed in identity.json isn't 64 hex digits",
            )
        })?;
    Ok(Arc::new(Bird {
        node_id: identity.node_id,
        name: name.to_owned(),
        machine,
        seed: Seed::new(seed),
        booted: identity.booted,
        vault: Arc::new(Folder {
            dir: dir.join("vault"),
            making: Mutex::new(()),
        }),
    }))
}

fn fresh(now: Timestamp) -> io::Result<Identity> {
    let seed = Seed::new(random()?);
    let uptime = seed.number(
        "pretended uptime",
        PRETENDED_UPTIME.start,
        PRETENDED_UPTIME.end,
    );
    let uptime = i64::try_from(uptime).unwrap_or_default();
    Ok(Identity {
        node_id: NodeId::new(random()?),
        seed: hex::encode(seed.bytes()),
        booted: Timestamp::from_micros(
            now.micros()
                .saturating_sub(uptime.saturating_mul(1_000_000)),
        ),
    })
}

/// `N` bytes from the operating system.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// A bird's name as a folder: letters, digits, `-` and `_` stay, the rest is hex.
fn folder(name: &str) -> String {
    let mut folder = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => folder.push(char::from(byte)),
            other => folder.push_str(&format!("%{other:02x}")),
        }
    }
    folder
}

/// A vault in a folder, one file a name.
struct Folder {
    dir: PathBuf,
    making: Mutex<()>,
}

impl Vault for Folder {
    fn keep(&self, name: &str, make: &mut dyn FnMut() -> Vec<u8>) -> Result<Vec<u8>, String> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(allowed) {
            return Err(format!("{name:?} is no name for a vault"));
        }
        let file = self.dir.join(name);
        let tell = |e: io::Error| format!("{}: {e}", file.display());
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        match fs::read(&file) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes = make();
                if bytes.is_empty() {
                    return Err(format!("{name} couldn't be made, so nothing is kept"));
                }
                fs::create_dir_all(&self.dir).map_err(tell)?;
                write_private(&file, &bytes).map_err(tell)?;
                Ok(bytes)
            }
            Err(error) => Err(tell(error)),
        }
    }
}

/// Writes `file` so that it's there whole or not at all, readable by its owner alone.
fn write_private(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = file.with_extension("new");
    let mut open = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    fs::rename(&temporary, file)?;
    match file.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bird_is_the_same_at_the_second_start_and_unlike_any_other() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_secs(1_790_000_000);
        let first = bird(dir.path(), "nas 1", Machine::default(), now).unwrap();
        let key = first.vault.keep("key", &mut || vec![1]).unwrap();
        let again = bird(
            dir.path(),
            "nas 1",
            Machine::default(),
            now.plus(std::time::Duration::from_secs(99)),
        )
        .unwrap();
        let other = bird(dir.path(), "nas 2", Machine::default(), now).unwrap();
        assert_eq!((first.node_id, &first.seed), (again.node_id, &again.seed));
        assert_eq!(first.booted, again.booted);
        assert!(first.booted < now);
        assert_eq!(again.vault.keep("key", &mut || vec![2]).unwrap(), key);
        assert_ne!(first.node_id, other.node_id);
        assert_ne!(first.seed, other.seed);
    }

    #[test]
    fn a_vault_refuses_names_that_are_paths() {
        let dir = tempfile::tempdir().unwrap();
        let bird = bird(
            dir.path(),
            "../../etc",
            Machine::default(),
            Timestamp::from_secs(1),
        )
        .unwrap();
        assert!(bird.vault.keep("../x", &mut Vec::new).is_err());
        assert!(bird.vault.keep("", &mut Vec::new).is_err());
    }

    #[test]
    fn what_could_not_be_made_is_made_at_the_next_chance() {
        let dir = tempfile::tempdir().unwrap();
        let bird = bird(dir.path(), "a", Machine::default(), Timestamp::from_secs(1)).unwrap();
        assert!(bird.vault.keep("key", &mut Vec::new).is_err());
        assert_eq!(bird.vault.keep("key", &mut || vec![1]), Ok(vec![1]));
    }

    #[test]
    fn names_become_folders_without_paths() {
        assert_eq!(folder("../../etc"), "%2e%2e%2f%2e%2e%2fetc");
    }

    #[test]
    fn a_damaged_identity_is_an_error_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_secs(1);
        bird(dir.path(), "a", Machine::default(), now).unwrap();
        fs::write(dir.path().join("a/identity.json"), b"{}").unwrap();
        assert!(bird(dir.path(), "a", Machine::default(), now).is_err());
    }
}
