//! The dependencies that are really compiled, held against `deny.toml`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
}

/// Fails on a dependency whose licence isn't allowed or which is banned.
pub fn check(root: &Path) -> Result<()> {
    let text = std::fs::read_to_string(root.join("deny.toml")).context("read deny.toml")?;
    let deny: Deny = toml::from_str(&text).context("read deny.toml")?;
    // What features leave out stands in the lock file and in the metadata, but not here.
    let output = Command::new("cargo")
        .args(["tree", "--workspace", "--prefix", "none", "--no-dedupe"])
        .args(["--edges", "normal,build,dev", "--format", "{p}|{l}"])
        .current_dir(root)
        .output()
        .context("ask cargo for the dependencies")?;
    let tree = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<&str> = tree.lines().filter(|line| line.contains('|')).collect();
    lines.sort_unstable();
    lines.dedup();
    if !output.status.success() || lines.is_empty() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    }
    let wrong: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| !is_right(line, &deny))
        .collect();
    if !wrong.is_empty() {
        bail!("deny.toml doesn't allow:\n  {}", wrong.join("\n  "));
    }
    println!("licences: {} packages, all allowed", lines.len());
    Ok(())
}

/// Judges `name version (where)|licence`.
fn is_right(line: &str, deny: &Deny) -> bool {
    let (package, licence) = line.split_once('|').unwrap_or((line, ""));
    let name = package.split(' ').next().unwrap_or("");
    is_allowed(licence, &deny.licenses.allow)
        && deny.bans.deny.iter().all(|banned| banned.name != name)
}

/// Of every part of an SPDX expression one alternative is allowed. Where AND stands inside OR this is
/// stricter than the expression, never laxer.
fn is_allowed(licence: &str, allowed: &[String]) -> bool {
    licence.split(" AND ").all(|part| {
        part.split(" OR ")
            .flat_map(|part| part.split('/'))
            .map(|one| one.trim_matches([' ', '(', ')']))
            .any(|one| allowed.iter().any(|allowed| allowed == one))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_needs_an_allowed_alternative() {
        let allowed = ["MIT".to_owned(), "ISC".to_owned()];
        for right in ["MIT", "GPL-3.0 OR MIT", "(MIT OR X) AND ISC", "X/MIT"] {
            assert!(is_allowed(right, &allowed), "{right}");
        }
        for wrong in ["", "GPL-3.0", "MIT AND X", "MIT WITH X", "(X OR Y) AND MIT"] {
            assert!(!is_allowed(wrong, &allowed), "{wrong}");
        }
    }

    #[test]
    fn a_banned_package_is_found() {
        let deny: Deny =
            toml::from_str("licenses.allow = [\"ISC\"]\nbans.deny = [{ crate = \"ring\" }]\n")
                .unwrap();
        assert!(is_right("rings v1.0.0|ISC", &deny));
        assert!(!is_right("ring v0.17.14|ISC", &deny));
    }
}
