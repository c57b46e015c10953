//! The servers under test.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use coalmine_bench::Api;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::protocol::{PROTOCOLS, Protocol, find};

/// How long a server may take to start.
const MAX_START: Duration = Duration::from_secs(30);

/// A running server.
pub trait Server {
    /// For the table.
    fn name(&self) -> &'static str;
    /// Whether it speaks a protocol.
    fn offers(&self, protocol: &Protocol) -> bool;
    /// Where a protocol is spoken.
    fn target(&self, protocol: &Protocol) -> Result<SocketAddr>;
    /// Events of the protocol's kind so far.
    fn seen(&self, protocol: &Protocol) -> Result<usize>;
    /// Its process.
    fn pid(&self) -> u32;
    /// Times from an attempt to its incident, where there is an API to ask.
    fn latencies(&self, count: usize) -> Result<Option<Vec<Duration>>>;

    /// User and system time used so far.
    fn cpu(&self) -> Result<Duration> {
        coalmine_bench::cpu(self.pid(), false)
    }

    /// Resident memory in MB.
    fn rss(&self) -> Result<f64> {
        coalmine_bench::rss(self.pid())
    }
}

/// This project's program, with every pretended delay off.
pub struct Coalmine {
    child: Child,
    run: Value,
    console: Api,
    _dir: TempDir,
}

impl Coalmine {
    /// Starts it on an address of its own.
    pub fn start(program: &Path, protocols: &[&Protocol]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let config = protocols.iter().fold(
            "[[bird]]\nname = \"bench\"\npersonality = \"linux-nas\"\n".to_owned(),
            |config, protocol| config + protocol.config,
        );
        let (child, run) = coalmine_bench::start(program, dir.path(), "127.9.9.1", &config)?;
        Ok(Self {
            child,
            console: Api::new(&run)?,
            run,
            _dir: dir,
        })
    }

    /// Incidents with one event of each: looking should cost the server as little as can be.
    fn incidents(&self) -> Result<Vec<Value>> {
        let mut feed = self.console.get("incidents/all?event_limit=1")?;
        match feed["incidents"].take() {
            Value::Array(incidents) => Ok(incidents
                .into_iter()
                .map(|mut incident| incident["description"].take())
                .collect()),
            _ => bail!("no feed"),
        }
    }
}

impl Server for Coalmine {
    fn name(&self) -> &'static str {
        "Coalmine"
    }

    fn offers(&self, protocol: &Protocol) -> bool {
        self.target(protocol).is_ok()
    }

    fn target(&self, protocol: &Protocol) -> Result<SocketAddr> {
        let services = self.run["birds"][0]["services"].as_array();
        let service = services
            .into_iter()
            .flatten()
            .find(|s| s["id"] == protocol.id)
            .with_context(|| format!("no service {}", protocol.id))?;
        let port = u16::try_from(service["port"].as_u64().unwrap_or(0))?;
        Ok(SocketAddr::from(([127, 9, 9, 1], port)))
    }

    fn seen(&self, protocol: &Protocol) -> Result<usize> {
        let mut seen = 0;
        for incident in self.incidents()? {
            if incident["description"] == protocol.title {
                let count = incident["events_count"].as_str().unwrap_or_default();
                seen += count.parse::<usize>().unwrap_or(0);
            }
        }
        Ok(seen)
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn latencies(&self, count: usize) -> Result<Option<Vec<Duration>>> {
        let target = self.target(find("ftp").map_err(anyhow::Error::msg)?)?;
        let total = || self.incidents().map(|incidents| incidents.len());
        let mut times = Vec::new();
        for n in 0..count {
            let before = total()?;
            let source = IpAddr::from([127, 9, 8, u8::try_from(n)? + 1]);
            let start = Instant::now();
            login(source, target)?;
            while total()? == before {
                if start.elapsed() > Duration::from_secs(10) {
                    bail!("an attempt never became an incident");
                }
            }
            times.push(start.elapsed());
        }
        Ok(Some(times))
    }
}

