//! What each program says of the same packets: all of them watch the bird's machine at once, and
//! every line runs alone, from a machine of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use coalmine_bench::say;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::{BIRD, BIRD_MAC, Lab, bird};
use crate::program::Program;

const HOST: &str = "port scan";
const OS: &str = "OS detection";
const NULL: &str = "NULL scan";
const XMAS: &str = "XMAS scan";
const FIN: &str = "FIN scan";

/// Command lines and what they are.
const LINES: &[(&str, &[&str])] = &[
    ("nmap -sS -p20-60 {bird}", &[HOST]),
    ("nmap -sS -p60001-60010 {bird}", &[HOST]),
    ("nmap -sS -p22,80,139,443,445 {bird}", &[HOST]),
    ("nmap -sT -p20-60 {bird}", &[HOST]),
    ("nmap -sF -p20-60 {bird}", &[FIN]),
    ("nmap -sF -p60001-60010 {bird}", &[FIN]),
    ("nmap -sN -p20-60 {bird}", &[NULL]),
    ("nmap -sX -p20-60 {bird}", &[XMAS]),
    ("nmap -sX -p60001-60010 {bird}", &[XMAS]),
    ("nmap -sA -p20-60 {bird}", &[HOST]),
    ("nmap -sM -p20-60 {bird}", &[HOST]),
    (
        "nmap -sU -p53,123,161,500,1900,5000 --max-retries 0 {bird}",
        &[HOST],
    ),
    (
        "nmap -sV --version-intensity 0 -p22,80,139,445,8080 {bird}",
        &[HOST],
    ),
    ("nmap -O -p22,1 {bird}", &[OS]),
    ("nmap -O -p20-60 {bird}", &[OS, HOST]),
    ("nmap -sX -O -p22,1 {bird}", &[OS, XMAS]),
    ("nmap -sS -f -p20-40 {bird}", &[HOST]),
    ("nmap -sX -f -p20-40 {bird}", &[XMAS]),
    ("nmap -sS --scanflags SYNFIN -p20-40 {bird}", &[HOST]),
    ("nmap -sS --scanflags PSHURG -p20-40 {bird}", &[XMAS]),
    ("nmap -sS -T2 -p22,80,1,2,3,4 {bird}", &[HOST]),
    (
        "masscan {bird}/32 -p20-120 --rate 1000 --wait 0 -e eth0 --adapter-ip {me} --router-mac {mac}",
        &[HOST],
    ),
    ("hping3 -q -S --scan 1-20 {bird}", &[HOST]),
    ("hping3 -q -i u20000 -p ++60001 -c 12 {bird}", &[NULL]),
    (
        "hping3 -q -i u20000 -U -X -Y -p ++60001 -c 12 {bird}",
        &[XMAS],
    ),
    // Nothing of this is a scan of ports.
    ("nmap -sn -PE {bird}", &[]),
    ("nmap -sS -p22,80,443,1 {bird}", &[]),
    ("nmap --traceroute -sn -PS22 {bird}", &[]),
    ("hping3 -q -i u20000 -S -A -p ++60001 -c 40 {bird}", &[]),
    (
        "hping3 -q -i u20000 -S -A -s 80 -k -p ++20 -c 40 {bird}",
        &[],
    ),
    ("hping3 -q -i u20000 -R -p ++60001 -c 40 {bird}", &[]),
    ("hping3 -q -i u20000 -F -A -s 40000 -p 22 -c 40 {bird}", &[]),
    ("hping3 -q -i u20000 -S -p 81 -c 40 {bird}", &[]),
    ("hping3 -q -i u20000 -2 -p ++33434 -c 30 {bird}", &[]),
    ("hping3 -q -i u20000 -1 -c 20 {bird}", &[]),
    (
        "curl -s -o /dev/null -H Connection:close http://{bird}/[1-30]",
        &[],
    ),
];

/// The peers, with what they write.
struct Peers {
    dir: TempDir,
    syslog: Arc<Mutex<String>>,
    children: Vec<Child>,
    opencanary: bool,
}

