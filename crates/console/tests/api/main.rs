//! Tests of the API through its real router, and of the listener through real sockets.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod bench;
mod examples;
mod incidents;
mod listener;
mod mails;
mod others;
mod requests;
mod tokens;
