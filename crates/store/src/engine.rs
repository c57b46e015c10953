//! Not built yet.

/// A handle to the store; clones share it.
#[derive(Clone, Debug)]
pub struct Store {}
