//! `coalmine tokens kinds`: what there is to choose from.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use coalmine_core::TokenKind;
use coalmine_core::token::{Reach, Takes, TokenChannel};
use serde_json::json;

use crate::folder::Run;
use crate::{registry, terminal};

/// Parameters of every kind.
pub const COMMON: &[&str] = &["flock_id", "custom_domain", "browser_scanner_enabled"];

/// The kind of this id.
pub fn find(id: &str) -> Option<&'static TokenKind> {
    registry::tokens()
        .iter()
        .copied()
        .find(|kind| kind.id == id)
}

/// The same, or an error that says which there are.
pub fn named(id: &str) -> Result<&'static TokenKind> {
    let Some(kind) = find(id) else {
        let close = close(id);
        let meant = match close.as_slice() {
            [] => String::new(),
            some => format!(" Did you mean {}?", some.join(" or ")),
        };
        bail!(
            "there is no token kind {id:?}.{meant} There are:\n{}\n`coalmine tokens kinds KIND` explains one.",
            titles()
        );
    };
    Ok(kind)
}

/// The end of the long help of `create`.
pub fn help() -> String {
    format!(
        "Kinds:\n{}\n\n`coalmine tokens kinds KIND` explains one and says what it asks for.\n\nExamples:\n  \
         coalmine tokens create http --memo 'link in the wiki of the finance team'\n  \
         coalmine tokens create dns --memo 'host name in old backup script'\n  \
         coalmine tokens create http --memo 'quiet one' --with browser_scanner_enabled=false\n  \
         coalmine tokens create doc-msword --memo 'finance share' --with doc=plan.docx -o q3.docx",
        titles()
    )
}

/// Prints all kinds, or one whole; `run` says which channels are on.
pub fn explain(kind: Option<&str>, run: Option<&Run>, json: bool) -> Result<()> {
    let wanted: Vec<&TokenKind> = match kind {
        Some(id) => vec![named(id)?],
        None => registry::tokens().to_vec(),
    };
    for one in &wanted {
        if json {
            terminal::line(&object(one, run).to_string());
        } else {
            terminal::line(&match kind {
                Some(_) => whole(one, run),
                None => entry(one, run),
            });
        }
    }
    if kind.is_none() && !json {
        terminal::line(
            "`coalmine tokens kinds KIND` says all of one; `coalmine tokens create KIND --memo '...'` makes it.",
        );
    }
    Ok(())
}

/// What a kind asks for, each behind a line break.
pub fn asks(kind: &TokenKind) -> String {
    if kind.asks.is_empty() {
        return "\n  nothing but the memo".to_owned();
    }
    let asks = kind.asks.iter().map(|ask| {
        let needed = if ask.required { "needed" } else { "optional" };
        let doc = joined(ask.doc);
        format!(
            "\n  --with {}={}  ({needed}) {doc}",
            ask.name,
            takes(ask.takes)
        )
    });
    asks.collect()
}

/// `text`'s lines as one.
pub fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn takes(takes: Takes) -> String {
    match takes {
        Takes::Text(_) => "TEXT".to_owned(),
        Takes::Bool(default) => format!("true|false, usually {default}"),
        Takes::Url => "URL".to_owned(),
        Takes::Choice(words) if words.len() <= 6 => words.join("|"),
        Takes::Choice(_) => "WORD".to_owned(),
        Takes::File { accepts: [], .. } => "FILE".to_owned(),
        Takes::File { accepts, .. } => format!("FILE.{}", accepts.join("|")),
    }
}

