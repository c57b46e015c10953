//! Where a token lives: its URL and its host name.

use std::net::Ipv6Addr;

use coalmine_core::{Seed, TokenId};

use super::words::{EXTENSIONS, WORDS};
use crate::serve::ConsoleConfig;

/// The standard port of HTTP; a URL needn't say it.
const HTTP_PORT: u16 = 80;

/// The token's own URL, e.g. `http://tokens.example.com/press/4ylq…/outline.html`: up to two words,
/// the token, a page name, all derived from the token's `seed`, so that nothing but the zone is the
/// same in two URLs.
pub fn url_for(config: &ConsoleConfig, id: &TokenId, seed: &Seed) -> String {
    let seed = seed.derive("url");
    let mut url = format!("http://{}", host(&config.zone));
    match config.token_http {
        Some(address) if address.port() != HTTP_PORT => {
            url.push_str(&format!(":{}", address.port()));
        }
        _ => {}
    }
    for label in ["first", "second"].iter().take(up_to(&seed, "words", 2)) {
        url.push('/');
        url.push_str(pick(&seed, label, WORDS));
    }
    let (page, extension) = (pick(&seed, "page", WORDS), pick(&seed, "ext", EXTENSIONS));
    url.push_str(&format!("/{id}/{page}.{extension}"));
    url
}

/// The token's own host name, e.g. `4ylq….tokens.example.com`.
pub fn hostname_for(config: &ConsoleConfig, id: &TokenId) -> String {
    format!("{id}.{}", config.zone.trim_end_matches('.'))
}

fn host(zone: &str) -> String {
    match zone.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => zone.trim_end_matches('.').to_owned(),
    }
}

fn up_to(seed: &Seed, label: &str, most: u64) -> usize {
    usize::try_from(seed.number(label, 0, most.saturating_add(1))).unwrap_or(0)
}

fn pick(seed: &Seed, label: &str, list: &[&'static str]) -> &'static str {
    let last = u64::try_from(list.len().saturating_sub(1)).unwrap_or(0);
    list.get(up_to(seed, label, last))
        .copied()
        .unwrap_or("index")
}
