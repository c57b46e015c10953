//! Codecs with two or more users: bytes and values.
//!
//! *Invariant:* no I/O, no clock, no dependency on another room. What comes in is hostile: every
//! parser takes a slice, allocates no more than it was given, and never panics.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod accept;
pub mod ber;
mod bytes;
pub mod kerberos;
pub mod ntlmssp;
pub mod spnego;

/// What the peer sent isn't the message it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the message is malformed")
    }
}

impl std::error::Error for Malformed {}
