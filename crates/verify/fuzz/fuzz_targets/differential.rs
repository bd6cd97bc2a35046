#![no_main]
//! What we accept, the crate `safetensors` accepts, with the same table.
use safetensors::SafeTensors;
use tensorgate_verify::{Header, Limits};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = Header::parse(bytes, bytes.len() as u64, &Limits::default()) {
        let theirs = SafeTensors::deserialize(bytes).expect("the crate accepts it, too");
        tensorgate_verify_fuzz::assert_same_table(&header, &theirs, bytes);
    }
});
