//! Token kinds: one file and two lines each.

use coalmine_core::TokenKind;

/// Every token kind there is.
pub static KINDS: &[&TokenKind] = &[];
