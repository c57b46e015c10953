//! What making a token costs, kind by kind, over the API: making it, and making its file where it has
//! one.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use coalmine_bench::say;
use coalmine_core::TokenKind;
use coalmine_core::token::{Ask, Takes};

use crate::program::{Part, Program};

/// Prints a row for each kind: median CPU of `times` tokens.
pub fn run(program: &Program, times: usize) -> Result<()> {
    say("| kind | CPU ms, token | CPU ms, its file | file's bytes |");
    say("|---|---|---|---|");
    for kind in coalmine_tokens::KINDS {
        row(program, kind, times).with_context(|| kind.id)?;
    }
    Ok(())
}

fn row(program: &Program, kind: &TokenKind, times: usize) -> Result<()> {
    let (mut making, mut filing, mut size) = (Vec::new(), Vec::new(), 0);
    let parts = parts(kind)?;
    for _ in 0..times {
        let before = program.fine_cpu()?;
        let made = program.post("canarytoken/create", &parts)?;
        making.push(program.fine_cpu()?.saturating_sub(before));
        let Some(id) = made["canarytoken"]["canarytoken"].as_str() else {
            bail!("{made}");
        };
        let before = program.fine_cpu()?;
        // Most kinds have no file, and say so.
        if let Ok(file) = program.download(&format!("canarytoken/download?canarytoken={id}")) {
            filing.push(program.fine_cpu()?.saturating_sub(before));
            size = file.len();
        }
    }
    let file = match filing.is_empty() {
        true => ("", String::new()),
        false => (&*format!("{:.2}", median(&mut filing)), size.to_string()),
    };
    say(&format!(
        "| {} | {:.2} | {} | {} |",
        kind.id,
        median(&mut making),
        file.0,
        file.1
    ));
    Ok(())
}

/// In milliseconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    let middle = times.get(times.len() / 2);
    middle.map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// Everything that minting this kind must have.
fn parts(kind: &TokenKind) -> Result<Vec<Part<'static>>> {
    let mut parts = vec![
        ("kind", None, kind.id.as_bytes().to_vec()),
        ("memo", None, b"a benchmark".to_vec()),
    ];
    for ask in kind.asks.iter().filter(|ask| ask.required) {
        parts.push(match ask.takes {
            Takes::File { accepts, .. } if accepts.contains(&"exe") => {
                (ask.name, Some("setup.exe"), executable())
            }
            Takes::File { accepts, .. } if accepts.is_empty() || accepts.contains(&"png") => {
                (ask.name, Some("a.png"), b"\x89PNG\r\n\x1a\n".to_vec())
            }
            Takes::File { .. } => bail!("no file for {}", ask.name),
            _ => (ask.name, None, word(ask).as_bytes().to_vec()),
        });
    }
    Ok(parts)
}

/// What a parameter takes.
fn word(ask: &Ask) -> &'static str {
    match (ask.name, ask.takes) {
        ("card_cvc", _) => "123",
        ("card_expiry", _) => "09/2029",
        ("card_number", _) => "4242 4242 4242 4242",
        ("azure_id_cert_file_name", _) => "deploy.pem",
        ("process_name", _) => "whoami.exe",
        ("mailboxes" | "sender", _) => "alice@example.com",
        (name, _) if name.ends_with("_bucket") => "acme-exports",
        (_, Takes::Url) => "https://www.example.com/login",
        (_, Takes::Choice(words)) => words.first().copied().unwrap_or_default(),
        (_, Takes::Bool(_)) => "true",
        _ => "x",
    }
}

/// Headers of a 64-bit program without sections, and a megabyte of data.
fn executable() -> Vec<u8> {
    let mut out = b"MZ".to_vec();
    out.resize(0x3c, 0);
    out.extend_from_slice(&0x40_u32.to_le_bytes());
    out.extend_from_slice(b"PE\0\0\x64\x86\0\0");
    out.resize(0x40 + 20, 0);
    out.extend_from_slice(&240_u16.to_le_bytes());
    out.extend_from_slice(&0x22_u16.to_le_bytes());
    let optional = out.len();
    out.extend_from_slice(&0x20b_u16.to_le_bytes());
    out.resize(optional + 108, 0);
    out.extend_from_slice(&16_u32.to_le_bytes());
    out.resize(optional + 240, 0);
    out.resize(optional + 240 + (1 << 20), 7);
    out
}
