//! Decoys of the room `web`: one file and two lines each.

pub mod http;
pub mod httpproxy;
pub mod https;
pub mod winrm;
pub mod winrms;

use coalmine_core::DecoyKind;

/// Every decoy of this room.
pub static KINDS: &[&DecoyKind] = &[
    &http::KIND,
    &httpproxy::KIND,
    &https::KIND,
    &winrm::KIND,
    &winrms::KIND,
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_of_the_folder_is_registered() {
        coalmine_core::suite::check_room(env!("CARGO_MANIFEST_DIR"), super::KINDS);
    }
}
