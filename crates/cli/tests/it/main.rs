//! The command as its users meet it: the built binary, its exit status and what it prints.
#![cfg(test)]
#![forbid(unsafe_code)]

mod audit;
mod channel;
mod diff;
mod dry_run;
mod fetch;
mod fetch_signed;
mod fixture;
mod help;
mod import;
mod inspect;
#[path = "../../../oms/tests/it/interpreter.rs"]
mod interpreter;
mod keygen;
mod memory;
#[path = "../../../hub/tests/common/mirror.rs"]
mod mirror;
mod olah;
mod oms;
mod operator;
mod peak;
mod place;
mod resume;
mod sign;
mod sign_oms;
mod stage;
mod store;
mod support;
mod trust;
mod verify;
mod watch;
