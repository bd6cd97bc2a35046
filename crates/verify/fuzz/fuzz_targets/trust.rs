#![no_main]
//! Any text as a trust policy, and as a key.
use tensorgate_verify::{PublicKey, TrustPolicy};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = PublicKey::from_pem(text);
    let _ = TrustPolicy::parse(text, |_| Err(std::io::ErrorKind::NotFound.into()));
});
