//! Conversations that a fuzzer once broke a decoy with (`fuzz/regressions/<kind>/`), held again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "all of it is a test")]

use std::fs;
use std::path::{Path, PathBuf};

use coalmine::registry;
use coalmine_core::DecoyKind;
use coalmine_core::suite::converse;

#[test]
fn what_a_fuzzer_found_stays_mended() {
    let found = regressions();
    assert!(!found.is_empty(), "fuzz/regressions is empty or not there");
    for (kind, file) in found {
        // A panic doesn't say which file; this does, as the test's output is shown when it fails.
        println!("{}", file.display());
        converse(kind, &fs::read(file).unwrap());
    }
}

/// Every kept conversation with the kind that its folder names.
fn regressions() -> Vec<(&'static DecoyKind, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/regressions");
    let mut found = Vec::new();
    for folder in fs::read_dir(root).unwrap() {
        let folder = folder.unwrap().path();
        let id = folder.file_name().unwrap().to_str().unwrap();
        let kinds = registry::decoys();
        let kind = kinds.into_iter().find(|kind| kind.id == id);
        let kind = kind.unwrap_or_else(|| panic!("{} names no kind", folder.display()));
        let files = fs::read_dir(&folder).unwrap();
        found.extend(files.map(|file| (kind, file.unwrap().path())));
    }
    found.sort_by(|(_, a), (_, b)| a.cmp(b));
    found
}
