#![no_main]
//! A genuine manifest, and any announcement and fragments: only genuine bytes make a policy.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tensorgate_verify_fuzz::assembly::assemble_with(bytes);
});
