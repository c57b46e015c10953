//! Decoys of the room `login`: one file and two lines each.

use coalmine_core::DecoyKind;

pub mod rdp;
pub mod ssh;
pub mod telnet;
pub mod tn3270;
pub mod vnc;

/// Every decoy of this room.
pub static KINDS: &[&DecoyKind] = &[
    &rdp::KIND,
    &ssh::KIND,
    &telnet::KIND,
    &tn3270::KIND,
    &vnc::KIND,
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_of_the_folder_is_registered() {
        coalmine_core::suite::check_room(env!("CARGO_MANIFEST_DIR"), super::KINDS);
    }
}
