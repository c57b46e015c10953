//! Operators' accounts at clouds: real credentials for tokens, and what was done with them.
//!
//! *Invariant:* it speaks to a cloud only where the operator configured an account there, and no
//! secret stands in what it logs, answers or shows.

pub mod aws;
