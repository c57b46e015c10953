//! The bare pixel of a web server that keeps nothing but a line in its log, as a measure of what HTTP
//! itself costs here.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const ADDRESS: &str = "127.9.9.3:18080";

/// A running nginx; stopped when dropped.
pub struct Nginx {
    child: Child,
    log: std::path::PathBuf,
}

impl Nginx {
    /// Starts it as one process, with a pixel for every path.
    pub fn start(program: &Path, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let config = dir.join("nginx.conf");
        let log = dir.join("access.log");
        fs::write(
            &config,
            format!(
                "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log {0}/errors;\n\
                 events {{ worker_connections 1024; }}\nhttp {{\n  access_log {1};\n  \
                 keepalive_requests 1000;\n  client_body_temp_path {0};\n  proxy_temp_path {0};\n  \
                 fastcgi_temp_path {0};\n  uwsgi_temp_path {0};\n  scgi_temp_path {0};\n  server {{ \
                 listen {ADDRESS}; location / {{ empty_gif; }} }}\n}}\n",
                dir.display(),
                log.display()
            ),
        )?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let nginx = Self { child, log };
        let end = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(ADDRESS).is_err() {
            if Instant::now() > end {
                bail!("nginx doesn't start");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(nginx)
    }

    /// Where it listens.
    pub fn target(&self) -> Result<SocketAddr> {
        Ok(ADDRESS.parse()?)
    }

    /// User and system time used so far.
    pub fn cpu(&self) -> Result<Duration> {
        coalmine_bench::cpu(self.child.id(), false)
    }

    /// Requests in its log.
    pub fn seen(&self) -> Result<u64> {
        Ok(fs::read_to_string(&self.log)?.lines().count() as u64)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
