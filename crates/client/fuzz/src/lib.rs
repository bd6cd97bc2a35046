//! The sequences of the crate's own property test, for libFuzzer.
#![expect(dead_code, reason = "the tests' support has more than sequences need")]

#[path = "../../tests/it/drive.rs"]
mod drive;
#[path = "../../tests/it/support.rs"]
mod support;

/// Sends a receiver whatever the bytes say, in that order and at those times.
pub fn drive(input: &[u8]) {
    drive::drive(input);
}
