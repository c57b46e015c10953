//! Tokens: what making one costs, what a touch costs and whether it was kept, what finding one costs
//! among many, and whether an answer's time gives a token away.

mod fill;
mod load;
mod lookup;
mod mint;
mod peers;
mod program;
mod times;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use coalmine_bench::{beside, say};
use coalmine_store::Store;

use crate::load::{Load, Outcome, Way};
use crate::peers::Peer;
use crate::program::Program;

/// Benchmark of tokens. Prints tables in Markdown.
#[derive(Parser)]
struct Arguments {
    /// The program, a release build; the one beside this if not given.
    #[arg(long)]
    coalmine: Option<PathBuf>,
    /// nginx, to measure what bare HTTP costs here.
    #[arg(long)]
    nginx: Option<PathBuf>,
    /// unbound, to measure what a bare name costs here.
    #[arg(long)]
    unbound: Option<PathBuf>,
    /// Only these parts.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Tokens of each kind that are made.
    #[arg(long, default_value_t = 15)]
    times: usize,
    /// Tokens in the store while they are touched.
    #[arg(long, default_value_t = 20_000)]
    tokens: usize,
    /// Touches of each load.
    #[arg(long, default_value_t = 40_000)]
    hits: usize,
    /// Only loads whose name holds this, e.g. `DNS`.
    #[arg(long, default_value = "")]
    load: String,
    /// Seconds of 5,000 touches each.
    #[arg(long, default_value_t = 20)]
    seconds: usize,
    /// Answers timed of each sort.
    #[arg(long, default_value_t = 2_000)]
    answers: usize,
    /// Numbers of tokens among which one is found, least first.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
    sizes: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Mint,
    Hits,
    Times,
    Lookup,
}

/// Touches a second in the mixed load, half of them over HTTP.
const RATE: usize = 5_000;
/// Clients of a load. HTTP takes 64 connections from one address, DNS answers a network a hundred
/// times a second.
const CLIENTS: usize = 128;
/// Tokens that are touched again and again.
const FEW: usize = 128;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let path = arguments.coalmine.clone().map_or_else(beside, Ok)?;
    let does = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    if does(Part::Mint) {
        let dir = tempfile::tempdir()?;
        let program = Program::start(&path, dir.path())?;
        mint::run(&program, arguments.times)?;
    }
    if does(Part::Hits) || does(Part::Times) {
        let dir = tempfile::tempdir()?;
        let database = dir.path().join("data/coalmine.db");
        std::fs::create_dir_all(dir.path().join("data"))?;
        let store = Store::open(&format!("sqlite:{}", database.display()))?;
        fill::fill(&store, 0, arguments.tokens).await?;
        store.close().await;
        let program = Program::start(&path, dir.path())?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        if does(Part::Times) {
            times::run(&program, 0, arguments.answers).await?;
        }
        if does(Part::Hits) {
            hits(&program, &arguments, dir.path()).await?;
        }
    }
    if does(Part::Lookup) {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir_all(dir.path().join("data"))?;
        lookup::run(&dir.path().join("data/coalmine.db"), &arguments.sizes).await?;
        let program = Program::start(&path, dir.path())?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let many = *arguments.sizes.last().context("no sizes")?;
        say(&format!(
            "\nWith {many} tokens the program takes {:.1} MB.\n",
            program.rss()?
        ));
    }
    Ok(())
}

