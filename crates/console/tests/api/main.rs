//! Tests of the API through its real router, and of the listener through real sockets.

mod bench;
mod examples;
mod incidents;
mod listener;
mod others;
mod requests;
