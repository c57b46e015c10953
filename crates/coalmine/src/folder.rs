//! The data folder: who runs on it, what it tells other programs, what it makes up once.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// What a running Coalmine tells other programs, in `run.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// `https://HOST:PORT`.
    pub console_url: String,
    /// The private CA's certificate, PEM.
    pub ca_file: PathBuf,
    /// INI file with an API key.
    pub client_config: PathBuf,
    /// The administrator's first password.
    pub page_password_file: PathBuf,
    /// Every bird.
    pub birds: Vec<RunBird>,
    /// The token channels.
    pub tokens: RunTokens,
    /// The process.
    pub pid: u32,
}

/// A bird in `run.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBird {
    /// Its name.
    pub name: String,
    /// Its id, 16 hex digits.
    pub node_id: String,
    /// An address that it's reached at from this machine.
    pub address: IpAddr,
    /// What it listens on.
    pub services: Vec<RunService>,
}

/// A listening service in `run.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunService {
    /// Kind of decoy.
    pub id: String,
    /// `tcp` or `udp`.
    pub transport: String,
    /// Its real port.
    pub port: u16,
}

/// The token channels in `run.json`; a port is missing (`null`) where the channel isn't listening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTokens {
    /// Zone of DNS tokens and host of token URLs.
    pub zone: String,
    /// An address that the channels are reached at from this machine.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// Real port of the HTTP channel.
    pub http_port: Option<u16>,
    /// Real port of the HTTPS channel.
    #[serde(default)]
    pub https_port: Option<u16>,
    /// What the HTTPS channel shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub https_certificates: Vec<RunCertificate>,
    /// Real port of the DNS channel, UDP and TCP.
    pub dns_port: Option<u16>,
    /// Real port of the WireGuard channel.
    #[serde(default)]
    pub wireguard_port: Option<u16>,
    /// Real port of the MySQL channel.
    #[serde(default)]
    pub mysql_port: Option<u16>,
    /// Real port of the mail channel.
    #[serde(default)]
    pub smtp_port: Option<u16>,
    /// Real port of the Kubernetes channel.
    #[serde(default)]
    pub kubernetes_port: Option<u16>,
}

/// A certificate of the HTTPS channel in `run.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCertificate {
    /// Names that it's for.
    pub names: Vec<String>,
    /// `file`, `acme` or `self-signed`.
    pub from: String,
    /// Its last moment, in seconds since 1970.
    pub until: i64,
    /// Why there is no newer or better one, where one was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What an installation makes up once and keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// Ending of made-up names, 4 hex digits.
    pub tag: String,
    /// Zone of tokens until the operator names one. Below `localhost`, which is this machine
    /// everywhere (RFC 6761 section 6.3), so that a first token can be tried at once.
    pub zone: String,
}

/// A data folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// The right to run on a folder; given back when dropped, also by a crash.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    run: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Missing where the start didn't get that far.
        let _ = fs::remove_file(&self.run);
    }
}

