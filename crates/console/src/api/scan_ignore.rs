//! Sources whose port scans make no incidents, on the whole Console or in one flock. The
//! documented contract has no endpoints for these lists; these are our own.

use serde_json::json;

use super::table::{Endpoint, Needs, Param, TEXT, Takes, Verb, required};
use super::{Answer, ApiError, Ask};
use crate::scan_ignore::ScanRule;

/// Most entries of one list.
const MAX_ENTRIES: usize = 1_000;
/// Longest entry, in characters.
const MAX_ENTRY: usize = 512;

const ENTRY: Param = required(
    "entry",
    Takes::Text(MAX_ENTRY),
    "`SOURCE` or `SOURCE:PORT,PORT`; a source is an address, a network (`10.1.2.0/24`), a range (`10.1.2.3-10.1.2.9`) or `10.1.2.*`; IPv6 with ports in brackets.",
);
const FLOCK: Param = required("flock_id", TEXT, "The flock's id.");

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Get],
        path: "settings/portscan_ignore",
        doc: "Sources whose port scans make no incidents: those of the Console and those of each flock.\nNot part of the documented contract.",
        params: &[],
        needs: Needs::Read,
        tier: 2,
        run: |ask| Box::pin(list(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "settings/portscan_ignore/add",
        doc: "Ignores port scans of a source at every bird, and nothing else that it does.\nNot part of the documented contract.",
        params: &[ENTRY],
        needs: Needs::GlobalAdmin,
        tier: 2,
        run: |ask| Box::pin(change(ask, None, true)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "settings/portscan_ignore/remove",
        doc: "Ignores port scans of a source no longer.\nNot part of the documented contract.",
        params: &[ENTRY],
        needs: Needs::GlobalAdmin,
        tier: 2,
        run: |ask| Box::pin(change(ask, None, false)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "flock/settings/portscan_ignore/add",
        doc: "Ignores port scans of a source at the birds of one flock, and nothing else that it does.\nNot part of the documented contract.",
        params: &[FLOCK, ENTRY],
        needs: Needs::Admin,
        tier: 2,
        run: |ask| {
            let flock = ask.owned("flock_id");
            Box::pin(change(ask, Some(flock), true))
        },
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "flock/settings/portscan_ignore/remove",
        doc: "Ignores port scans of a source at the birds of one flock no longer.\nNot part of the documented contract.",
        params: &[FLOCK, ENTRY],
        needs: Needs::Admin,
        tier: 2,
        run: |ask| {
            let flock = ask.owned("flock_id");
            Box::pin(change(ask, Some(flock), false))
        },
    },
];

async fn list(ask: Ask) -> Result<Answer, ApiError> {
    let settings = ask.console.store.settings().console().await?;
    let flocks: serde_json::Map<_, _> = settings
        .portscan_ignore_flocks
        .iter()
        .filter(|(flock, _)| ask.caller.sees(flock))
        .map(|(flock, entries)| (flock.clone(), json!(entries)))
        .collect();
    Ok(Answer::success(json!({
        "portscan_ignore": settings.portscan_ignore,
        "portscan_ignore_flocks": flocks,
    })))
}

async fn change(ask: Ask, flock: Option<String>, add: bool) -> Result<Answer, ApiError> {
    let entry = ScanRule::parse(&ask.owned("entry"))
        .ok_or_else(|| ApiError::invalid("entry"))?
        .to_string();
    if let Some(flock) = &flock {
        ask.flock(flock).await?;
    }
    let (changed, of) = (entry.clone(), flock.clone());
    let settings = ask.console.store.settings();
    let outcome = settings
        .change(move |settings| {
            let lists = &mut settings.portscan_ignore_flocks;
            let list = match &of {
                Some(flock) => lists.entry(flock.clone()).or_default(),
                None => &mut settings.portscan_ignore,
            };
            let is_there = list.contains(&changed);
            let outcome = match (add, is_there) {
                (true, true) => Outcome::Already,
                (false, false) => Outcome::Missing,
                (true, false) if list.len() >= MAX_ENTRIES => Outcome::Full,
                (true, false) => {
                    list.push(changed);
                    Outcome::Done
                }
                (false, true) => {
                    list.retain(|entry| *entry != changed);
                    Outcome::Done
                }
            };
            settings
                .portscan_ignore_flocks
                .retain(|_, list| !list.is_empty());
            outcome
        })
        .await?;
    match outcome {
        Outcome::Already => return Ok(Answer::failure("The entry is there already")),
        Outcome::Missing => return Err(ApiError::not_found("There is no such entry")),
        Outcome::Full => {
            return Err(ApiError::conflict(format!(
                "The list has {MAX_ENTRIES} entries already"
            )));
        }
        Outcome::Done => {}
    }
    let (action, message) = if add {
        (
            "portscan_ignore_add",
            format!("ignores port scans of {entry}"),
        )
    } else {
        (
            "portscan_ignore_remove",
            format!("ignores port scans of {entry} no longer"),
        )
    };
    ask.audit(action, &message, flock.as_deref()).await?;
    Ok(Answer::success(json!({"entry": entry})))
}

enum Outcome {
    Done,
    Already,
    Missing,
    Full,
}
