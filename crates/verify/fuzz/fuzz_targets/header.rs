#![no_main]
//! Any bytes as a safetensors file: a table or a refusal, never a panic.
use tensorgate_verify::{Header, Limits};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Header::parse(bytes, bytes.len() as u64, &Limits::default());
});