impl Folder {
    /// The folder named, or the usual one: `/var/lib/coalmine` for root, else below
    /// `$XDG_DATA_HOME` or `~/.local/share`.
    ///
    /// # Errors
    /// When there is neither a name nor a home.
    pub fn new(named: Option<&Path>) -> Result<Self> {
        if let Some(path) = named {
            return Ok(Self(std::path::absolute(path)?));
        }
        if is_root() {
            return Ok(Self(PathBuf::from("/var/lib/coalmine")));
        }
        let variable = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let data = variable("XDG_DATA_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".local/share")));
        match data {
            Some(data) => Ok(Self(data.join("coalmine"))),
            None => bail!(
                "neither $XDG_DATA_HOME nor $HOME says where data go; name the folder with --data DIR"
            ),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes the folder for this process, making it if it isn't there.
    ///
    /// # Errors
    /// When it can't be written or another process runs on it.
    pub fn lock(&self) -> Result<Lock> {
        self.make()?;
        let path = self.0.join("lock");
        let file = File::create(&path).with_context(|| format!("write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "Coalmine is running on {} already{}; stop that one first, or give this one another folder with --data DIR",
                self.0.display(),
                self.run()
                    .map_or(String::new(), |run| format!(" (process {})", run.pid)),
            ),
            Err(TryLockError::Error(cause)) => {
                return Err(cause).with_context(|| format!("lock {}", path.display()));
            }
        }
        let run = self.0.join("run.json");
        // What a killed process left would name services that aren't there.
        if run.exists() {
            fs::remove_file(&run).with_context(|| format!("remove {}", run.display()))?;
        }
        Ok(Lock { _file: file, run })
    }

    /// What the process on this folder says of itself, if there is one.
    pub fn run(&self) -> Option<Run> {
        let text = fs::read_to_string(self.0.join("run.json")).ok()?;
        let run: Run = serde_json::from_str(&text).ok()?;
        Path::new(&format!("/proc/{}", run.pid))
            .exists()
            .then_some(run)
    }

    /// The same, or what the operator should do.
    ///
    /// # Errors
    /// When nothing runs on this folder.
    pub fn running(&self) -> Result<Run> {
        self.run().with_context(|| {
            format!(
                "Coalmine isn't running on {0}: start it with `coalmine up --data {0}`, or name the folder it runs on with --data DIR",
                self.0.display()
            )
        })
    }

    /// Writes `run.json`, all of it or nothing.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn announce(&self, run: &Run) -> Result<()> {
        let mut text = serde_json::to_string_pretty(run)?;
        text.push('\n');
        self.write("run.json", text.as_bytes())
    }

    /// What the installation made up, made now if it wasn't yet.
    ///
    /// # Errors
    /// When it can be neither read nor kept.
    pub fn installation(&self) -> Result<Installation> {
        let path = self.0.join("installation.json");
        if path.exists() {
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            return serde_json::from_str(&text).with_context(|| {
                format!(
                    "{} is damaged; restore it from a backup, or remove it for new names",
                    path.display()
                )
            });
        }
        self.make()?;
        let made = Installation::random()?;
        let mut text = serde_json::to_string_pretty(&made)?;
        text.push('\n');
        self.write("installation.json", text.as_bytes())?;
        Ok(made)
    }

    /// The same without keeping it: for commands that only look.
    ///
    /// # Errors
    /// When there is one that can't be read.
    pub fn installation_or_sample(&self) -> Result<Installation> {
        if self.0.join("installation.json").exists() {
            self.installation()
        } else {
            Ok(Installation {
                tag: "0000".to_owned(),
                zone: "tokens-0000.localhost".to_owned(),
            })
        }
    }

    fn make(&self) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .with_context(|| format!("make the data folder {}", self.0.display()))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.0.join(name);
        let fresh = self.0.join(format!(".{name}.new"));
        let write = || {
            let mut file = File::create(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().with_context(|| format!("write {}", path.display()))
    }
}

impl Installation {
    fn random() -> Result<Self> {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes)
            .map_err(|cause| anyhow::anyhow!("the system gives no randomness: {cause}"))?;
        let [a, b, c, d] = bytes;
        Ok(Self {
            tag: format!("{a:02x}{b:02x}"),
            zone: format!("tokens-{c:02x}{d:02x}.localhost"),
        })
    }
}

fn is_root() -> bool {
    effective_ids().is_some_and(|uid| uid == 0)
}

/// The effective user id, from `/proc/self/status` (proc(5)): real, effective, saved, filesystem.
fn effective_ids() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(Some(&dir.path().join("data"))).unwrap();
        (dir, folder)
    }

    fn sample(pid: u32) -> Run {
        Run {
            console_url: "https://127.0.0.1:8443".to_owned(),
            ca_file: "/ca.pem".into(),
            client_config: "/client.ini".into(),
            page_password_file: "/password".into(),
            birds: vec![RunBird {
                name: "nas-4f2a".to_owned(),
                node_id: "000246ec65ef9476".to_owned(),
                address: [127, 0, 0, 1].into(),
                services: vec![RunService {
                    id: "ftp".to_owned(),
                    transport: "tcp".to_owned(),
                    port: 10021,
                }],
            }],
            tokens: RunTokens {
                zone: "tokens.example.com".to_owned(),
                address: Some([127, 0, 0, 1].into()),
                http_port: Some(18000),
                https_port: None,
                https_certificates: Vec::new(),
                dns_port: None,
                wireguard_port: None,
                mysql_port: None,
                smtp_port: None,
                kubernetes_port: None,
            },
            pid,
        }
    }

    #[test]
    fn one_process_at_a_time_and_the_announcement_ends_with_it() {
        let (_dir, folder) = folder();
        let lock = folder.lock().unwrap();
        folder.announce(&sample(std::process::id())).unwrap();
        let refused = folder.lock().unwrap_err().to_string();
        assert!(
            refused.contains("is running on") && refused.contains("--data"),
            "{refused}"
        );
        assert_eq!(folder.run(), Some(sample(std::process::id())));
        drop(lock);
        assert_eq!(folder.run(), None);
        assert!(!folder.path().join("run.json").exists());
        folder.lock().unwrap();
    }

    #[test]
    fn what_a_killed_process_announced_does_not_count() {
        let (_dir, folder) = folder();
        folder.make().unwrap();
        // Above the highest process id there can be (proc(5), pid_max).
        folder.announce(&sample(1 << 23)).unwrap();
        assert_eq!(folder.run(), None);
        let text = folder.running().unwrap_err().to_string();
        assert!(text.contains("coalmine up --data"), "{text}");
        let _lock = folder.lock().unwrap();
        assert!(!folder.path().join("run.json").exists());
    }

    #[test]
    fn names_are_made_up_once_and_unlike_elsewhere() {
        let ((_a, a), (_b, b)) = (folder(), folder());
        let made = a.installation().unwrap();
        assert_eq!(a.installation().unwrap(), made);
        assert_ne!(
            b.installation().unwrap().zone + &b.installation().unwrap().tag,
            made.zone.clone() + &made.tag
        );
        assert_eq!(made.tag.len(), 4);
        fs::write(a.path().join("installation.json"), "{").unwrap();
        assert!(a.installation().is_err());
    }
}
