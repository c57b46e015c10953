//! Checks of the repository's shape.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Lines from which a file is listed as long.
const LONG: usize = 600;
/// Lines that a file may have without a written reason (`//! Long because ...` near its top).
const MAX_LINES: usize = 1_000;
/// How many lines from the top the reason may stand.
const REASON_WITHIN: usize = 20;

/// Who may use whom: each room with the rooms of ours it may depend on. `coalmine`, `acceptance`,
/// `xtask`, `bench` and `fuzz` see what they like.
const LAYERS: &[(&str, &[&str])] = &[
    ("coalmine-core", &[]),
    ("coalmine-wire", &[]),
    ("coalmine-client", &[]),
    ("coalmine-bus", &["coalmine-core"]),
    ("coalmine-store", &["coalmine-core"]),
    ("coalmine-watch", &["coalmine-core"]),
    ("coalmine-tokens", &["coalmine-core", "coalmine-wire"]),
    ("coalmine-cloud", &["coalmine-core", "coalmine-tokens"]),
    (
        "coalmine-sensor",
        &[
            "coalmine-core",
            "coalmine-wire",
            "coalmine-watch",
            "coalmine-bus",
        ],
    ),
    (
        "coalmine-console",
        &["coalmine-core", "coalmine-store", "coalmine-bus"],
    ),
];
/// What every room of decoys may use.
const DECOYS: &[&str] = &["coalmine-core", "coalmine-wire"];
/// Those that see every room.
const FREE: &[&str] = &[
    "coalmine",
    "acceptance",
    "xtask",
    "coalmine-bench",
    "coalmine-fuzz",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

/// Fails on any edge between our rooms that [`LAYERS`] doesn't have.
pub fn layers() -> Result<()> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("ask cargo for its metadata")?;
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("read cargo's metadata")?;
    let wrong: Vec<String> = metadata.packages.iter().flat_map(wrong_edges).collect();
    if !wrong.is_empty() {
        bail!(
            "edges that the house doesn't have:\n  {}",
            wrong.join("\n  ")
        );
    }
    println!(
        "layers: {} rooms, no edge out of place",
        metadata.packages.len()
    );
    Ok(())
}

fn wrong_edges(package: &Package) -> Vec<String> {
    if FREE.contains(&package.name.as_str()) {
        return Vec::new();
    }
    let allowed = if package.name.starts_with("coalmine-decoys-") {
        Some(DECOYS)
    } else {
        LAYERS
            .iter()
            .find(|(name, _)| *name == package.name)
            .map(|(_, may)| *may)
    };
    let Some(allowed) = allowed else {
        return vec![format!(
            "{} isn't in the table of layers (xtask/src/checks.rs)",
            package.name
        )];
    };
    package
        .dependencies
        .iter()
        // Tests may look over the fence.
        .filter(|dependency| dependency.path.is_some() && dependency.kind.as_deref() != Some("dev"))
        .filter(|dependency| !allowed.contains(&dependency.name.as_str()))
        .map(|dependency| format!("{} -> {}", package.name, dependency.name))
        .collect()
}

/// Lists files of more than [`LONG`] lines; fails on those of more than [`MAX_LINES`] that don't
/// say why.
pub fn sizes(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    for folder in ["crates", "decoys", "tests", "xtask", "bench", "fuzz", "web"] {
        collect(&root.join(folder), &mut files)?;
    }
    let mut too_long = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let lines = text.lines().count();
        let name = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .display()
            .to_string();
        if lines > LONG {
            println!("sizes: {name} has {lines} lines");
        }
        if lines > MAX_LINES
            && !text
                .lines()
                .take(REASON_WITHIN)
                .any(|line| line.contains("Long because "))
        {
            too_long.push(name);
        }
    }
    if too_long.is_empty() {
        return Ok(());
    }
    bail!(
        "more than {MAX_LINES} lines without `Long because ...` near the top: {}",
        too_long.join(", ")
    )
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        if path.is_dir() && !matches!(name, "target" | "corpus" | "artifacts") {
            collect(&path, files)?;
        } else if matches!(
            path.extension().and_then(|e| e.to_str()),
            Some("rs" | "js" | "css" | "py")
        ) {
            files.push(path);
        }
    }
    Ok(())
}

/// Makes the files right in `kept` those of `fresh`; folders in it stay.
pub fn replace(fresh: &Path, kept: &Path) -> Result<()> {
    fs::create_dir_all(kept)?;
    for name in names(kept) {
        fs::remove_file(kept.join(name))?;
    }
    for name in names(fresh) {
        fs::copy(fresh.join(&name), kept.join(&name))?;
    }
    Ok(())
}

/// Names of files that differ between `fresh` and `kept`, or are in one only.
pub fn compare(fresh: &Path, kept: &Path) -> Result<Vec<String>> {
    let mut all = names(fresh);
    if all.is_empty() {
        bail!("nothing was generated");
    }
    all.extend(names(kept));
    all.sort();
    all.dedup();
    let read = |folder: &Path, name: &str| fs::read(folder.join(name)).ok();
    Ok(all
        .into_iter()
        .filter(|name| read(fresh, name) != read(kept, name))
        .collect())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, uses: &str) -> Package {
        Package {
            name: name.to_owned(),
            dependencies: vec![Dependency {
                name: uses.to_owned(),
                kind: None,
                path: Some("x".to_owned()),
            }],
        }
    }

    #[test]
    fn an_edge_out_of_place_is_found() {
        assert_eq!(
            wrong_edges(&package("coalmine-store", "coalmine-core")),
            Vec::<String>::new()
        );
        assert_eq!(
            wrong_edges(&package("coalmine-sensor", "coalmine-decoys-web")),
            ["coalmine-sensor -> coalmine-decoys-web"]
        );
        assert_eq!(
            wrong_edges(&package("coalmine-decoys-web", "coalmine-console")).len(),
            1
        );
        assert_eq!(
            wrong_edges(&package("coalmine-new", "coalmine-core")).len(),
            1
        );
    }
}
