//! The program under test, its API, and what /proc says of it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result};
use coalmine_bench::Api;
use serde_json::Value;

/// Where it listens.
const HOST: &str = "127.9.9.3";
/// The zone of its tokens, which nobody resolves here: the clients know where it is.
pub const ZONE: &str = "tokens.example.com";

/// A part of a form: name, file's name where it is one, content.
pub type Part<'a> = (&'a str, Option<&'a str>, Vec<u8>);

/// A running Coalmine; stopped when dropped.
pub struct Program {
    child: Child,
    run: Value,
    api: Api,
}

impl Program {
    /// Starts it on the folder `dir`, which may have been used before.
    pub fn start(path: &Path, dir: &Path) -> Result<Self> {
        let config = format!(
            "[tokens]\nzone = \"{ZONE}\"\nnx_zone = \"nx.example.com\"\nwireguard_port = 51820\n\
             mysql_port = 3306\nsmtp_port = 25\nkubernetes_port = 6443\n\
             [[bird]]\nname = \"bench\"\npersonality = \"bare\"\n"
        );
        let (child, run) = coalmine_bench::start(path, dir, HOST, &config)?;
        Ok(Self {
            child,
            api: Api::new(&run)?,
            run,
        })
    }

    /// Where a token channel listens: `http` or `dns`.
    pub fn channel(&self, name: &str) -> Result<SocketAddr> {
        let port = self.run["tokens"][format!("{name}_port")].as_u64();
        let port = u16::try_from(port.context("the channel doesn't listen")?)?;
        Ok(SocketAddr::new(HOST.parse()?, port))
    }

    /// The API's answer; `path` after `/api/v1/`.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.api.get(path)
    }

    /// A file's bytes.
    pub fn download(&self, path: &str) -> Result<Vec<u8>> {
        self.api.download(path)
    }

    /// Posts a form.
    pub fn post(&self, path: &str, parts: &[Part<'_>]) -> Result<Value> {
        const EDGE: &str = "edge-0Qm3yN1e";
        let mut body = Vec::new();
        for (name, file, content) in parts {
            let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\""));
            body.extend_from_slice(
                format!(
                    "--{EDGE}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
                )
                .as_bytes(),
            );
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{EDGE}--\r\n").as_bytes());
        let mime = format!("multipart/form-data; boundary={EDGE}");
        self.api.post(path, &mime, &body)
    }

    /// How often all tokens have been touched, by the API's count.
    pub fn touched(&self) -> Result<u64> {
        let mut touched: u64 = 0;
        let mut page = self.get("canarytokens/paginate?limit=5000")?;
        loop {
            for token in page["canarytokens"].as_array().context("no list")? {
                let count = &token["triggered_count"];
                let told = count.as_str().and_then(|count| count.parse().ok());
                touched += count.as_u64().or(told).context("no count")?;
            }
            let Some(next) = page["cursor"]["next"].as_str().map(str::to_owned) else {
                return Ok(touched);
            };
            page = self.get(&format!("canarytokens/paginate?cursor={next}"))?;
        }
    }

    /// User and system time used so far, to a hundredth of a second.
    pub fn cpu(&self) -> Result<Duration> {
        coalmine_bench::cpu(self.child.id(), false)
    }

    /// The same of the threads that are alive, to the nanosecond.
    pub fn fine_cpu(&self) -> Result<Duration> {
        fine_cpu(&self.child.id().to_string())
    }

    /// Resident memory in MB.
    pub fn rss(&self) -> Result<f64> {
        coalmine_bench::rss(self.child.id())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        coalmine_bench::stop(&mut self.child);
    }
}

/// Time on a CPU of a process's living threads; `pid` may be `self`.
pub fn fine_cpu(pid: &str) -> Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the look at the folder and that at its file.
        let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let first = stat.split_whitespace().next();
        nanos += first.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}
