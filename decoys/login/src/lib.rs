//! Decoys of the room `login`: one file and two lines each.

use coalmine_core::DecoyKind;

pub mod ssh;
pub mod telnet;

/// Every decoy of this room.
pub static KINDS: &[&DecoyKind] = &[&ssh::KIND, &telnet::KIND];
