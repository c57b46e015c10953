//! The binary: command line, configuration, wiring. The only crate that sees every room.
//!
//! *Invariant:* nothing here knows what a decoy says or what a sighting means; it joins the rooms'
//! registries ([`registry`]), reads the operator's wishes ([`config`]) and starts things ([`up`]).

pub mod cli;
pub mod config;
pub mod folder;
pub mod generate;
pub mod incidents;
pub mod personality;
pub mod poke;
pub mod registry;
pub mod remote;
pub mod terminal;
pub mod tokens;
pub mod up;

/// Program version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
