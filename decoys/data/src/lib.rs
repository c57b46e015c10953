//! Decoys of the room `data`: one file and two lines each.

use coalmine_core::DecoyKind;

pub mod ldap;
pub mod ldaps;
pub mod mongo;
pub mod mssql;
pub mod mysql;
pub mod redis;

/// Every decoy of this room.
pub static KINDS: &[&DecoyKind] = &[
    &ldap::KIND,
    &ldaps::KIND,
    &mongo::KIND,
    &mssql::KIND,
    &mysql::KIND,
    &redis::KIND,
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_of_the_folder_is_registered() {
        coalmine_core::suite::check_room(env!("CARGO_MANIFEST_DIR"), super::KINDS);
    }
}
