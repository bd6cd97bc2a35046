#![no_main]
//! Any messages at any time: only what was signed and is stood by may be acted on.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tensorgate_client_fuzz::drive(bytes);
});
