//! Tokens by the thousand, put into a store without the API.

use std::collections::BTreeMap;

use anyhow::Result;
use coalmine_core::token::{HostPort, Places};
use coalmine_core::{Seed, Timestamp, TokenId};
use coalmine_store::Store;
use coalmine_store::tokens::NewToken;
use futures_util::future::try_join_all;

use crate::program::ZONE;

/// Tokens being written at once: as many as share a commit.
const AT_ONCE: usize = 256;

/// The id of token number `n`.
pub fn id(n: usize) -> TokenId {
    let mut seed = [0; 32];
    for (place, byte) in seed.iter_mut().zip((n as u64).to_be_bytes()) {
        *place = byte;
    }
    TokenId::from_seed(&Seed::new(seed))
}

/// Writes tokens number `from` to `to`: even ones for HTTP, odd ones for DNS.
pub async fn fill(store: &Store, from: usize, to: usize) -> Result<()> {
    let tokens = store.tokens();
    let mut n = from;
    while n < to {
        let end = to.min(n + AT_ONCE);
        try_join_all((n..end).map(|n| tokens.create(token(n)))).await?;
        n = end;
    }
    Ok(())
}

fn token(n: usize) -> NewToken {
    let id = id(n);
    let url = format!("http://{ZONE}/images/{id}/index.html");
    let fields = [("url", url), ("hostname", format!("{id}.{ZONE}"))];
    NewToken {
        kind: ["http", "dns"][n % 2].to_owned(),
        memo: format!("the share of team {n}, folder of the last quarter"),
        flock_id: "flock:default".to_owned(),
        created: Timestamp::from_secs(1_700_000_000),
        params: BTreeMap::new(),
        fields: fields
            .map(|(name, value)| (name.to_owned(), value.into()))
            .into_iter()
            .collect(),
        factory_auth: None,
        places: Places {
            http: Some(HostPort {
                host: ZONE.to_owned(),
                port: 80,
            }),
            dns: Some(ZONE.to_owned()),
            ..Places::default()
        },
        files: BTreeMap::new(),
        aliases: Vec::new(),
        id,
    }
}
