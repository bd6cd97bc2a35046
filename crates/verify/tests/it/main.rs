//! What an attacker tries, and the code that answers.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "tests make files, and tables of closures"
)]

mod authenticate;
mod directory;
mod envelope;
mod format;
mod fragments;
mod header;
mod hostile;
mod invariants;
mod polyglot;
mod support;
mod trust;
mod weights;
