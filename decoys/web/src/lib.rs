//! Decoys of the room `web`: one file and two lines each.

pub mod http;
pub mod https;

use coalmine_core::DecoyKind;

/// Every decoy of this room.
pub static KINDS: &[&DecoyKind] = &[&http::KIND, &https::KIND];
