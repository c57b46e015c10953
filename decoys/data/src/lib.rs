//! Decoys of the room `data`: one file and two lines each.

use coalmine_core::DecoyKind;

/// Every decoy of this room.
pub static KINDS: &[&DecoyKind] = &[];
