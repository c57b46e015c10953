//! The file share: how fast `smbclient` reads from it beside Samba, and how soon other decoys answer
//! while many clients copy it. Needs `smbclient`, `smbd` and root.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use coalmine_bench::say;

/// Benchmark of the SMB decoy. Prints tables in Markdown.
#[derive(Parser)]
struct Arguments {
    /// The program, a release build.
    #[arg(long)]
    coalmine: PathBuf,
    /// Size of the file that is read, in MiB.
    #[arg(long, default_value_t = 512)]
    size: u64,
    /// Clients that copy the share at once.
    #[arg(long, default_value_t = 200)]
    clients: usize,
}

/// Where Coalmine listens.
const HOST: &str = "127.9.9.2";
/// Where Samba does.
const SAMBA_PORT: u16 = 12445;
/// How long a server may take to start.
const MAX_START: Duration = Duration::from_secs(30);
/// How long the clients may copy.
const MAX_COPY: Duration = Duration::from_secs(300);

/// How a client reads: name, arguments of `smbclient`.
const WAYS: &[(&str, &[&str])] = &[
    ("guest", &["-N"]),
    (
        "user, signed",
        &["-U", "root%bench", "--client-protection=sign"],
    ),
    (
        "user, encrypted",
        &["-U", "root%bench", "--client-protection=encrypt"],
    ),
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let dir = tempfile::tempdir()?;
    say("| reading | server | MB/s | server's CPU ms/GB |");
    say("|---|---|---|---|");
    let coalmine = Server::coalmine(
        &arguments.coalmine,
        &dir.path().join("one"),
        Some(arguments.size),
    )?;
    let samba = Server::samba(&dir.path().join("samba"), arguments.size)?;
    for (way, options) in WAYS {
        for server in [&coalmine, &samba] {
            let (took, cpu) = server.read(options)?;
            let bytes = arguments.size as f64 * 1024.0 * 1024.0;
            say(&format!(
                "| {way} | {} | {:.0} | {:.0} |",
                server.name,
                bytes / 1e6 / took.as_secs_f64(),
                cpu.as_secs_f64() * 1000.0 / (bytes / 1e9),
            ));
        }
    }
    drop((coalmine, samba));

    let server = Server::coalmine(&arguments.coalmine, &dir.path().join("many"), None)?;
    let quiet = server.probe(50)?;
    let mut clients = Vec::new();
    for n in 0..arguments.clients {
        let folder = dir.path().join(format!("copy{n}"));
        fs::create_dir(&folder)?;
        clients.push((server.copy(&folder)?, folder));
    }
    let begun = Instant::now();
    let mut busy = Vec::new();
    while clients
        .iter_mut()
        .any(|(child, _)| matches!(child.try_wait(), Ok(None)))
    {
        busy.extend(server.probe(1)?);
        if begun.elapsed() > MAX_COPY {
            for (child, _) in &mut clients {
                let _ = child.kill();
            }
            bail!("the clients don't come to an end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut files = Vec::new();
    for (mut child, folder) in clients {
        if !child.wait()?.success() {
            bail!("a client failed");
        }
        files.push(count(&folder)?);
    }
    files.dedup();
    say(&format!(
        "\n{} clients copied the share ({files:?} files each) in {:.0} s; server's memory {:.0} MB.\n",
        arguments.clients,
        begun.elapsed().as_secs_f64(),
        server.rss()?,
    ));
    say("| another decoy's answer | median | worst |");
    say("|---|---|---|");
    for (when, mut times) in [("quiet", quiet), ("meanwhile", busy)] {
        times.sort_unstable();
        let at = |part: usize| times.get((times.len().saturating_sub(1)) * part / 100);
        say(&format!(
            "| {when} | {:.1} ms | {:.1} ms |",
            at(50).map_or(0.0, |t| t.as_secs_f64() * 1000.0),
            at(100).map_or(0.0, |t| t.as_secs_f64() * 1000.0),
        ));
    }
    Ok(())
}

/// Files below a folder.
fn count(folder: &Path) -> Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files += match entry.file_type()?.is_dir() {
            true => count(&entry.path())?,
            false => 1,
        };
    }
    Ok(files)
}

/// A server with the share `Documents`.
struct Server {
    name: &'static str,
    child: Child,
    host: &'static str,
    port: u16,
    /// A decoy of another kind.
    other: Option<SocketAddr>,
}

impl Server {
    /// With one file of `size` MiB, or with what the decoy makes up.
    fn coalmine(program: &Path, dir: &Path, size: Option<u64>) -> Result<Self> {
        fs::create_dir(dir)?;
        let tree = size.map_or_else(String::new, |size| {
            format!(
                "filetree = [{{ name = 'disk.zip', type = 'file', size = {} }}]\n",
                size * 1024 * 1024
            )
        });
        let config = format!(
            "[[bird]]\nname = 'bench'\npersonality = 'bare'\n[bird.redis]\n[bird.smb]\n\
             users = [{{ name = 'root', password = 'bench' }}]\n{tree}"
        );
        let (child, run) = coalmine_bench::start(program, dir, HOST, &config)?;
        let port = |id: &str| {
            let services = run["birds"][0]["services"].as_array();
            let service = services.into_iter().flatten().find(|s| s["id"] == id);
            let port = service.and_then(|service| service["port"].as_u64());
            u16::try_from(port.with_context(|| format!("no service {id}"))?).context("no port")
        };
        Ok(Self {
            name: "Coalmine",
            child,
            host: HOST,
            port: port("smb")?,
            other: Some(format!("{HOST}:{}", port("redis")?).parse()?),
        })
    }

    /// Debian's `smbd` with a file of the same size on its disk.
    fn samba(dir: &Path, size: u64) -> Result<Self> {
        let share = dir.join("share");
        fs::create_dir_all(&share)?;
        let mut file = fs::File::create(share.join("disk.zip"))?;
        let mut block = vec![0; 1024 * 1024];
        fs::File::open("/dev/urandom")?.read_exact(&mut block)?;
        for _ in 0..size {
            file.write_all(&block)?;
        }
        let config = dir.join("smb.conf");
        let here = dir.display();
        fs::write(
            &config,
            format!(
                "[global]\nsmb ports = {SAMBA_PORT}\ninterfaces = 127.0.0.1/8\n\
                 bind interfaces only = yes\nprivate dir = {here}\nlock directory = {here}\n\
                 state directory = {here}\ncache directory = {here}\npid directory = {here}\n\
                 ncalrpc dir = {here}/ncalrpc\nlog file = {here}/log\nmap to guest = Bad User\n\
                 disable netbios = yes\nload printers = no\n\
                 [Documents]\npath = {here}/share\nguest ok = yes\nread only = yes\n\
                 force user = root\n"
            ),
        )?;
        let mut passwords = Command::new("smbpasswd")
            .arg("-c")
            .arg(&config)
            .args(["-s", "-a", "root"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("start smbpasswd")?;
        passwords
            .stdin
            .take()
            .context("a pipe")?
            .write_all(b"bench\nbench\n")?;
        if !passwords.wait()?.success() {
            bail!("smbpasswd failed");
        }
        let child = Command::new("smbd")
            .args(["--foreground", "--no-process-group", "-s"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // It ends its whole group when it ends.
            .process_group(0)
            .spawn()
            .context("start smbd")?;
        let server = Self {
            name: "Samba",
            child,
            host: "127.0.0.1",
            port: SAMBA_PORT,
            other: None,
        };
        let end = Instant::now() + MAX_START;
        while TcpStream::connect((server.host, server.port)).is_err() {
            if Instant::now() > end {
                bail!("smbd doesn't listen");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn client(&self) -> Command {
        let mut client = Command::new("nice");
        client
            .arg("smbclient")
            .arg(format!("//{}/Documents", self.host))
            .args(["-p", &self.port.to_string(), "-d", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        client
    }

    /// Reads the file once: time on the clock, time of the server.
    fn read(&self, options: &[&str]) -> Result<(Duration, Duration)> {
        let before = self.cpu()?;
        let begun = Instant::now();
        let status = self
            .client()
            .args(options)
            .args(["-c", "get disk.zip /dev/null"])
            .status()
            .context("start smbclient")?;
        let took = begun.elapsed();
        if !status.success() {
            bail!("smbclient can't read from {}", self.name);
        }
        // Samba counts a child's time once it has waited for it.
        std::thread::sleep(Duration::from_millis(500));
        Ok((took, self.cpu()?.saturating_sub(before)))
    }

    /// Starts to copy everything into `folder`.
    fn copy(&self, folder: &Path) -> Result<Child> {
        let mut client = self.client();
        client.args(["-N", "-c", "recurse on; prompt off; mget *"]);
        client
            .current_dir(folder)
            .spawn()
            .context("start smbclient")
    }

    /// How long another decoy takes to answer, so many times.
    fn probe(&self, times: usize) -> Result<Vec<Duration>> {
        let target = self.other.context("no other decoy")?;
        let mut took = Vec::new();
        for _ in 0..times {
            let begun = Instant::now();
            let mut stream = TcpStream::connect(target)?;
            stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
            let mut answer = [0; 1];
            stream.read_exact(&mut answer)?;
            took.push(begun.elapsed());
        }
        Ok(took)
    }

    /// User and system time, its ended children's too.
    fn cpu(&self) -> Result<Duration> {
        coalmine_bench::cpu(self.child.id(), true)
    }

    /// Resident memory in MB.
    fn rss(&self) -> Result<f64> {
        coalmine_bench::rss(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        coalmine_bench::stop(&mut self.child);
    }
}