fn titles() -> String {
    let lines = registry::tokens().iter().map(|kind| {
        let note = match kind.reach {
            Reach::Direct => "",
            Reach::Local(_) => " (works without an account)",
        };
        format!("  {:<23} {}{note}", kind.id, kind.title)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Two lines: what it is, and how it's noticed.
fn entry(kind: &TokenKind, run: Option<&Run>) -> String {
    let first = kind
        .doc
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty());
    let mut text = format!(
        "{} - {}\n    {}\n    noticed over {}; {}",
        kind.id,
        kind.title,
        first_sentence(first.unwrap_or_default()),
        channels(kind),
        state(kind, run).trim_end_matches('.')
    );
    let needed: Vec<&str> = kind
        .asks
        .iter()
        .filter(|ask| ask.required)
        .map(|ask| ask.name)
        .collect();
    if !needed.is_empty() {
        let _ = write!(text, "; needs --with {}=...", needed.join("=... --with "));
    }
    text
}

fn whole(kind: &TokenKind, run: Option<&Run>) -> String {
    let mut text = format!("{} - {}\n\n", kind.id, kind.title);
    for line in kind.doc.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let _ = writeln!(text, "{line}");
    }
    let _ = write!(
        text,
        "\nNoticed over   {}\nState          {}\nIncidents      Canarytoken triggered, logtype {}\n\nAsks for:{}",
        channels(kind),
        state(kind, run),
        kind.logtype,
        asks(kind)
    );
    for ask in kind.asks {
        if let Takes::Choice(words) = ask.takes
            && words.len() > 6
        {
            let _ = write!(text, "\n\nWords of {}: {}", ask.name, words.join(", "));
        }
    }
    let _ = write!(
        text,
        "\n\nMake one:\n  coalmine tokens create {} --memo 'where you put it'",
        kind.id
    );
    for ask in kind.asks.iter().filter(|ask| ask.required) {
        let _ = write!(text, " --with {}=...", ask.name);
    }
    text
}

fn object(kind: &TokenKind, run: Option<&Run>) -> serde_json::Value {
    let asks: Vec<_> = kind
        .asks
        .iter()
        .map(|ask| {
            json!({"name": ask.name, "required": ask.required, "takes": takes(ask.takes),
                "doc": joined(ask.doc)})
        })
        .collect();
    let channels: Vec<_> = kind.channels.iter().map(|c| c.name()).collect();
    json!({"id": kind.id, "title": kind.title, "doc": joined(kind.doc), "logtype": kind.logtype,
        "channels": channels, "reach": kind.reach.name(), "limits": kind.reach.limits(),
        "asks": asks, "ready": run.map(|run| off(kind, run).is_empty())})
}

fn channels(kind: &TokenKind) -> String {
    let names: Vec<&str> = kind.channels.iter().map(|c| c.name()).collect();
    names.join(" and ")
}

/// Whether it can be had now, and how far it reaches.
fn state(kind: &TokenKind, run: Option<&Run>) -> String {
    if let Some(keys) = run.map(|run| off(kind, run)).filter(|off| !off.is_empty()) {
        return format!(
            "its channel is off: set tokens.{} in the configuration",
            keys.join(" and tokens.")
        );
    }
    match kind.reach {
        Reach::Direct => "alerts by itself wherever it's used".to_owned(),
        Reach::Local(limits) => format!("works without an account: {limits}"),
    }
}

/// Keys of the configuration that turn on those of its channels that aren't listening.
fn off(kind: &TokenKind, run: &Run) -> Vec<&'static str> {
    let ports = &run.tokens;
    let keys = kind.channels.iter().map(|channel| match channel {
        TokenChannel::Http => ("http_port", ports.http_port),
        TokenChannel::Dns => ("dns_port", ports.dns_port),
        TokenChannel::Wireguard => ("wireguard_port", ports.wireguard_port),
        TokenChannel::Mysql => ("mysql_port", ports.mysql_port),
        TokenChannel::Smtp => ("smtp_port", ports.smtp_port),
        TokenChannel::Kubernetes => ("kubernetes_port", ports.kubernetes_port),
    });
    keys.filter(|(_, port)| port.is_none())
        .map(|(key, _)| key)
        .collect()
}

fn first_sentence(text: &str) -> &str {
    match text.split_once(". ") {
        Some((first, _)) => text.get(..=first.len()).unwrap_or(text),
        None => text,
    }
}

/// Ids that look like this one.
fn close(id: &str) -> Vec<&'static str> {
    let id = id.to_ascii_lowercase().replace(['_', ' '], "-");
    let all = || registry::tokens().iter().map(|kind| kind.id);
    if id.len() >= 2 {
        let within: Vec<&str> = all()
            .filter(|known| known.contains(&id) || id.contains(known))
            .take(4)
            .collect();
        if !within.is_empty() {
            return within;
        }
    }
    let mut near: Vec<(usize, &str)> = all()
        .map(|known| (distance(&id, known), known))
        .filter(|(distance, known)| *distance <= known.len().div_ceil(4).max(1))
        .collect();
    near.sort_unstable();
    near.into_iter().map(|(_, known)| known).take(3).collect()
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    // Nobody types a longer one.
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let best = (diagonal + usize::from(x != *y)).min(row[j].min(row[j + 1]) + 1);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_mistypes_a_kind_is_told_which_is_meant_and_which_there_are() {
        for (typed, meant) in [
            ("htp", "http"),
            ("word", "doc-msword"),
            ("qr_code", "qr-code"),
            ("wiregaurd", "wireguard"),
        ] {
            let error = named(typed).unwrap_err().to_string();
            let (first, rest) = error.split_once('\n').unwrap();
            assert!(
                first.contains("Did you mean") && first.contains(meant),
                "{first}"
            );
            assert_eq!(rest.lines().count(), registry::tokens().len() + 1);
        }
        let error = named("zzzzzzzzz").unwrap_err().to_string();
        assert!(!error.contains("Did you mean"), "{error}");
    }

    #[test]
    fn every_kind_is_explained_with_its_state_and_what_it_asks_for() {
        for kind in registry::tokens() {
            let short = entry(kind, None);
            assert!(short.lines().count() == 3, "{short}");
            let long = whole(kind, None);
            for ask in kind.asks {
                assert!(long.contains(&format!("--with {}=", ask.name)), "{long}");
            }
            assert!(long.contains(kind.title) && long.contains("Noticed over"));
            assert_eq!(object(kind, None)["id"], kind.id);
        }
        let aws = entry(find("aws-id").unwrap(), None);
        assert!(aws.contains("works without an account: It alerts"), "{aws}");
        let redirect = entry(find("fast-redirect").unwrap(), None);
        assert!(
            redirect.ends_with("needs --with browser_redirect_url=..."),
            "{redirect}"
        );
    }
}
