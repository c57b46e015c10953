//! The program under test, its API, and what /proc says of it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// How long it may take to start.
const MAX_START: Duration = Duration::from_secs(30);
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
    agent: ureq::Agent,
    key: String,
}

impl Program {
    /// Starts it on the folder `dir`, which may have been used before.
    pub fn start(path: &Path, dir: &Path) -> Result<Self> {
        let config = dir.join("bench.toml");
        fs::write(
            &config,
            format!(
                "[tokens]\nzone = \"{ZONE}\"\nnx_zone = \"nx.example.com\"\nwireguard_port = 51820\n\
                 mysql_port = 3306\nsmtp_port = 25\nkubernetes_port = 6443\n\
                 [[bird]]\nname = \"bench\"\npersonality = \"bare\"\n"
            ),
        )?;
        let data = dir.join("data");
        let announced = data.join("run.json");
        if announced.exists() {
            fs::remove_file(&announced)?;
        }
        let mut child = Command::new(path)
            .args(["up", "--listen", HOST, "--console", "127.9.9.3:18443"])
            .args(["--port-shift", "10000", "--data"])
            .arg(&data)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(fs::File::create(dir.join("log"))?)
            .stderr(Stdio::inherit())
            .spawn()?;
        let end = Instant::now() + MAX_START;
        let run: Value = loop {
            if let Ok(text) = fs::read(&announced)
                && let Ok(run) = serde_json::from_slice(&text)
            {
                break run;
            }
            if child.try_wait()?.is_some() || Instant::now() > end {
                bail!("coalmine up doesn't get ready");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let read = |path: &str| fs::read_to_string(run[path].as_str().unwrap_or_default());
        let key = read("client_config")?
            .lines()
            .find_map(|line| line.strip_prefix("api_key"))
            .map(|key| key.trim_matches([' ', '=']).to_owned())
            .context("the client file names a key")?;
        let agent = agent(read("ca_file")?.as_bytes())?;
        Ok(Self {
            child,
            run,
            agent,
            key,
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
        let request = self.agent.get(self.url(path));
        let mut answer = request.header("X-Canary-Auth-Token", &self.key).call()?;
        let text = answer.body_mut().with_config().limit(1 << 28);
        Ok(serde_json::from_str(&text.read_to_string()?)?)
    }

    /// A file's bytes.
    pub fn download(&self, path: &str) -> Result<Vec<u8>> {
        let request = self.agent.get(self.url(path));
        let mut answer = request.header("X-Canary-Auth-Token", &self.key).call()?;
        Ok(answer.body_mut().read_to_vec()?)
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
        let request = self
            .agent
            .post(self.url(path))
            .header("X-Canary-Auth-Token", &self.key)
            .header(
                "Content-Type",
                format!("multipart/form-data; boundary={EDGE}"),
            );
        let mut answer = request.send(&body)?;
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
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
        ticks(self.child.id())
    }

    /// The same of the threads that are alive, to the nanosecond.
    pub fn fine_cpu(&self) -> Result<Duration> {
        fine_cpu(&self.child.id().to_string())
    }

    /// Resident memory in MB.
    pub fn rss(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mut lines = status.lines();
        let line = lines
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("status has VmRSS")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes / 1024.0)
    }

    fn url(&self, path: &str) -> String {
        let console = self.run["console_url"].as_str().unwrap_or_default();
        format!("{console}/api/v1/{path}")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok();
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// User and system time of a process, to a hundredth of a second.
pub fn ticks(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit(')').next().context("stat has a name")?;
    let times = after.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.map(|t| t.parse().unwrap_or(0)).sum();
    Ok(Duration::from_millis(ticks * 10))
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

/// A client that trusts the Console's own authority.
fn agent(ca: &[u8]) -> Result<ureq::Agent> {
    let ca = ureq::tls::Certificate::from_pem(ca)?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::new_with_certs(&[ca]))
        .unversioned_rustls_crypto_provider(std::sync::Arc::new(provider))
        .build();
    Ok(ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .new_agent())
}
