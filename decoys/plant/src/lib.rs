//! Decoys of the room `plant`: one file and two lines each.

use coalmine_core::DecoyKind;

pub mod modbus;
pub mod ntp;
pub mod sip;
pub mod snmp;
pub mod tcpbanner;

/// Every decoy of this room.
pub static KINDS: &[&DecoyKind] = &[
    &modbus::KIND,
    &ntp::KIND,
    &sip::KIND,
    &snmp::KIND,
    &tcpbanner::KIND,
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_of_the_folder_is_registered() {
        coalmine_core::suite::check_room(env!("CARGO_MANIFEST_DIR"), super::KINDS);
    }
}
