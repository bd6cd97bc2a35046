//! What an attacker tries, and the code that answers.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "tests make files, and tables of closures"
)]

mod audit;
mod audit_files;
mod authenticate;
mod demand;
mod directory;
mod envelope;
mod externals;
mod format;
mod fragments;
mod guarded;
mod header;
mod hostile;
mod invariants;
mod key_holder;
mod lerobot;
mod polyglot;
mod props;
mod renew;
mod reopen;
mod revocations;
mod statistics;
mod support;
mod trust;
mod trust_rules;
mod undecided;
mod vectors;
mod weights;
