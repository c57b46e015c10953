//! Decoys of the room `files`: one file and two lines each.

use coalmine_core::DecoyKind;

pub mod ftp;
pub mod git;
pub mod smb;
pub mod tftp;

/// Every decoy of this room.
pub static KINDS: &[&DecoyKind] = &[&ftp::KIND, &git::KIND, &smb::KIND, &tftp::KIND];

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_of_the_folder_is_registered() {
        coalmine_core::suite::check_room(env!("CARGO_MANIFEST_DIR"), super::KINDS);
    }
}
