//! What the fuzz targets share.

pub mod assembly;
pub mod content;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use safetensors::SafeTensors;
use tensorgate_verify::{Header, PAYLOAD_TYPE};

/// The tables are equal, to the address of each tensor.
pub fn assert_same_table(header: &Header, theirs: &SafeTensors<'_>, bytes: &[u8]) {
    assert_eq!(header.tensors.len(), theirs.len());
    for tensor in &header.tensors {
        let view = theirs.tensor(&tensor.name).unwrap();
        let at = (header.len + tensor.begin) as usize..(header.len + tensor.end) as usize;
        assert_eq!(
            (view.dtype(), view.shape()),
            (tensor.dtype, &tensor.shape[..])
        );
        assert_eq!(view.data().as_ptr_range(), bytes[at].as_ptr_range());
    }
}

/// An envelope around any payload; nobody signed it.
pub fn envelope_of(payload: &[u8]) -> Vec<u8> {
    let payload = STANDARD.encode(payload);
    format!("{{\"payloadType\":\"{PAYLOAD_TYPE}\",\"payload\":\"{payload}\",\"signatures\":[]}}")
        .into()
}
