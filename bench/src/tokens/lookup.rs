//! What it costs the store to find a token, or to find that there is none, among many.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use coalmine_bench::say;
use coalmine_store::Store;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::fill;
use crate::program::fine_cpu;

/// Look-ups of each kind.
const LOOK_UPS: usize = 20_000;
/// Look-ups under way at once.
const AT_ONCE: usize = 64;

/// Prints a row for each number of tokens; the store at `file` ends with the last of them.
pub async fn run(file: &Path, sizes: &[usize]) -> Result<()> {
    let store = Store::open(&format!("sqlite:{}", file.display()))?;
    say(
        "| tokens | CPU µs, known | CPU µs, unknown | CPU µs, one known token again and again | file MB |",
    );
    say("|---|---|---|---|---|");
    let mut filled = 0;
    for size in sizes {
        fill::fill(&store, filled, *size).await?;
        filled = *size;
        // Strides that visit tokens all over the table.
        let known = cost(&store, |n| (n * 7_919) % size, true).await?;
        let unknown = cost(&store, |n| (1 << 40) + n, false).await?;
        let hot = cost(&store, |_| 0, true).await?;
        say(&format!(
            "| {size} | {:.1} | {:.1} | {:.1} | {:.0} |",
            micros(known),
            micros(unknown),
            micros(hot),
            std::fs::metadata(file)?.len() as f64 / 1e6
        ));
    }
    store.close().await;
    Ok(())
}

/// CPU of one look-up of token number `number(n)`.
async fn cost(store: &Store, number: impl Fn(usize) -> usize, there: bool) -> Result<Duration> {
    let tokens = store.tokens();
    // Making an id costs more than finding it.
    let ids: Vec<_> = (0..LOOK_UPS).map(|n| fill::id(number(n))).collect();
    let before = fine_cpu("self")?;
    let found: usize = stream::iter(&ids)
        .map(|id| tokens.active(id))
        .buffer_unordered(AT_ONCE)
        .try_fold(0, async |found, token| {
            Ok(found + usize::from(token.is_some()))
        })
        .await?;
    let took = fine_cpu("self")?.saturating_sub(before);
    ensure!(found == if there { LOOK_UPS } else { 0 }, "{found} found");
    Ok(took / u32::try_from(LOOK_UPS)?)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
