//! Real processes that write to a file which is held.
//!
//! `TENSORGATE_GUARDED_SECONDS` says for how long they try (`storm`).
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests make files, and read the environment"
)]

mod child;
mod patience;
mod places;
mod processes;
mod signals;
mod starved;
mod storm;
#[path = "../it/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;
mod writer;
