//! `coalmine`: decoys that notice an intruder at the first touch.

use std::process::ExitCode;

use clap::Parser;
use coalmine::cli::Cli;
use coalmine::terminal;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A huge page for each of the allocator's small areas would double what an idle program takes.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let cli = Cli::parse();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            terminal::problem(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