/// Runs every line and prints the table.
pub fn run(coalmine: &Path, opencanary: Option<&Path>) -> Result<()> {
    let mut lab = Lab::new()?;
    let hosts: Result<Vec<_>> = LINES.iter().map(|_| lab.host()).collect();
    let program = Program::start(coalmine)?;
    let peers = Peers::start(opencanary)?;
    std::thread::sleep(Duration::from_secs(4));
    let hosts = hosts?;
    for ((namespace, address), (line, _)) in hosts.iter().zip(LINES) {
        let line = line
            .replace("{bird}", BIRD)
            .replace("{me}", address)
            .replace("{mac}", BIRD_MAC)
            .replace("nmap ", "nmap -n -Pn --send-ip ")
            .replace("-Pn --send-ip -sn", "-sn");
        Command::new("ip")
            .args(["netns", "exec", namespace, "timeout", "20"])
            .args(line.split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        std::thread::sleep(Duration::from_millis(300));
    }
    std::thread::sleep(Duration::from_secs(8));

    let psad = peers.psad()?;
    let mut names = vec!["Coalmine", "scanlogd", "portsentry", "psad"];
    if peers.opencanary {
        names.push("OpenCanary");
    }
    say(&format!("| | is | {} |", names.join(" | ")));
    say(&format!("|---|---|{}", "---|".repeat(names.len())));
    let mut right = vec![0; names.len()];
    let mut noticed = vec![0; names.len()];
    let mut alarms = vec![0; names.len()];
    for ((_, address), (line, is)) in hosts.iter().zip(LINES) {
        let incidents = program.incidents(address)?;
        let mut said = vec![
            incidents.iter().filter_map(coalmine_name).collect(),
            peers.scanlogd(address),
            peers.portsentry(address),
            psad_names(&psad, address),
        ];
        if peers.opencanary {
            said.push(peers.opencanary(address)?);
        }
        let truth: BTreeSet<_> = is.iter().copied().collect();
        let mut cells = Vec::new();
        for (n, said) in said.iter().enumerate() {
            let words = said.iter().copied().collect::<Vec<_>>().join(", ");
            cells.push(match (truth.is_empty(), said.is_empty()) {
                (true, true) | (false, true) => "nothing".to_owned(),
                (true, false) => {
                    alarms[n] += 1;
                    format!("false alarm: {words}")
                }
                (false, false) if *said == truth => {
                    right[n] += 1;
                    "named".to_owned()
                }
                (false, false) => {
                    noticed[n] += 1;
                    format!("as {words}")
                }
            });
        }
        let is = if is.is_empty() {
            "no scan".to_owned()
        } else {
            is.join(", ")
        };
        let line = line.replace("{bird}", "BIRD");
        say(&format!("| `{line}` | {is} | {} |", cells.join(" | ")));
    }
    let scans = LINES.iter().filter(|(_, is)| !is.is_empty()).count();
    let row = |name: &str, counts: &[usize], of: usize| {
        let cells: Vec<_> = counts.iter().map(|c| format!("{c} of {of}")).collect();
        say(&format!("| **{name}** | | {} |", cells.join(" | ")));
    };
    row("scans named", &right, scans);
    row("noticed, misnamed", &noticed, scans);
    row("false alarms", &alarms, LINES.len() - scans);
    Ok(())
}

impl Peers {
    /// Starts them on the bird's machine, their files in a temporary folder. Their `/dev/log` is a
    /// socket of ours. Firewall rules that log to the kernel's log, which no namespace but the
    /// host's has, log by way of `ulogd` to a file in the same form.
    fn start(opencanary: Option<&Path>) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name).display().to_string();
        for folder in ["dev", "etc", "bin", "psad"] {
            fs::create_dir(path(folder))?;
        }
        for file in ["psad.log", "canary.log", "events", "etc/portsentry.ignore"] {
            fs::write(path(file), "")?;
        }
        fs::create_dir_all("/run/scanlogd/empty")?;
        let syslog = Arc::new(Mutex::new(String::new()));
        listen(&path("dev/log"), Arc::clone(&syslog))?;

        // Debian's settings, but blocking nobody: a blocked host's next lines would go unseen.
        let settings: String = fs::read_to_string("/etc/portsentry/portsentry.conf")?
            .replace("/var/lib/portsentry", &path("etc"))
            .lines()
            .filter(|line| !line.starts_with("KILL_"))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(path("etc/portsentry.conf"), settings)?;
        for daemon in ["scanlogd", "portsentry -atcp", "portsentry -audp"] {
            let script = format!(
                "mount --bind {} /etc/portsentry && touch {dev}/null && \
                 mount --bind /dev/null {dev}/null && mount --rbind {dev} /dev && exec {daemon}",
                path("etc"),
                dev = path("dev"),
            );
            let status = Command::new("ip")
                .args(["netns", "exec", &bird(), "sh", "-c", &script])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()?;
            if !status.success() {
                bail!("{daemon} doesn't start");
            }
        }

        fs::write(path("ulogd.conf"), ulogd(dir.path()))?;
        let mut children = vec![
            Command::new("ulogd")
                .args(["-c", &path("ulogd.conf")])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?,
        ];
        for rule in [
            "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
            "-A INPUT -j NFLOG --nflog-group 1 --nflog-prefix psad:",
        ] {
            let rule = rule.split(' ');
            if !Command::new("iptables-legacy")
                .args(rule)
                .status()?
                .success()
            {
                bail!("no firewall rules in this namespace");
            }
        }
        if let Some(python) = opencanary {
            children.push(start_opencanary(python, dir.path())?);
        }
        Ok(Self {
            dir,
            syslog,
            children,
            opencanary: opencanary.is_some(),
        })
    }

    fn syslog(&self, program: &str, has: impl Fn(&str) -> bool) -> Vec<String> {
        let syslog = self.syslog.lock().map(|s| s.clone()).unwrap_or_default();
        let lines = syslog.lines().filter(|l| l.contains(program) && has(l));
        lines.map(str::to_owned).collect()
    }

    /// It tells the flags of the packets: a letter each, a capital for one that was set.
    fn scanlogd(&self, address: &str) -> BTreeSet<&'static str> {
        let from = format!("{address} to ");
        let from_port = format!("{address}:");
        let lines = self.syslog("scanlogd", |l| l.contains(&from) || l.contains(&from_port));
        let names = lines.iter().map(|line| {
            let mut words = line.split([',', ' ']);
            match words.find(|w| w.eq_ignore_ascii_case("fsrpauxy")) {
                Some("fsrpauxy") => NULL,
                Some("Fsrpauxy") => FIN,
                Some("FsrPaUxy") => XMAS,
                _ => HOST,
            }
        });
        names.collect()
    }

    fn portsentry(&self, address: &str) -> BTreeSet<&'static str> {
        let from = format!("from host: {address}/");
        let lines = self.syslog("portsentry", |l| l.contains(&from) && l.contains("scan"));
        let names = lines.iter().map(|line| match line {
            l if l.contains("NULL scan") => NULL,
            l if l.contains("XMAS scan") => XMAS,
            l if l.contains("FIN scan") => FIN,
            _ => HOST,
        });
        names.collect()
    }

    /// psad's report on the log.
    fn psad(&self) -> Result<String> {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let settings: String = fs::read_to_string("/etc/psad/psad.conf")?
            .lines()
            .map(|line| match line.split_whitespace().next() {
                Some("HOSTNAME") => "HOSTNAME bench;\n".to_owned(),
                Some("PSAD_DIR") => format!("PSAD_DIR {};\n", path("psad")),
                Some(w @ ("ENABLE_DNS_LOOKUPS" | "ENABLE_WHOIS_LOOKUPS")) => format!("{w} N;\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        fs::write(path("psad.conf"), settings)?;
        let output = Command::new("psad")
            .args(["-A", "-m", &path("psad.log"), "-c", &path("psad.conf")])
            .stdin(Stdio::null())
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn opencanary(&self, address: &str) -> Result<BTreeSet<&'static str>> {
        let events = fs::read_to_string(self.dir.path().join("events"))?;
        let events = events
            .lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let of = events.filter(|e| e["src_host"] == address);
        Ok(of
            .filter_map(|e| match e["logtype"].as_u64()? {
                5001 => Some(HOST),
                5002 => Some(OS),
                5003 => Some(NULL),
                5004 => Some(XMAS),
                5005 => Some(FIN),
                _ => None,
            })
            .collect())
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        // Those that went to the background, by the namespace that is ours alone.
        let pids = Command::new("ip").args(["netns", "pids", &bird()]).output();
        let pids = pids.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
        for pid in pids.unwrap_or_default().lines() {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let ours = matches!(name.trim(), "scanlogd" | "portsentry");
            let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid.filter(|_| ours) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
    }
}

/// Its module sets rules with `sudo` that log to the kernel's log; ours sends them to `ulogd`.
fn start_opencanary(python: &Path, dir: &Path) -> Result<Child> {
    let sudo = dir.join("bin/sudo");
    fs::write(
        &sudo,
        "#!/bin/bash\nwords=()\nfor word in \"$@\"; do case $word in\nLOG) words+=(NFLOG);;\n\
         --log-level=*) ;;\n--log-prefix=*) words+=(--nflog-prefix \"${word#--log-prefix=}\");;\n\
         *) words+=(\"$word\");;\nesac; done\nexec \"${words[@]}\"\n",
    )?;
    fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755))?;
    let config = json!({
        "device.node_id": "peer", "portscan.enabled": true,
        "portscan.logfile": dir.join("canary.log"),
        "logger": {"class": "PyLogger", "kwargs": {
            "formatters": {"plain": {"format": "%(message)s"}},
            "handlers": {"file": {"class": "logging.FileHandler", "filename": dir.join("events")}},
        }},
    });
    fs::write(dir.join(".opencanary.conf"), config.to_string())?;
    let bin = python.parent().context("python lies in a folder")?;
    symlink("/usr/sbin/iptables-legacy", dir.join("bin/iptables-legacy"))?;
    let search = format!(
        "{}:{}",
        dir.join("bin").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    // It declines to set rules where it takes the machine for a container.
    let application = dir.join("opencanary.tac");
    let text = fs::read_to_string(bin.join("opencanary.tac"))?;
    fs::write(&application, text.replace(" and is_docker()", " and False"))?;
    let log = fs::File::create(dir.join("canary.out"))?;
    Ok(Command::new(python)
        .arg(bin.join("twistd"))
        .arg("-noy")
        .arg(&application)
        .current_dir(dir)
        .env("HOME", dir)
        .env("PATH", search)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?)
}

/// Settings of `ulogd`: group 1 to psad's log, group 0 to OpenCanary's.
fn ulogd(dir: &Path) -> String {
    let mut text = "[global]\nlogfile=\"/dev/null\"\n".to_owned();
    for plugin in [
        "inppkt_NFLOG",
        "filter_IFINDEX",
        "filter_IP2STR",
        "filter_PRINTPKT",
        "filter_HWHDR",
        "raw2packet_BASE",
        "output_LOGEMU",
    ] {
        text += &format!("plugin=\"/usr/lib/x86_64-linux-gnu/ulogd/ulogd_{plugin}.so\"\n");
    }
    for n in [0, 1] {
        text += &format!(
            "stack=log{n}:NFLOG,base{n}:BASE,ifi{n}:IFINDEX,ip{n}:IP2STR,mac{n}:HWHDR,\
             print{n}:PRINTPKT,emu{n}:LOGEMU\n"
        );
    }
    for (n, file) in [(0, "canary.log"), (1, "psad.log")] {
        let file = dir.join(file);
        text += &format!(
            "[log{n}]\ngroup={n}\n[emu{n}]\nfile=\"{}\"\nsync=1\n",
            file.display()
        );
    }
    text
}

/// Keeps what programs say to the system's log.
fn listen(path: &str, syslog: Arc<Mutex<String>>) -> Result<()> {
    let socket = UnixDatagram::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    std::thread::spawn(move || {
        let mut buffer = [0; 4_096];
        loop {
            match socket.recv(&mut buffer) {
                Ok(size) => {
                    let line = String::from_utf8_lossy(buffer.get(..size).unwrap_or_default());
                    let mut syslog = syslog.lock().unwrap_or_else(|e| e.into_inner());
                    *syslog += &line;
                    syslog.push('\n');
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    Ok(())
}

fn coalmine_name(incident: &Value) -> Option<&'static str> {
    match incident["summary"].as_str()? {
        "Host Port Scan" => Some(HOST),
        "NMAP OS Scan Detected" => Some(OS),
        "NMAP NULL Scan Detected" => Some(NULL),
        "NMAP XMAS Scan Detected" => Some(XMAS),
        "NMAP FIN Scan Detected" => Some(FIN),
        _ => None,
    }
}

/// A source with a danger level is a scan; signatures say which.
fn psad_names(report: &str, address: &str) -> BTreeSet<&'static str> {
    let start = format!("SRC:  {address}, DL: ");
    let Some((_, of)) = report.split_once(&start) else {
        return BTreeSet::new();
    };
    let of = of.split("SRC:  ").next().unwrap_or_default();
    if of.starts_with('0') {
        return BTreeSet::new();
    }
    let signatures = of.lines().filter_map(|l| l.split_once("Signature match: "));
    let mut names: BTreeSet<_> = signatures
        .filter_map(|(_, name)| match name {
            n if n.contains("SCAN FIN") => Some(FIN),
            n if n.contains("SCAN NULL") => Some(NULL),
            n if n.contains("XMAS") => Some(XMAS),
            n if n.contains("fingerprint") => Some(OS),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        names.insert(HOST);
    }
    names
}
