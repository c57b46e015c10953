//! `cargo xtask fuzz`: every decoy, the watcher of packets and the shared codecs against libFuzzer, with the stable compiler.
//!
//! Only our own crates are compiled for coverage (`fuzz/rustc-with-coverage`); what they depend on is
//! what the tests were built with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Longest conversation, in bytes.
const MAX_LENGTH: u32 = 16 * 1024;
/// A conversation that takes longer is a finding, in seconds.
const MAX_TIME: u32 = 10;
/// A fuzzer that needs more memory has found something, in MB.
const MAX_MEMORY: u32 = 1024;
/// Spoken by a library over a stream, which made-up bytes alone don't get far with.
const NOT_OURS: &[&str] = &["ssh"];
/// Not a decoy: frames for the watcher of packets.
const PACKETS: &str = "packets";
/// Mails, logins, handshakes and requests for the token channels.
const CHANNELS: &str = "channels";
/// Names that somebody looks up, with data for tokens.
const NAMES: &str = "names";
/// Files that somebody uploads for tokens.
const UPLOADS: &str = "uploads";
/// Not a decoy either: tokens for the codecs of `crates/wire`.
const WIRE: &str = "wire";

/// Fuzzes `decoys` (all if none is named) for `seconds` each, as many at once as there are cores.
/// What is learnt stays in `target/fuzz/<decoy>` for the next run.
pub fn run(root: &Path, seconds: u32, decoys: &[String]) -> Result<()> {
    let all = all(root)?;
    for decoy in decoys {
        if !all.contains(decoy) {
            bail!("there is no decoy {decoy}; there are {}", all.join(", "));
        }
    }
    let targets = build(root)?;
    let left = Mutex::new(if decoys.is_empty() {
        all
    } else {
        decoys.to_vec()
    });
    let failed = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(decoy) = left.lock().ok().and_then(|mut left| left.pop()) {
                    if let Err(error) = one(&targets, &decoy, seconds) {
                        eprintln!("{decoy}: {error:#}");
                        failed.lock().map(|mut failed| failed.push(decoy)).ok();
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    if !failed.is_empty() {
        bail!("broken by made-up conversations: {}", failed.join(", "));
    }
    Ok(())
}

/// Every decoy's id, [`CHANNELS`], [`NAMES`], [`PACKETS`], [`UPLOADS`] and [`WIRE`]: the files of the rooms, which a test holds against the registry.
fn all(root: &Path) -> Result<Vec<String>> {
    let mut ids = [CHANNELS, NAMES, PACKETS, UPLOADS, WIRE]
        .map(str::to_owned)
        .to_vec();
    for room in std::fs::read_dir(root.join("decoys"))? {
        let Ok(files) = std::fs::read_dir(room?.path().join("src")) else {
            continue;
        };
        for file in files {
            let name = file?.file_name().to_string_lossy().into_owned();
            let id = name.strip_suffix(".rs");
            let id = id.filter(|id| *id != "lib" && !NOT_OURS.contains(id));
            ids.extend(id.map(str::to_owned));
        }
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    Ok(ids)
}

/// The fuzzers.
struct Targets {
    channels: PathBuf,
    decoys: PathBuf,
    names: PathBuf,
    packets: PathBuf,
    uploads: PathBuf,
    wire: PathBuf,
}

/// Builds the fuzzers; their paths.
fn build(root: &Path) -> Result<Targets> {
    // All of the workspace is named so that features, and with them dependencies, are those of the
    // tests; only these targets are built.
    let mut command = super::command(&["build", "--workspace"]);
    for target in [
        "fuzz-channels",
        "fuzz-decoy",
        "fuzz-names",
        "fuzz-packets",
        "fuzz-uploads",
        "fuzz-wire",
    ] {
        command.args(["--test", target]);
    }
    command
        .arg("--message-format=json-render-diagnostics")
        .env(
            "RUSTC_WORKSPACE_WRAPPER",
            root.join("fuzz/rustc-with-coverage"),
        )
        .stderr(Stdio::inherit());
    let output = command.output().context("start cargo")?;
    if !output.status.success() {
        bail!("the fuzzers don't build");
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let built = |name: &str| {
        let path = said.lines().rev().find_map(|line| {
            let path = line.split_once("\"executable\":\"")?.1.split_once('"')?.0;
            path.contains(name).then(|| PathBuf::from(path))
        });
        path.context("cargo didn't say where the fuzzer is")
    };
    Ok(Targets {
        channels: built("fuzz_channels")?,
        decoys: built("fuzz_decoy")?,
        names: built("fuzz_names")?,
        packets: built("fuzz_packets")?,
        uploads: built("fuzz_uploads")?,
        wire: built("fuzz_wire")?,
    })
}

/// Fuzzes one decoy and says what came of it in a line.
fn one(targets: &Targets, decoy: &str, seconds: u32) -> Result<()> {
    let fuzzer = match decoy {
        CHANNELS => &targets.channels,
        NAMES => &targets.names,
        PACKETS => &targets.packets,
        UPLOADS => &targets.uploads,
        WIRE => &targets.wire,
        _ => &targets.decoys,
    };
    let begun = Instant::now();
    let target = fuzzer.ancestors().nth(3).unwrap_or(fuzzer);
    let corpus = target.join("fuzz").join(decoy);
    std::fs::create_dir_all(&corpus)?;
    let found = target.join("fuzz").join(format!("{decoy}-"));
    let output = Command::new(fuzzer)
        .arg(&corpus)
        .args([
            &format!("-max_total_time={seconds}"),
            &format!("-max_len={MAX_LENGTH}"),
            &format!("-timeout={MAX_TIME}"),
            &format!("-rss_limit_mb={MAX_MEMORY}"),
            &format!("-artifact_prefix={}", found.display()),
        ])
        .env("FUZZ_DECOY", decoy)
        .env("FUZZ_SEEDS", &corpus)
        .output()
        .context("start the fuzzer")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let end: Vec<_> = said.lines().rev().take(40).collect();
        let end: Vec<_> = end.into_iter().rev().collect();
        bail!(
            "broken. Keep the conversation in fuzz/regressions/{decoy}/.\n{}",
            end.join("\n")
        );
    }
    let runs = said
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("Done "));
    let runs = runs
        .and_then(|rest| rest.split(' ').next())
        .context("the fuzzer ran nothing")?;
    println!(
        "{decoy}: {runs} conversations in {:.0} s",
        begun.elapsed().as_secs_f32()
    );
    Ok(())
}
