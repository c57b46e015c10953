//! The watcher of port scans: how many frames it keeps up with, and what it names a scan beside
//! other open programs. Needs root, `iproute2`, and for the peers the scanners and the peers.

mod lab;
mod packet;
mod peers;
mod program;
mod rate;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Benchmark of the port scan watcher. Prints tables in Markdown.
#[derive(Parser)]
struct Arguments {
    /// The program, a release build for `rate`.
    #[arg(long)]
    coalmine: PathBuf,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// SYN floods: frames missed, CPU a frame, memory; beside a reader without a ring.
    Rate,
    /// Scans and ordinary traffic: what each program says of them.
    Peers {
        /// Python with `opencanary` installed.
        #[arg(long)]
        opencanary: Option<PathBuf>,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Part::Rate => rate::run(&arguments.coalmine),
        Part::Peers { opencanary } => peers::run(&arguments.coalmine, opencanary.as_deref()),
    }
}
