//! Servers that keep nothing but a line in a log, as a measure of what answering alone costs here: the
//! bare pixel of nginx, the bare address of unbound.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::program::ZONE;

/// Where each listens.
const ADDRESS: ([u8; 4], u16) = ([127, 9, 9, 3], 18_080);

/// A running server; stopped when dropped.
pub struct Peer {
    child: Child,
    log: PathBuf,
    /// What stands in the log's line of a request.
    mark: &'static str,
}

impl Peer {
    /// nginx as one process, with a pixel for every path.
    pub fn nginx(program: &Path, dir: &Path) -> Result<Self> {
        let target = Self::target();
        let place = dir.display();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log {place}/errors;\n\
             events {{ worker_connections 1024; }}\nhttp {{\n  access_log {place}/log;\n  \
             keepalive_requests 1000;\n  client_body_temp_path {place};\n  \
             proxy_temp_path {place};\n  fastcgi_temp_path {place};\n  uwsgi_temp_path {place};\n  \
             scgi_temp_path {place};\n  server {{ listen {target}; location / {{ empty_gif; }} }}\n}}\n"
        );
        Self::start(program, &["-c"], dir, &config, "GET ")
    }

    /// unbound on one thread, with an address for every name of the zone.
    pub fn unbound(program: &Path, dir: &Path) -> Result<Self> {
        let (place, port) = (dir.display(), ADDRESS.1);
        let config = format!(
            "server:\n  do-daemonize: no\n  use-syslog: no\n  logfile: \"{place}/log\"\n  \
             log-queries: yes\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"{place}/pid\"\n  \
             directory: \"{place}\"\n  interface: {}@{port}\n  port: {port}\n  num-threads: 1\n  \
             access-control: 127.0.0.0/8 allow\n  module-config: \"iterator\"\n  \
             local-zone: \"{ZONE}.\" redirect\n  local-data: \"{ZONE}. 60 IN A 192.0.2.1\"\n\
             remote-control:\n  control-enable: no\n",
            Self::target().ip()
        );
        Self::start(program, &["-d", "-c"], dir, &config, ZONE)
    }

    fn start(
        program: &Path,
        options: &[&str],
        dir: &Path,
        config: &str,
        mark: &'static str,
    ) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let file = dir.join("config");
        fs::write(&file, config)?;
        let child = Command::new(program)
            .args(options)
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let peer = Self {
            child,
            log: dir.join("log"),
            mark,
        };
        let end = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(Self::target()).is_err() {
            if Instant::now() > end {
                bail!("{} doesn't start", program.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(peer)
    }

    /// Where it listens.
    pub fn target() -> SocketAddr {
        SocketAddr::from(ADDRESS)
    }

    /// User and system time used so far.
    pub fn cpu(&self) -> Result<Duration> {
        coalmine_bench::cpu(self.child.id(), false)
    }

    /// Requests in its log.
    pub fn seen(&self) -> Result<u64> {
        let log = fs::read_to_string(&self.log)?;
        Ok(log.lines().filter(|line| line.contains(self.mark)).count() as u64)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
