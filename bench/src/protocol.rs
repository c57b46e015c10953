//! What is measured: a row for each protocol.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::attempt::{ask, converse, datagram, ftp, http, https, mysql, ssh, telnet};
use crate::windows::{ldap, mssql, rdp, smb, winrm};

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
                ask(target, request.as_bytes(), b"ERR ").await
            })
        },
    },
    Protocol {
        id: "redis",
        title: "Redis Command",
        config: "[bird.redis]\n",
        cost: Cost::Plain,
        peer: Some((12379, 17001)),
        attempt: |target, n| {
            Box::pin(async move {
                let request = format!("*2\r\n$4\r\nAUTH\r\n$8\r\npw{n:06}\r\n");
                ask(target, request.as_bytes(), b"-").await
            })
        },
    },
    Protocol {
        id: "mongo",
        title: "Mongo Authentication Attempt",
        config: "[bird.mongo]\n",
        cost: Cost::Plain,
        peer: None,
        attempt: |target, n| {
            Box::pin(async move {
                // {listDatabases: 1, $db: "admin"}, with the number as request id.
                let mut request = b"\x40\0\0\0\x07\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x2b\0\0\0\
                    \x01listDatabases\0\0\0\0\0\0\0\xf0\x3f\x02$db\0\x06\0\0\0admin\0\0"
                    .to_vec();
                request[4..8].copy_from_slice(&u32::try_from(n)?.to_le_bytes());
                ask(target, &request, b"requires authentication").await
            })
        },
    },
    Protocol {
        id: "vnc",
        title: "VNC Login Attempt",
        config: "[bird.vnc]\nlockout = false\n",
        cost: Cost::Plain,
        peer: Some((12590, 12001)),
        attempt: |target, n| {
            Box::pin(async move {
                let answer = format!("answer {n:09}");
                let steps: [(&[u8], &[u8]); 4] = [
                    (b"RFB 003.008\n", b"RFB 003.008\n"),
                    (b"\x01\x02", b"\x02"),
                    (b"?", answer.as_bytes()),
                    (b"\0\0\0\x01", b""),
                ];
                converse(target, &steps).await
            })
        },
    },
    Protocol {
        id: "tn3270",
        title: "TN3270 Login Attempt",
        config: "[bird.tn3270]\nport = 992\n",
        cost: Cost::Plain,
        peer: None,
        attempt: |target, n| {
            Box::pin(async move {
                // Enter with `TSO POKE/` and six digits.
                let mut logon =
                    b"\0\0\0\0\0\x7d\x5a\x50\xe3\xe2\xd6\x40\xd7\xd6\xd2\xc5\x61".to_vec();
                logon.extend(format!("{n:06}").bytes().map(|digit| digit + 0xc0));
                logon.extend_from_slice(b"\xff\xef");
                let steps: [(&[u8], &[u8]); 5] = [
                    (b"\xff\xfd\x28", b"\xff\xfb\x28"),
                    (
                        b"\xff\xfa\x28\x08\x02",
                        b"\xff\xfa\x28\x02\x07IBM-3278-2-E\xff\xf0",
                    ),
                    (b"IBM-3278-2-E\x01", b"\xff\xfa\x28\x03\x07\xff\xf0"),
                    (b"\xff\xef", &logon),
                    // IKJ56421I.
                    (b"\xc9\xd2\xd1\xf5\xf6\xf4\xf2\xf1\xc9", b""),
                ];
                converse(target, &steps).await
            })
        },
    },
    Protocol {
        id: "httpproxy",
        title: "HTTP Proxy Request",
        config: "[bird.httpproxy]\n",
        cost: Cost::Plain,
        peer: Some((12081, 7001)),
        attempt: |target, n| {
            Box::pin(async move {
                let credentials = ["Zg==", "Zm8=", "Zm9v", "Zm9vYg=="][n % 4];
                let request = format!(
                    "GET http://bench.invalid/{n} HTTP/1.1\r\nHost: bench.invalid\r\n\
                     Proxy-Authorization: Basic dXNlcjpw{credentials}\r\n\r\n"
                );
                ask(target, request.as_bytes(), b" 407 ").await
            })
        },
    },
    Protocol {
        id: "modbus",
        title: "ModBus Request",
        config: "[bird.modbus]\n",
        cost: Cost::Plain,
        peer: None,
        attempt: |target, n| {
            Box::pin(async move {
                let mut request = *b"\0\x01\0\0\0\x06\x01\x03\0\0\0\x02";
                request[..2].copy_from_slice(&u16::try_from(n % 60_000)?.to_be_bytes());
                ask(target, &request, b"\0\0\0\x07\x01\x03\x04").await
            })
        },
    },
    Protocol {
        id: "tcpbanner",
        title: "Custom TCP Service Request",
        config: "[[bird.tcpbanner]]\ninitbanner = \"hello\"\n",
        cost: Cost::Plain,
        peer: Some((12801, 18001)),
        attempt: |target, _| Box::pin(async move { converse(target, &[(b"hello", b"")]).await }),
    },
    Protocol {
        id: "smb",
        title: "Shared File Opened",
        config: "[bird.smb]\n",
        cost: Cost::Plain,
        peer: None,
        attempt: |target, n| Box::pin(smb(target, n)),
    },
    Protocol {
        id: "rdp",
        title: "RDP Login Attempt",
        config: "[bird.rdp]\n",
        cost: Cost::Handshake,
        peer: Some((12389, 14001)),
        attempt: |target, n| Box::pin(rdp(target, n)),
    },
    Protocol {
        id: "mssql",
        title: "MSSQL Login Attempt",
        config: "[bird.mssql]\n",
        cost: Cost::Plain,
        peer: Some((12433, 9001)),
        attempt: |target, n| Box::pin(mssql(target, n)),
    },
    Protocol {
        id: "winrm",
        title: "WinRM Login Attempt",
        config: "[bird.winrm]\n",
        cost: Cost::Plain,
        peer: None,
        attempt: |target, n| Box::pin(winrm(target, n)),
    },
    Protocol {
        id: "ldap",
        title: "LDAP Bind Attempt Detected",
        config: "[bird.ldap]\n",
        cost: Cost::Plain,
        peer: None,
        attempt: |target, n| Box::pin(ldap(target, n)),
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
    Protocol {
        id: "sip",
        title: "SIP Request",
        config: "[bird.sip]\n",
        cost: Cost::Datagram,
        peer: Some((12506, 15001)),
        attempt: |target, n| {
            Box::pin(async move {
                let request = format!(
                    "OPTIONS sip:pbx SIP/2.0\r\nVia: SIP/2.0/UDP bench;branch=z9hG4bK{n}\r\n\
                     From: <sip:bench@bench>;tag={n}\r\nTo: <sip:pbx>\r\nCall-ID: {n}\r\n\
                     CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
                );
                datagram(target, request.as_bytes()).await
            })
        },
    },
    Protocol {
        id: "snmp",
        title: "SNMP Request",
        config: "[bird.snmp]\n",
        cost: Cost::Datagram,
        peer: Some((12161, 13001)),
        attempt: |target, n| {
            Box::pin(async move {
                // Version 2c, community "public": get sysServices.
                let mut request = b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x01\x2a\
                    \x02\x01\0\x02\x01\0\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x07\0\x05\0"
                    .to_vec();
                request[17] = u8::try_from(n % 128)?;
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
