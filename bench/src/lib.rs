//! What the benchmarks share: the program under test, its API, and what /proc says of a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// How long a program may take to start.
const MAX_START: Duration = Duration::from_secs(30);

/// Starts `coalmine up` on `host`, whose Console is there on port 18443 and whose other ports are higher
/// by 10000; gives the process and what its run.json says. Configuration, data and log are in `dir`,
/// which may have been used before.
///
/// # Errors
/// Where it doesn't get ready.
pub fn start(program: &Path, dir: &Path, host: &str, config: &str) -> Result<(Child, Value)> {
    let file = dir.join("bench.toml");
    fs::write(&file, config)?;
    let data = dir.join("data");
    let announced = data.join("run.json");
    if announced.exists() {
        fs::remove_file(&announced)?;
    }
    let mut child = Command::new(program)
        .args(["up", "--listen", host, "--console"])
        .arg(format!("{host}:18443"))
        .args(["--port-shift", "10000", "--data"])
        .arg(&data)
        .arg("--config")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(fs::File::create(dir.join("log"))?)
        .stderr(Stdio::inherit())
        .spawn()?;
    let end = Instant::now() + MAX_START;
    loop {
        if let Ok(text) = fs::read(&announced)
            && let Ok(run) = serde_json::from_slice(&text)
        {
            return Ok((child, run));
        }
        if child.try_wait()?.is_some() || Instant::now() > end {
            bail!("coalmine up doesn't get ready");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asks a process to end, and waits until it has.
pub fn stop(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok();
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let _ = child.wait();
}

/// The Console's API, over connections that stay open.
pub struct Api {
    agent: ureq::Agent,
    key: String,
    root: String,
}

impl Api {
    /// That of the program that `run` is of. It trusts the Console's own authority.
    ///
    /// # Errors
    /// Where key or authority can't be read.
    pub fn new(run: &Value) -> Result<Self> {
        let read = |path: &str| fs::read_to_string(run[path].as_str().unwrap_or_default());
        let key = read("client_config")?
            .lines()
            .find_map(|line| line.strip_prefix("api_key"))
            .map(|key| key.trim_matches([' ', '=']).to_owned())
            .context("the client file names a key")?;
        let ca = ureq::tls::Certificate::from_pem(read("ca_file")?.as_bytes())?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::new_with_certs(&[ca]))
            .unversioned_rustls_crypto_provider(std::sync::Arc::new(provider))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        let url = run["console_url"].as_str().unwrap_or_default();
        Ok(Self {
            agent,
            key,
            root: format!("{url}/api/v1/"),
        })
    }

    /// The answer's bytes; `path` after `/api/v1/`.
    ///
    /// # Errors
    /// Where the answer isn't 200.
    pub fn download(&self, path: &str) -> Result<Vec<u8>> {
        let request = self.agent.get(format!("{}{path}", self.root));
        let mut answer = request.header("X-Canary-Auth-Token", &self.key).call()?;
        let bytes = answer.body_mut().with_config().limit(1 << 28);
        Ok(bytes.read_to_vec()?)
    }

    /// The answer.
    ///
    /// # Errors
    /// Where it isn't 200, or no JSON.
    pub fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.download(path)?)?)
    }

    /// The answer to a body of this type.
    ///
    /// # Errors
    /// Where it isn't 200, or no JSON.
    pub fn post(&self, path: &str, mime: &str, body: &[u8]) -> Result<Value> {
        let request = self
            .agent
            .post(format!("{}{path}", self.root))
            .header("X-Canary-Auth-Token", &self.key)
            .header("Content-Type", mime);
        let mut answer = request.send(body)?;
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
    }
}

/// User and system time of a process, to a hundredth of a second; with `ended`, that of its ended
/// children too.
///
/// # Errors
/// Where there is no such process.
pub fn cpu(pid: u32, ended: bool) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ticks(&stat, if ended { 4 } else { 2 })
}

/// User and system time of a `stat` file of /proc, its first `fields` numbers.
///
/// # Errors
/// Where it is none.
pub fn ticks(stat: &str, fields: usize) -> Result<Duration> {
    let after = stat.rsplit(')').next().context("stat has a name")?;
    let times = after.split_whitespace().skip(11).take(fields);
    let ticks: u64 = times.map(|t| t.parse().unwrap_or(0)).sum();
    // Linux counts in hundredths of a second.
    Ok(Duration::from_millis(ticks * 10))
}

/// Resident memory of a process in MB.
///
/// # Errors
/// Where there is no such process.
pub fn rss(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut lines = status.lines();
    let line = lines
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("status has VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}

/// `coalmine` in the folder of this program.
///
/// # Errors
/// Where there is none.
pub fn beside() -> Result<PathBuf> {
    let mut path = std::env::current_exe()?;
    path.set_file_name("coalmine");
    path.is_file()
        .then_some(path)
        .context("build the program first: cargo build --release")
}

/// Prints a line of a table.
#[expect(
    clippy::print_stdout,
    reason = "the tables are what these programs are for"
)]
pub fn say(line: &str) {
    println!("{line}");
}
