//! Decoys of the room `login`: one file and two lines each.

use coalmine_core::DecoyKind;

pub mod ssh;

/// Every decoy of this room.
pub static KINDS: &[&DecoyKind] = &[&ssh::KIND];
