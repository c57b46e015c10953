//! The project's own chores: `cargo xtask ci | docs | golden | layers | licences | sizes | fuzz`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool for developers"
)]

mod checks;
mod fuzz;
mod licences;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

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
    /// Check the dependencies against `deny.toml`.
    Licences,
    /// List long files; fail on too long ones.
    Sizes,
    /// Hold made-up conversations with every decoy, guided by coverage (libFuzzer).
    Fuzz {
        /// Seconds for each.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Only these decoys.
        decoys: Vec<String>,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Chore::Ci => ci(),
        Chore::Docs { check } => generated("docs", DOCS, check),
        Chore::Golden { check } => generated("golden", GOLDEN, check),
        Chore::Layers => checks::layers(),
        Chore::Licences => licences::check(&root()),
        Chore::Sizes => checks::sizes(&root()),
        Chore::Fuzz { seconds, decoys } => fuzz::run(&root(), seconds, &decoys),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// All checks, the quick ones first. Everything is built in the development profile, where our own
/// code is compiled quickly and its arithmetic checked, and dependencies are optimised a little.
fn ci() -> Result<()> {
    let begun = Instant::now();
    if provided("fmt", "rustfmt")? {
        step("format", || cargo(&["fmt", "--all", "--check"]))?;
    }
    step("layers", checks::layers)?;
    step("sizes", || checks::sizes(&root()))?;
    step("licences", || licences::check(&root()))?;
    if provided("clippy", "clippy")? {
        step("clippy", || {
            let all = ["clippy", "--workspace", "--all-targets"];
            cargo(&[&all[..], &["--", "-D", "warnings"]].concat())
        })?;
    }
    let tests: &[&str] = match installed("nextest") {
        true => &["nextest", "run", "--workspace"],
        false => &["test", "--workspace"],
    };
    // It leaves a program too, the one that is tested. What is released lacks its test aids, which
    // nothing in it calls; to build that as well would take minutes.
    step("build", || cargo(&[tests, &["--no-run"]].concat()))?;
    step("docs", || compared("docs", DOCS, true))?;
    step("golden", || compared("golden", GOLDEN, true))?;
    step("tests", || run(command(tests).env("COALMINE_BIN", built())))?;
    step("fuzz", || fuzz::run(&root(), FUZZ_SECONDS, &[]))?;
    println!("\nEverything holds ({} s).", begun.elapsed().as_secs());
    Ok(())
}

/// How long `ci` fuzzes each decoy.
const FUZZ_SECONDS: u32 = 2;

/// Where the reference pages are.
const DOCS: &str = "docs/reference";
/// And one file per event kind.
const GOLDEN: &str = "docs/reference/events";

/// Says what begins and, after it, how long it took.
fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n== {name}");
    let begun = Instant::now();
    work().with_context(|| format!("{name} failed"))?;
    println!("== {name}: {:.1} s", begun.elapsed().as_secs_f32());
    Ok(())
}

/// Whether the toolchain has a component. On a build server it must; elsewhere a note will do.
fn provided(subcommand: &str, component: &str) -> Result<bool> {
    if installed(subcommand) {
        return Ok(true);
    }
    let advice = format!("the toolchain lacks {component}: `rustup component add {component}`");
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        bail!(advice);
    }
    println!("note: {advice}; its check is skipped");
    Ok(false)
}

/// Builds the program and has it generate pages.
fn generated(name: &str, folder: &str, check: bool) -> Result<()> {
    cargo(&["build", "--package", "coalmine", "--quiet"])?;
    compared(name, folder, check)
}

/// Generates pages with the program's own hidden commands, or compares what they'd write.
fn compared(name: &str, folder: &str, check: bool) -> Result<()> {
    let target = root().join(folder);
    let fresh = std::env::temp_dir().join(format!("coalmine-{name}-{}", std::process::id()));
    let outcome = run(Command::new(built()).arg(name).arg(&fresh)).and_then(|()| {
        if check {
            checks::compare(&fresh, &target)
        } else {
            checks::replace(&fresh, &target).map(|()| Vec::new())
        }
    });
    let _ = std::fs::remove_dir_all(&fresh);
    let differences = outcome?;
    if differences.is_empty() {
        return Ok(());
    }
    bail!(
        "{folder} is out of date, run `cargo xtask {name}`: {}",
        differences.join(", ")
    );
}

fn installed(subcommand: &str) -> bool {
    command(&[subcommand, "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn cargo(arguments: &[&str]) -> Result<()> {
    println!("cargo {}", arguments.join(" "));
    run(&mut command(arguments))
}

/// `cargo` of the path, which honours the toolchain file and `+nightly` alike.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(arguments)
        .current_dir(root())
        .env_remove("CARGO");
    command
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("start {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

/// The program, where building it leaves it.
fn built() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(target).join("debug/coalmine")
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