impl Drop for Coalmine {
    fn drop(&mut self) {
        coalmine_bench::stop(&mut self.child);
    }
}

/// One FTP login from `source`, up to the password; an incident of its own.
fn login(source: IpAddr, target: SocketAddr) -> Result<()> {
    use std::io::{Read, Write};
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect(&target.into())?;
    let mut stream = std::net::TcpStream::from(socket);
    let mut answer = [0; 512];
    for command in ["USER a\r\n", "PASS b\r\n"] {
        let _ = stream.read(&mut answer)?;
        stream.write_all(command.as_bytes())?;
    }
    Ok(())
}

/// The best-known open decoy, from PyPI.
pub struct OpenCanary {
    child: Child,
    dir: TempDir,
}

impl OpenCanary {
    /// Starts it with `python`, in the foreground, on 127.0.0.1.
    pub fn start(python: &Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name);
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj",
                "/CN=peer", "-keyout",
            ])
            .arg(path("key.pem"))
            .arg("-out")
            .arg(path("cert.pem"))
            .stderr(Stdio::null())
            .status()?;
        if !made.success() {
            bail!("openssl made no certificate for the peer");
        }
        let mut config = json!({
            "device.node_id": "peer", "device.listen_addr": "127.0.0.1",
            "http.skin": "nasLogin", "https.skin": "nasLogin",
            "https.certificate": path("cert.pem"), "https.key": path("key.pem"),
            "logger": {"class": "PyLogger", "kwargs": {
                "formatters": {"plain": {"format": "%(message)s"}},
                "handlers": {"file": {"class": "logging.FileHandler", "filename": path("events")}},
            }},
        });
        for protocol in PROTOCOLS {
            if let Some((port, _)) = protocol.peer {
                config[format!("{}.enabled", protocol.id)] = true.into();
                config[format!("{}.port", protocol.id)] = port.into();
            }
        }
        // Its custom services are numbered.
        for (name, value) in [("enabled", json!(true)), ("initbanner", json!("hello"))] {
            config[format!("tcpbanner_1.{name}")] = value;
        }
        if let Some(entries) = config.as_object_mut()
            && let Some(port) = entries.remove("tcpbanner.port")
        {
            entries.insert("tcpbanner_1.port".to_owned(), port);
        }
        fs::write(path(".opencanary.conf"), config.to_string())?;
        let bin = python.parent().context("python lies in a folder")?;
        let child = Command::new(python)
            .arg(bin.join("twistd"))
            .args(["-noy"])
            .arg(bin.join("opencanary.tac"))
            .current_dir(dir.path())
            .env("HOME", dir.path())
            .stdin(Stdio::null())
            .stdout(fs::File::create(path("log"))?)
            .stderr(fs::File::create(path("errors"))?)
            .spawn()?;
        let peer = Self { child, dir };
        let end = Instant::now() + MAX_START;
        while std::net::TcpStream::connect(("127.0.0.1", 12306)).is_err() {
            if Instant::now() > end {
                bail!(
                    "OpenCanary doesn't start: {}",
                    fs::read_to_string(peer.dir.path().join("errors"))?
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(peer)
    }
}

impl Server for OpenCanary {
    fn name(&self) -> &'static str {
        "OpenCanary"
    }

    fn offers(&self, protocol: &Protocol) -> bool {
        protocol.peer.is_some()
    }

    fn target(&self, protocol: &Protocol) -> Result<SocketAddr> {
        let (port, _) = protocol.peer.context("the peer has no such module")?;
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn seen(&self, protocol: &Protocol) -> Result<usize> {
        let (port, logtype) = protocol.peer.context("the peer has no such module")?;
        let log = fs::read_to_string(self.dir.path().join("events")).unwrap_or_default();
        let logtype = format!("\"logtype\": {logtype},");
        let port = format!("\"dst_port\": {port},");
        Ok(log
            .lines()
            .filter(|l| l.contains(&logtype) && l.contains(&port))
            .count())
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn latencies(&self, _count: usize) -> Result<Option<Vec<Duration>>> {
        Ok(None)
    }
}

impl Drop for OpenCanary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
