//! The command as its users meet it: the built binary, its exit status and what it prints.
#![cfg(test)]
#![forbid(unsafe_code)]

mod audit;
mod diff;
mod fetch;
mod fetch_signed;
mod fixture;
mod help;
mod inspect;
#[path = "../../../oms/tests/it/interpreter.rs"]
mod interpreter;
mod keygen;
mod memory;
mod oms;
mod operator;
mod place;
mod sign;
mod sign_oms;
mod store;
mod support;
mod trust;
mod verify;
