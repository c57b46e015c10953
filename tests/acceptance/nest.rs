//! One running Coalmine and the means to look at it.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Everything that the clients of a test may take together.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pretended delays are real time in a test: short where the test isn't about them.
pub const QUICK: &str = "
[[bird]]
name = \"files-02\"
personality = \"linux-nas\"
[bird.ftp]
login_delay_ms = 20
[bird.telnet]
login_delay_ms = 20
[[bird.ssh]]
auth_delay_ms = 20
keyboard_interactive = true
[[bird.http]]
login_delay_ms = 20
[[bird.https]]
login_delay_ms = 20
";

/// A running program; stopped when dropped.
pub struct Nest {
    child: Child,
    /// Its data folder's parent.
    pub dir: TempDir,
    /// The address its birds, channels and Console listen on.
    pub address: IpAddr,
    /// `run.json`.
    pub run: Value,
    agent: ureq::Agent,
    key: String,
}

impl Nest {
    /// Starts with `config` (TOML).
    pub fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config)
    }

    /// Starts on a folder that may have been used before.
    pub fn start_in(dir: TempDir, config: &str) -> Self {
        Self::start_at(own_address(), 10_000, dir, config)
    }

    /// Starts on `address`, every standard port moved up by `shift`.
    pub fn start_at(address: IpAddr, shift: u16, dir: TempDir, config: &str) -> Self {
        let file = dir.path().join("coalmine.toml");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut child = Command::new(program())
            .args(["up", "--port-shift", &shift.to_string()])
            .arg("--data")
            .arg(data(&dir))
            .arg("--config")
            .arg(&file)
            .args(["--listen", &address.to_string()])
            .args(["--console", &format!("{address}:8443")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let run = await_some(|| {
            if let Some(status) = child.try_wait().unwrap() {
                let said = std::fs::read_to_string(dir.path().join("log")).unwrap();
                panic!("coalmine up ended with {status}:\n{said}");
            }
            let text = std::fs::read(data(&dir).join("run.json")).ok()?;
            let run = serde_json::from_slice::<Value>(&text).ok()?;
            // One that a killed program left behind doesn't count.
            (run["pid"] == child.id()).then_some(run)
        })
        .expect("coalmine up never got ready");
        let client_config =
            std::fs::read_to_string(run["client_config"].as_str().unwrap()).unwrap();
        let key = client_config
            .lines()
            .find_map(|line| line.strip_prefix("api_key"))
            .map(|rest| rest.trim_start_matches([' ', '=']).trim().to_owned())
            .expect("the client config names a key");
        let agent = agent(Path::new(run["ca_file"].as_str().unwrap()));
        Self {
            child,
            dir,
            address,
            run,
            agent,
            key,
        }
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        data(&self.dir)
    }

    /// The port of the first service `id`.
    pub fn port(&self, id: &str) -> u16 {
        let services = self.run["birds"][0]["services"].as_array().unwrap();
        let service = services.iter().find(|s| s["id"] == id);
        let service = service.unwrap_or_else(|| panic!("no service {id} in {services:?}"));
        u16::try_from(service["port"].as_u64().unwrap()).unwrap()
    }

    /// Asks the API; `path` after `/api/v1/`, with its query.
    pub fn api(&self, path: &str) -> Value {
        let url = format!(
            "{}/api/v1/{path}",
            self.run["console_url"].as_str().unwrap()
        );
        let mut answer = self
            .agent
            .get(&url)
            .header("X-Canary-Auth-Token", &self.key)
            .call()
            .unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Posts a form to the API.
    pub fn post(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let url = format!(
            "{}/api/v1/{path}",
            self.run["console_url"].as_str().unwrap()
        );
        let mut answer = self
            .agent
            .post(&url)
            .header("X-Canary-Auth-Token", &self.key)
            .send_form(form.iter().copied())
            .unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// The one incident of this title, as the feed shows it, once it has `events` events. Panics
    /// with what's there if it doesn't come, if there are several, or if there are more events.
    pub fn incident(&self, title: &str, events: usize) -> Value {
        let mut last = Value::Null;
        let found = await_some(|| {
            last = self.api("incidents/all");
            let of_title: Vec<_> = last["incidents"]
                .as_array()?
                .iter()
                .filter(|i| i["summary"] == title)
                .collect();
            let one = of_title.first()?;
            let count: usize = one["description"]["events_count"].as_str()?.parse().ok()?;
            (of_title.len() == 1 && count >= events).then(|| (**one).clone())
        })
        .unwrap_or_else(|| panic!("no single {title:?} with {events} events in {last:#}"));
        assert_eq!(
            found["description"]["events_count"],
            events.to_string(),
            "{found:#}"
        );
        found
    }

    /// How many incidents of this title there are now.
    pub fn count(&self, title: &str) -> usize {
        let all = self.api("incidents/all");
        let all = all["incidents"].as_array().unwrap();
        all.iter().filter(|i| i["summary"] == title).count()
    }

    /// Runs `nmap` with these arguments on `port`, which it takes for the standard port `like`: it
    /// sends the probes for that one first. What it prints.
    pub fn nmap_as(&self, port: u16, like: u16, arguments: &[&str]) -> String {
        let probes = std::fs::read("/usr/share/nmap/nmap-service-probes").unwrap();
        let probes: Vec<_> = String::from_utf8_lossy(&probes)
            .lines()
            .map(|line| match line.strip_prefix("ports ") {
                Some(ports) if ports.split(',').any(|p| p == like.to_string()) => {
                    format!("{line},{port}\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        let file = self.dir.path().join("nmap-service-probes");
        std::fs::write(&file, probes.concat()).unwrap();
        let port = port.to_string();
        let address = self.address.to_string();
        let mut all = vec![
            "--versiondb",
            file.to_str().unwrap(),
            "-Pn",
            "-n",
            "-p",
            &port,
        ];
        all.extend(arguments);
        all.push(&address);
        client("nmap", &all)
    }

    /// Runs `python -m` style code with the official client's configuration in place; what it
    /// prints as JSON.
    pub fn python(&self, code: &str) -> Option<Value> {
        self.python_with(code, &[])
    }

    /// The same with more in its environment.
    pub fn python_with(&self, code: &str, more: &[(&str, &str)]) -> Option<Value> {
        let python = python()?;
        let run = &self.run;
        let output = Command::new(python)
            .arg("-c")
            .arg(code)
            .env("CLIENT_CONFIG", run["client_config"].as_str().unwrap())
            .env("REQUESTS_CA_BUNDLE", run["ca_file"].as_str().unwrap())
            .env("CONSOLE_URL", run["console_url"].as_str().unwrap())
            .envs(more.iter().copied())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Some(serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}")))
    }

    /// Runs the program's own command line on this folder; what it prints.
    pub fn coalmine(&self, arguments: &[&str]) -> String {
        let output = Command::new(program())
            .args(arguments)
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}\n{errors}");
        said
    }

    /// What it has printed and logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// SIGKILL, as a power cut of the process; the folder is kept.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    /// SIGTERM, as an operator stops it; the folder is kept.
    pub fn stop(mut self) -> TempDir {
        terminate(&mut self.child);
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

fn terminate(child: &mut Child) {
    let Some(pid) = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()) else {
        return;
    };
    if child.try_wait().unwrap().is_some() {
        return;
    }
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let end = Instant::now() + Duration::from_secs(15);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("coalmine didn't stop within 15 seconds of SIGTERM");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Calls `look` until it gives something, for [`PATIENCE`] at most.
pub fn await_some<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A client's run: what it printed on both channels, whatever its exit code.
pub fn client(program: &str, arguments: &[&str]) -> String {
    client_with_input(program, arguments, "")
}

/// The same with something on its standard input.
pub fn client_with_input(program: &str, arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    let mut child = Command::new("timeout")
        .args(["-k", "1", "60", program])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("LC_ALL", "C")
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feeder = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let mut stderr = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stderr.read_to_end(&mut said);
        said
    });
    let mut said = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    child.wait().unwrap();
    feeder.join().unwrap();
    said.extend(errors.join().unwrap());
    String::from_utf8_lossy(&said).into_owned()
}

/// Whether `program` is installed. Says so when it isn't; under CI that's a failure.
pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if !found {
        missing(program);
    }
    found
}

/// Python with the pinned clients, which `./test` installs.
pub fn python() -> Option<PathBuf> {
    let found = std::env::var_os("COALMINE_TEST_PYTHON").map(PathBuf::from);
    if found.is_none() {
        missing("Python environment (COALMINE_TEST_PYTHON, set by ./test)");
    }
    found
}

/// A program beside the Python of the tests.
pub fn beside_python(program: &str) -> Option<PathBuf> {
    let found = python()?.with_file_name(program);
    if !found.is_file() {
        missing(program);
        return None;
    }
    Some(found)
}

/// Says that a test is skipped for want of something; under CI that's a failure.
pub fn missing(what: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{what} is missing and CI must have it"
    );
    eprintln!("SKIPPED: {what} is missing");
}

/// The program under test, built beside the tests.
pub fn program() -> PathBuf {
    if let Some(given) = std::env::var_os("COALMINE_BIN") {
        return given.into();
    }
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("coalmine");
    assert!(path.is_file(), "{} isn't built: run ./test", path.display());
    path
}

fn data(dir: &TempDir) -> PathBuf {
    dir.path().join("data")
}

/// A loopback address that no other start uses: from the process id and a count.
fn own_address() -> IpAddr {
    static STARTS: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let count = STARTS.fetch_add(1, Ordering::Relaxed) % 250;
    IpAddr::V4(Ipv4Addr::new(127, 64 | (high & 63), low, count + 1))
}

/// A port that nothing listens on at 127.0.0.1, over TCP and UDP, and that no other start of a test is
/// given: from the process id and a count. High enough to be shifted down by 10000, and below those
/// that the system gives to clients.
pub fn free_port() -> u16 {
    static PORTS: AtomicU8 = AtomicU8::new(0);
    loop {
        let count = u32::from(PORTS.fetch_add(1, Ordering::Relaxed));
        let port = 22_000 + (std::process::id() % 1_300 * 8 + count) % 10_400;
        let at = (Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap());
        if TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok() {
            return at.1;
        }
    }
}

fn agent(ca_file: &Path) -> ureq::Agent {
    let pem = std::fs::read(ca_file).unwrap();
    let ca = ureq::tls::Certificate::from_pem(&pem).unwrap();
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::new_with_certs(&[ca]))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .new_agent()
}

/// A client that npm has, which `./test` installs.
pub fn npm(program: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("COALMINE_TEST_NPM").map(PathBuf::from);
    let found = folder
        .map(|folder| folder.join(program))
        .filter(|p| p.exists());
    if found.is_none() {
        missing(&format!("{program} (COALMINE_TEST_NPM, set by ./test)"));
    }
    found
}
