//! Decoys of the room `data`: one file and two lines each.

use coalmine_core::DecoyKind;

pub mod mysql;

/// Every decoy of this room.
pub static KINDS: &[&DecoyKind] = &[&mysql::KIND];

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_of_the_folder_is_registered() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .into_string()
                    .unwrap()
                    .strip_suffix(".rs")
                    .map(str::to_owned)
            })
            .filter(|name| name != "lib")
            .collect();
        files.sort();
        let mut registered: Vec<_> = super::KINDS.iter().map(|kind| kind.id).collect();
        registered.sort_unstable();
        assert_eq!(files, registered);
    }
}
