//! Decoys of the room `files`: one file and two lines each.

use coalmine_core::DecoyKind;

pub mod ftp;
pub mod git;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the server that uses these parts comes next")
)]
mod smb {
    mod dice;
    mod documents;
    mod rpc;
    mod tree;
    mod words;
}
pub mod tftp;

/// Every decoy of this room.
pub static KINDS: &[&DecoyKind] = &[&ftp::KIND, &git::KIND, &tftp::KIND];

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_of_the_folder_is_registered() {
        coalmine_core::suite::check_room(env!("CARGO_MANIFEST_DIR"), super::KINDS);
    }
}