async fn hits(program: &Program, arguments: &Arguments, dir: &std::path::Path) -> Result<()> {
    let (http, dns) = (program.channel("http")?, program.channel("dns")?);
    // Half of the tokens are for HTTP.
    let all = arguments.tokens / 2;
    let of = |way, tokens, rate, hits| Load {
        way,
        target: if way == Way::Dns { dns } else { http },
        tokens,
        hits,
        rate,
        clients: CLIENTS,
    };
    let n = arguments.hits;
    let wanted = |name: &str| name.contains(&arguments.load);
    let before = program.rss()?;
    say(
        "\n| load | tokens touched | sent | answered | stored | CPU ms/touch | a second | median ms | 99 % ms |",
    );
    say("|---|---|---|---|---|---|---|---|---|");
    for (name, load) in [
        ("HTTP, kept connections", of(Way::HttpKept, FEW, 2_500, n)),
        ("HTTP, kept connections, fast", of(Way::HttpKept, FEW, 0, n)),
        ("HTTP, a connection each", of(Way::Http, FEW, 2_500, n)),
        ("HTTP, a connection each", of(Way::Http, all, 2_500, n)),
        ("DNS", of(Way::Dns, FEW, 2_500, n)),
        ("DNS, fast", of(Way::Dns, FEW, 8_000, n)),
        ("DNS", of(Way::Dns, all, 2_500, n)),
    ]
    .into_iter()
    .filter(|(name, _)| wanted(name))
    {
        let (stored, cpu) = (program.touched()?, program.cpu()?);
        let outcome = load::run(load).await?;
        let cpu = program.cpu()?.saturating_sub(cpu);
        row(name, load.tokens, &outcome, cpu, || {
            Ok(program.touched()? - stored)
        })
        .await?;
    }
    if wanted("mixed") {
        let (stored, cpu) = (program.touched()?, program.cpu()?);
        let half = RATE / 2 * arguments.seconds;
        let (mut web, names) = tokio::try_join!(
            load::run(of(Way::HttpKept, all, RATE / 2, half)),
            load::run(of(Way::Dns, all, RATE / 2, half))
        )?;
        let cpu = program.cpu()?.saturating_sub(cpu);
        web.sent += names.sent;
        web.answered += names.answered;
        row("mixed", 2 * all, &web, cpu, || {
            Ok(program.touched()? - stored)
        })
        .await?;
    }
    for (name, load) in [
        ("nginx, kept connections", of(Way::HttpKept, FEW, 2_500, n)),
        ("nginx, a connection each", of(Way::Http, FEW, 2_500, n)),
        ("unbound", of(Way::Dns, FEW, 2_500, n)),
        ("unbound, fast", of(Way::Dns, FEW, 8_000, n)),
    ] {
        let dir = dir.join("peer");
        if !wanted(name) {
            continue;
        }
        let peer = match (load.way, &arguments.nginx, &arguments.unbound) {
            (Way::Dns, _, Some(program)) => Peer::unbound(program, &dir)?,
            (Way::Http | Way::HttpKept, Some(program), _) => Peer::nginx(program, &dir)?,
            _ => continue,
        };
        let load = Load {
            target: Peer::target(),
            ..load
        };
        let (seen, cpu) = (peer.seen()?, peer.cpu()?);
        let outcome = load::run(load).await?;
        let cpu = peer.cpu()?.saturating_sub(cpu);
        row(name, FEW, &outcome, cpu, || Ok(peer.seen()? - seen)).await?;
    }
    say(&format!(
        "\nMemory with {} tokens: {before:.1} MB before, {:.1} MB after.\n",
        arguments.tokens,
        program.rss()?
    ));
    Ok(())
}

/// Prints what came of a load, once as much is stored as was answered, or after ten seconds.
async fn row(
    name: &str,
    tokens: usize,
    outcome: &Outcome,
    cpu: Duration,
    stored: impl Fn() -> Result<u64>,
) -> Result<()> {
    let mut seen = stored()?;
    for _ in 0..20 {
        if seen >= outcome.answered as u64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        seen = stored()?;
    }
    let at = |part: f64| {
        let place = outcome.times.len().saturating_sub(1) as f64 * part;
        let time = outcome.times.get(place as usize);
        time.map_or_else(String::new, |time| {
            format!("{:.1}", time.as_secs_f64() * 1e3)
        })
    };
    say(&format!(
        "| {name} | {tokens} | {} | {} | {seen} | {:.4} | {:.0} | {} | {} |",
        outcome.sent,
        outcome.answered,
        cpu.as_secs_f64() * 1e3 / outcome.sent.max(1) as f64,
        outcome.sent as f64 / outcome.wall.as_secs_f64(),
        at(0.5),
        at(0.99)
    ));
    Ok(())
}
