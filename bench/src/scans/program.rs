//! The program under test, on the bird's machine, and what /proc says of a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use coalmine_bench::ticks;
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::BIRD;

/// How long it may take to start.
const MAX_START: Duration = Duration::from_secs(30);

/// A running Coalmine; stopped when dropped.
pub struct Program {
    path: PathBuf,
    child: Child,
    dir: TempDir,
}

impl Program {
    /// Starts it with one bird; its Console is on loopback only.
    pub fn start(path: &Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let config = dir.path().join("coalmine.toml");
        let bird = format!(
            "[[bird]]\nname = \"bench\"\npersonality = \"linux-nas\"\naddress = \"{BIRD}\"\n"
        );
        fs::write(&config, bird)?;
        let log = fs::File::create(dir.path().join("log"))?;
        let child = Command::new(path)
            .args([
                "up",
                "--listen",
                "127.0.0.1",
                "--console",
                "127.0.0.1:8443",
                "--data",
            ])
            .arg(dir.path().join("data"))
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut program = Self {
            path: path.to_owned(),
            child,
            dir,
        };
        let end = Instant::now() + MAX_START;
        while !program.dir.path().join("data/run.json").exists() {
            if program.child.try_wait()?.is_some() || Instant::now() > end {
                let log = fs::read_to_string(program.dir.path().join("log"))?;
                bail!("coalmine up doesn't get ready: {log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(program)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The incidents of a source, as its command line tells them.
    pub fn incidents(&self, source: &str) -> Result<Vec<Value>> {
        let output = Command::new(&self.path)
            .args(["incidents", "--json", "--data"])
            .arg(self.dir.path().join("data"))
            .output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8(output.stdout)?;
        let all = text.lines().map(serde_json::from_str::<Value>);
        let all = all.collect::<Result<Vec<_>, _>>()?;
        Ok(all
            .into_iter()
            .filter(|i| i["src_host"] == source)
            .collect())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        coalmine_bench::stop(&mut self.child);
    }
}

/// User and system time of a process, or of its threads of one name.
pub fn cpu(pid: u32, thread: Option<&str>) -> Result<Duration> {
    let mut files = vec![format!("/proc/{pid}")];
    if let Some(thread) = thread {
        files.clear();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            if fs::read_to_string(task.join("comm"))?.trim() == thread {
                files.push(task.display().to_string());
            }
        }
    }
    let mut times = Duration::ZERO;
    for file in files {
        times += ticks(&fs::read_to_string(format!("{file}/stat"))?, 2)?;
    }
    Ok(times)
}
