//! The project's own chores: `cargo xtask ci | docs | golden | layers | sizes | fuzz`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool for developers"
)]

mod checks;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", about = "Coalmine's chores")]
struct Cli {
    #[command(subcommand)]
    command: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything that must hold before a change is accepted.
    Ci,
    /// Generate the reference pages from the declarations.
    Docs {
        /// Only compare; fail if they differ.
        #[arg(long)]
        check: bool,
    },
    /// Generate one file per event kind from its samples.
    Golden {
        /// Only compare; fail if they differ.
        #[arg(long)]
        check: bool,
    },
    /// Check who uses whom.
    Layers,
    /// List long files; fail on too long ones.
    Sizes,
    /// Run every fuzz target for a short while.
    Fuzz {
        /// Seconds for each.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Chore::Ci => ci(),
        Chore::Docs { check } => generated("docs", "docs/reference", check),
        Chore::Golden { check } => generated("golden", "docs/reference/events", check),
        Chore::Layers => checks::layers(),
        Chore::Sizes => checks::sizes(&root()),
        Chore::Fuzz { seconds } => fuzz(seconds),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// All checks, the quick ones first. Tests run optimised so that dependencies are built once for
/// them and for the program under test.
fn ci() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    checks::layers()?;
    checks::sizes(&root())?;
    if installed("deny") {
        cargo(&["deny", "check"])?;
    } else {
        println!("note: cargo-deny isn't installed, so licences and advisories went unchecked");
    }
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--release",
        "--",
        "-D",
        "warnings",
    ])?;
    generated("docs", "docs/reference", true)?;
    generated("golden", "docs/reference/events", true)?;
    if installed("nextest") {
        cargo(&["nextest", "run", "--workspace", "--release"])?;
    } else {
        cargo(&["test", "--workspace", "--release", "--all-targets"])?;
    }
    fuzz(10)
}

/// Generates pages with the program's own hidden commands, or compares what they'd write.
fn generated(command: &str, folder: &str, check: bool) -> Result<()> {
    let target = root().join(folder);
    if !check {
        return generate(command, &target);
    }
    let fresh = std::env::temp_dir().join(format!("coalmine-{command}-{}", std::process::id()));
    let differences = generate(command, &fresh).and_then(|()| checks::compare(&fresh, &target));
    let _ = std::fs::remove_dir_all(&fresh);
    let differences = differences?;
    if differences.is_empty() {
        return Ok(());
    }
    bail!(
        "{folder} is out of date, run `cargo xtask {command}`: {}",
        differences.join(", ")
    );
}

fn generate(command: &str, into: &Path) -> Result<()> {
    let into = into.to_str().context("a path that isn't UTF-8")?;
    cargo(&[
        "run",
        "--quiet",
        "--release",
        "--package",
        "coalmine",
        "--",
        command,
        into,
    ])
}

fn fuzz(seconds: u32) -> Result<()> {
    let fuzz = root().join("fuzz");
    if !fuzz.exists() || !installed("fuzz") {
        println!("note: cargo-fuzz or the fuzz folder isn't there, so nothing was fuzzed");
        return Ok(());
    }
    let list = Command::new("cargo")
        .args(["+nightly", "fuzz", "list"])
        .current_dir(root())
        .output()
        .context("list fuzz targets")?;
    for target in String::from_utf8_lossy(&list.stdout).lines() {
        cargo(&[
            "+nightly",
            "fuzz",
            "run",
            target,
            "--",
            &format!("-max_total_time={seconds}"),
        ])?;
    }
    Ok(())
}

fn installed(subcommand: &str) -> bool {
    Command::new("cargo")
        .args([subcommand, "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn cargo(arguments: &[&str]) -> Result<()> {
    println!("cargo {}", arguments.join(" "));
    // `cargo` of the path honours the toolchain file and `+nightly` alike.
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(root())
        .env_remove("CARGO")
        .status()
        .context("start cargo")?;
    if !status.success() {
        bail!("cargo {} failed", arguments.first().copied().unwrap_or(""));
    }
    Ok(())
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
