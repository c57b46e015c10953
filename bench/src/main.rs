//! The load driver: how much CPU an attempt costs, whether every attempt became an event, how much
//! memory connections take, how soon an attempt is an incident; beside a peer in the same run.

mod attempt;
mod protocol;
mod server;
mod windows;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use coalmine_bench::{beside, say};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::protocol::{Cost, PROTOCOLS, Protocol, find};
use crate::server::{Coalmine, OpenCanary, Server};

/// Load driver for Coalmine's decoys. Prints a table in Markdown.
#[derive(Parser)]
struct Arguments {
    /// The program; built beside this one if not given.
    #[arg(long)]
    coalmine: Option<PathBuf>,
    /// Python with `opencanary` installed; without it no peer is measured.
    #[arg(long)]
    opencanary: Option<PathBuf>,
    /// Attempts for each plain protocol; SSH and HTTPS get a tenth.
    #[arg(long, default_value_t = 5_000)]
    attempts: usize,
    /// Attempts under way at once.
    #[arg(long, default_value_t = 16)]
    at_once: usize,
    /// Idle connections held for the memory figures.
    #[arg(long, default_value_t = 2_000)]
    idle: usize,
    /// Only these protocols.
    #[arg(long, value_parser = find)]
    only: Vec<&'static Protocol>,
}

/// A server that hasn't taken all attempts by then gets no more.
const MAX_MEASURE: Duration = Duration::from_secs(40);

/// What one protocol cost on one server.
struct Row {
    made: usize,
    failed: usize,
    seen: usize,
    cpu: Duration,
    wall: Duration,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit {
            current: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
            ..rustix::process::getrlimit(rustix::process::Resource::Nofile)
        },
    )?;
    let program = arguments.coalmine.clone().map_or_else(beside, Ok)?;
    let protocols = if arguments.only.is_empty() {
        PROTOCOLS.iter().collect::<Vec<_>>()
    } else {
        arguments.only.clone()
    };
    let mut servers: Vec<Box<dyn Server>> = vec![Box::new(Coalmine::start(&program, &protocols)?)];
    if let Some(python) = &arguments.opencanary {
        servers.push(Box::new(OpenCanary::start(python)?));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut started = Vec::new();
    for server in &servers {
        started.push(server.rss()?);
    }

    say("| | server | attempts | failed | events seen | CPU ms/attempt | attempts/s |");
    say("|---|---|---|---|---|---|---|");
    for protocol in protocols {
        let attempts = match protocol.cost {
            Cost::Handshake => arguments.attempts / 10,
            Cost::Plain | Cost::Datagram => arguments.attempts,
        };
        for server in servers.iter().filter(|server| server.offers(protocol)) {
            let row = measure(server.as_ref(), protocol, attempts, arguments.at_once).await?;
            say(&format!(
                "| {} | {} | {} | {} | {} | {:.3} | {:.0} |",
                protocol.id,
                server.name(),
                row.made,
                row.failed,
                row.seen,
                row.cpu.as_secs_f64() * 1e3 / row.made.max(1) as f64,
                row.made as f64 / row.wall.as_secs_f64(),
            ));
        }
    }

    say(
        "\n| server | RSS idle, just started | after the load | with idle connections (number) | after they closed | idle CPU in 5 s |",
    );
    say("|---|---|---|---|---|---|");
    for (server, started) in servers.iter().zip(started) {
        let before = server.rss()?;
        let target = server.target(find("ftp").map_err(anyhow::Error::msg)?)?;
        let idle = hold(target, arguments.idle).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let during = server.rss()?;
        let held = idle.len();
        drop(idle);
        tokio::time::sleep(Duration::from_secs(4)).await;
        let after = server.rss()?;
        let cpu = server.cpu()?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let idle_cpu = server.cpu()?.saturating_sub(cpu);
        say(&format!(
            "| {} | {started:.1} MB | {before:.1} MB | {during:.1} MB ({held}) | {after:.1} MB | {} ms |",
            server.name(),
            idle_cpu.as_millis()
        ));
    }

    say("\n| from attempt to incident in the API | best | median | worst |");
    say("|---|---|---|---|");
    for server in &servers {
        if let Some(mut times) = server.latencies(20)? {
            times.sort();
            say(&format!(
                "| {} | {} ms | {} ms | {} ms |",
                server.name(),
                times.first().map_or(0, Duration::as_millis),
                times.get(times.len() / 2).map_or(0, Duration::as_millis),
                times.last().map_or(0, Duration::as_millis),
            ));
        }
    }
    Ok(())
}

/// Makes `attempts` attempts, waits until all are events, and counts what that cost.
async fn measure(
    server: &dyn Server,
    protocol: &'static Protocol,
    attempts: usize,
    at_once: usize,
) -> Result<Row> {
    let target = server.target(protocol)?;
    let seen_before = server.seen(protocol)?;
    let cpu_before = server.cpu()?;
    let start = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let failed = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let (next, failed) = (Arc::clone(&next), Arc::clone(&failed));
            tokio::spawn(async move {
                let mut made = 0;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= attempts || start.elapsed() > MAX_MEASURE {
                        return made;
                    }
                    made += 1;
                    if protocol.attempt(target, n).await.is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    if protocol.cost == Cost::Datagram {
                        tokio::time::sleep(Duration::from_millis(at_once as u64 / 2)).await;
                    }
                }
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += task.await?;
    }
    let wall = start.elapsed();
    let failed = failed.load(Ordering::Relaxed);
    let end = Instant::now() + Duration::from_secs(10);
    let mut seen = 0;
    while seen < made - failed && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(300)).await;
        seen = server.seen(protocol)?.saturating_sub(seen_before);
    }
    Ok(Row {
        made,
        failed,
        seen,
        cpu: server.cpu()?.saturating_sub(cpu_before),
        wall,
    })
}

/// Opens `count` connections, reads the greeting and says nothing.
async fn hold(target: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        let opened = async {
            let mut stream = TcpStream::connect(target).await?;
            let mut greeting = [0; 256];
            // Any part of it will do; an end without a greeting isn't a held connection.
            if stream.read(&mut greeting).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
            }
            Ok(stream)
        };
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_secs(2), opened).await {
            held.push(stream);
        }
    }
    held
}
