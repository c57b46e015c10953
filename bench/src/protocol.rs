//! What is measured: a row for each protocol.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::attempt::{ask, datagram, ftp, http, https, mysql, ssh, telnet};

/// An attempt that takes longer has failed.
const MAX_TIME: Duration = Duration::from_secs(20);

type Attempt = fn(SocketAddr, usize) -> Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// One protocol.
pub struct Protocol {
    /// Name of the service in `run.json`, and of the peer's module.
    pub id: &'static str,
    /// Title of its incidents.
    pub title: &'static str,
    /// What the bird's configuration needs for it.
    pub config: &'static str,
    /// How it costs its clients.
    pub cost: Cost,
    /// Port of the peer's module and logtype of what it sees; `None` where it has no such module.
    pub peer: Option<(u16, u32)>,
    attempt: Attempt,
}

/// How attempts are dosed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// As fast as they are answered.
    Plain,
    /// The same, but a tenth of the number.
    Handshake,
    /// Nothing is waited for; 2,000 a second in all.
    Datagram,
}

impl Protocol {
    /// Makes attempt number `n` at `target`.
    pub async fn attempt(&self, target: SocketAddr, n: usize) -> Result<()> {
        tokio::time::timeout(MAX_TIME, (self.attempt)(target, n))
            .await
            .context("no verdict")?
    }
}

/// All of them, in the order of the table.
pub static PROTOCOLS: &[Protocol] = &[
    Protocol {
        id: "http",
        title: "HTTP Login Attempt",
        config: "[[bird.http]]\nlogin_delay_ms = 0\n",
        cost: Cost::Plain,
        peer: Some((12080, 3001)),
        attempt: |target, n| Box::pin(http(target, n)),
    },
    Protocol {
        id: "https",
        title: "HTTP Login Attempt",
        config: "[[bird.https]]\nlogin_delay_ms = 0\n",
        cost: Cost::Handshake,
        peer: Some((12443, 3001)),
        attempt: |target, n| Box::pin(https(target, n)),
    },
    Protocol {
        id: "ssh",
        title: "SSH Login Attempt",
        config: "[[bird.ssh]]\nauth_delay_ms = 0\n",
        cost: Cost::Handshake,
        peer: Some((12022, 4002)),
        attempt: |target, n| Box::pin(ssh(target, n)),
    },
    Protocol {
        id: "ftp",
        title: "FTP Login Attempt",
        config: "[bird.ftp]\nlogin_delay_ms = 0\n",
        cost: Cost::Plain,
        peer: Some((12021, 2000)),
        attempt: |target, n| Box::pin(ftp(target, n)),
    },
    Protocol {
        id: "telnet",
        title: "Telnet Login Attempt",
        config: "[bird.telnet]\nlogin_delay_ms = 0\n",
        cost: Cost::Plain,
        peer: Some((12023, 6001)),
        attempt: |target, n| Box::pin(telnet(target, n)),
    },
    Protocol {
        id: "mysql",
        title: "MySQL Login Attempt",
        config: "",
        cost: Cost::Plain,
        peer: Some((12306, 8001)),
        attempt: |target, n| Box::pin(mysql(target, n)),
    },
    Protocol {
        id: "git",
        title: "Git Repository Clone Attempt",
        config: "[bird.git]\n",
        cost: Cost::Plain,
        peer: Some((12418, 16001)),
        attempt: |target, n| {
            Box::pin(async move {
                let request = format!("git-upload-pack /repo{n:06}.git\0host=bench\0");
                let request = format!("{:04x}{request}", request.len() + 4);
                ask(target, request.as_bytes(), &[b"ERR "]).await
            })
        },
    },
    Protocol {
        id: "tftp",
        title: "TFTP Request",
        config: "",
        cost: Cost::Datagram,
        peer: Some((12069, 10001)),
        attempt: |target, n| {
            Box::pin(async move {
                let request = format!("\0\x01file{n}\0octet\0");
                datagram(target, request.as_bytes()).await
            })
        },
    },
    Protocol {
        id: "ntp",
        title: "NTP Monlist Request",
        config: "",
        cost: Cost::Datagram,
        peer: Some((12123, 11001)),
        attempt: |target, _| {
            Box::pin(async move {
                // Mode 7, implementation XNTPD, request MON_GETLIST_1.
                let mut request = vec![0x17, 0, 3, 42];
                request.resize(48, 0);
                datagram(target, &request).await
            })
        },
    },
];

/// The row of a name.
///
/// # Errors
/// When there is none.
pub fn find(id: &str) -> Result<&'static Protocol, String> {
    PROTOCOLS
        .iter()
        .find(|protocol| protocol.id == id)
        .ok_or_else(|| format!("no protocol {id}"))
}
