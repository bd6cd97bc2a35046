//! The command as its users meet it: the built binary, its exit status and what it prints.
#![cfg(test)]
#![forbid(unsafe_code)]

mod fetch;
mod help;
mod inspect;
mod keygen;
mod sign;
mod support;
mod verify;
