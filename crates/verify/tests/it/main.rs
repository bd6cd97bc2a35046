//! What an attacker tries, and the code that answers.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends by panicking, and tests make files"
)]

mod authenticate;
mod directory;
mod fragments;
mod header;
mod invariants;
mod support;
