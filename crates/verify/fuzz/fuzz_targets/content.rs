#![no_main]
//! Any files in place of a good policy's: pieces between FF, whose first byte says which.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tensorgate_verify_fuzz::content::survey_with(bytes);
});
