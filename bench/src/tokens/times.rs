//! Whether an answer's time tells a known token from an unknown or disabled one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use coalmine_bench::say;
use coalmine_core::TokenId;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::fill;
use crate::load::{answer, connect, loopback, query, request, socket};
use crate::program::Program;

/// Clients at once.
const CLIENTS: usize = 8;
/// An answer that takes longer isn't one.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Kolmogorov-Smirnov's bound of one percent for two samples is this times the root of (n+m)/nm.
const ONE_PERCENT: f64 = 1.628;

/// The kinds of tokens that must look alike.
const CLASSES: [&str; 3] = ["known", "unknown", "disabled"];
/// Orders in which they are asked, by turns: what one leaves behind meets each other as often.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

/// Prints the distributions for both channels; `each` answers of each class. `first` is the number of
/// the first of four tokens, for HTTP and DNS in turn; two of them are disabled meanwhile.
pub async fn run(program: &Program, first: usize, each: usize) -> Result<()> {
    say("| channel | token | answers | 1 % ms | median ms | 99 % ms | worst ms |");
    say("|---|---|---|---|---|---|---|");
    let mut distances = Vec::new();
    for (channel, known) in [("http", first), ("dns", first + 1)] {
        // Two further on is another of its kind; millions further on there is none.
        let disabled = fill::id(known + 2);
        let form = [("canarytoken", None, disabled.to_string().into_bytes())];
        let switch = |what: &str| match program.post(&format!("canarytoken/{what}"), &form)? {
            done if done["result"] == "success" => Ok(()),
            refused => bail!("{refused}"),
        };
        switch("disable")?;
        let target = program.channel(channel)?;
        let ids = [
            fill::id(known),
            fill::id(known + (1 << 40)),
            disabled.clone(),
        ];
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| tokio::spawn(ask(channel, target, ids.clone(), client, each / CLIENTS)))
            .collect();
        let mut times: [Vec<Duration>; 3] = Default::default();
        for client in clients {
            for (all, one) in times.iter_mut().zip(client.await??) {
                all.extend(one);
            }
        }
        switch("enable")?;
        for (class, times) in CLASSES.iter().zip(&mut times) {
            times.sort_unstable();
            let at = |part: f64| {
                let place = (times.len() - 1) as f64 * part;
                times[place as usize].as_secs_f64() * 1e3
            };
            say(&format!(
                "| {channel} | {class} | {} | {:.3} | {:.3} | {:.3} | {:.3} |",
                times.len(),
                at(0.01),
                at(0.5),
                at(0.99),
                at(1.0)
            ));
        }
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            distances.push(format!(
                "| {channel} | {} and {} | {:.3} | {:.3} |",
                CLASSES[a],
                CLASSES[b],
                distance(&times[a], &times[b]),
                bound(times[a].len(), times[b].len())
            ));
        }
    }
    say("\n| channel | tokens | distance | chance exceeds in one of a hundred |");
    say("|---|---|---|---|");
    distances.iter().for_each(|line| say(line));
    Ok(())
}

/// Asks for the three, in another order each time.
async fn ask(
    channel: &'static str,
    target: SocketAddr,
    ids: [TokenId; 3],
    client: usize,
    each: usize,
) -> Result<[Vec<Duration>; 3]> {
    let mut times: [Vec<Duration>; 3] = Default::default();
    for n in 0..each {
        for class in ORDERS[(n + client) % ORDERS.len()] {
            let source = loopback(u8::try_from(n % 250)?, u8::try_from(client + 1)?);
            let took = timeout(MAX_WAIT, once(channel, target, source, &ids[class], n)).await??;
            times[class].push(took);
        }
    }
    Ok(times)
}

/// From the request's last byte to the answer.
async fn once(
    channel: &str,
    target: SocketAddr,
    source: SocketAddr,
    id: &TokenId,
    n: usize,
) -> Result<Duration> {
    if channel == "dns" {
        let socket = socket(source, target).await?;
        let query = query(n, &[id.as_str()]);
        let begun = Instant::now();
        socket.send(&query).await?;
        let mut block = [0; 512];
        let _ = socket.recv(&mut block).await?;
        return Ok(begun.elapsed());
    }
    let mut stream = connect(source, target).await?;
    let request = request(&format!("/{id}.gif"), false);
    let begun = Instant::now();
    stream.write_all(&request).await?;
    answer(&mut stream).await?;
    Ok(begun.elapsed())
}

/// Kolmogorov and Smirnov's distance of two sorted samples: the widest gap between their
/// distributions, 0 to 1.
fn distance(a: &[Duration], b: &[Duration]) -> f64 {
    let (mut i, mut j, mut widest) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let at = a[i].min(b[j]);
        while i < a.len() && a[i] <= at {
            i += 1;
        }
        while j < b.len() && b[j] <= at {
            j += 1;
        }
        let gap = i as f64 / a.len() as f64 - j as f64 / b.len() as f64;
        widest = widest.max(gap.abs());
    }
    widest
}

fn bound(n: usize, m: usize) -> f64 {
    ONE_PERCENT * ((n + m) as f64 / (n * m) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_samples_is_the_gap_of_their_distributions() {
        let of = |values: &[u64]| -> Vec<Duration> {
            values.iter().map(|v| Duration::from_millis(*v)).collect()
        };
        assert_eq!(distance(&of(&[1, 2, 3]), &of(&[1, 2, 3])), 0.0);
        assert_eq!(distance(&of(&[1, 2]), &of(&[3, 4])), 1.0);
        assert_eq!(distance(&of(&[1, 2, 3, 4]), &of(&[3, 4, 5, 6])), 0.5);
        assert!((bound(500, 500) - 0.103).abs() < 0.001);
    }
}
