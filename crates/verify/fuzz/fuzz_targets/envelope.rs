#![no_main]
//! Any bytes as an envelope, and whatever is inside as a manifest and as a list of revocations.
use tensorgate_verify::{Limits, SignedManifest, SignedRevocations};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let _ = SignedManifest::parse(bytes, &limits).map(|signed| signed.untrusted(&limits));
    let _ = SignedRevocations::parse(bytes, &limits).map(|signed| signed.untrusted(&limits));
});
