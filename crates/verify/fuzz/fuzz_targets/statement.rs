#![no_main]
//! Any bytes that a trusted key signed: what is read is written as it can be read again.
use tensorgate_verify::{Limits, Predicate, SignedManifest, SignedRevocations};

libfuzzer_sys::fuzz_target!(|payload: &[u8]| {
    let (limits, envelope) = (
        Limits::default(),
        tensorgate_verify_fuzz::envelope_of(payload),
    );
    if let Ok(manifest) = SignedManifest::parse(&envelope, &limits)
        .unwrap()
        .untrusted(&limits)
    {
        manifest.to_payload(&limits).unwrap();
    }
    let _ = SignedRevocations::parse(&envelope, &limits)
        .unwrap()
        .untrusted(&limits);
});
