//! The tensors of the network, each with what its elements are as numbers.

use rayon::prelude::*;
use safetensors::Dtype;
use serde_json::{Value, json};
use tensorgate_verify::{FilePath, Header};

use super::numbers::Numbers;
use crate::text::{number, thousands};

/// Tensors whose numbers are counted part by part: each takes 256 bytes, and a policy has about a
/// thousand.
const COUNTED: usize = 4_096;

/// One tensor of the network.
#[derive(Debug)]
pub(crate) struct Tensor {
    pub(crate) file: FilePath,
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: u64,
    /// `None` where the elements are no numbers that are read here.
    pub(crate) numbers: Option<Numbers>,
}

/// The tensors of one file, which has these bytes and this header.
pub(super) fn of(file: &FilePath, header: &Header, bytes: &[u8]) -> Vec<Tensor> {
    let mut table: Vec<&tensorgate_verify::Tensor> = header.tensors.iter().collect();
    table.sort_by_key(|tensor| std::cmp::Reverse(tensor.byte_len()));
    let tensor = |(rank, tensor): (usize, &&tensorgate_verify::Tensor)| Tensor {
        file: file.clone(),
        name: tensor.name.clone(),
        dtype: tensor.dtype,
        shape: tensor.shape.clone(),
        bytes: tensor.byte_len(),
        numbers: Numbers::of(tensor.dtype, data(header, tensor, bytes), rank < COUNTED),
    };
    table.par_iter().enumerate().map(tensor).collect()
}

/// The bytes of one tensor; the header's parser made sure that they are there.
pub(super) fn data<'b>(
    header: &Header,
    tensor: &tensorgate_verify::Tensor,
    bytes: &'b [u8],
) -> &'b [u8] {
    let at = |offset: u64| usize::try_from(header.len.saturating_add(offset)).ok();
    let range = at(tensor.begin).zip(at(tensor.end));
    let data = range.and_then(|(begin, end)| bytes.get(begin..end));
    data.unwrap_or_default()
}

/// The largest first, in the order of the names where they are equal; of the others, no counts.
pub(super) fn keep_largest(tensors: &mut [Tensor]) {
    tensors.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    for tensor in tensors.iter_mut().skip(COUNTED) {
        if let Some(numbers) = &mut tensor.numbers {
            numbers.histogram = None;
        }
    }
}

impl Tensor {
    /// The header's parser made sure that the product fits.
    pub(crate) fn elements(&self) -> u64 {
        self.shape.iter().map(|dim| *dim as u64).product()
    }

    pub(super) fn line(&self) -> String {
        let numbers = match self.numbers.as_ref() {
            Some(Numbers {
                range: Some((min, max)),
                l2,
                ..
            }) => {
                let [min, max, l2] = [*min, *max, *l2].map(number);
                format!("{min} to {max}, L2 {l2}")
            }
            Some(_) => "no finite number".to_owned(),
            None => "not read as numbers".to_owned(),
        };
        let Self {
            name, dtype, shape, ..
        } = self;
        let bytes = thousands(self.bytes);
        format!("  tensor     {name:?} {dtype} {shape:?}, {bytes} bytes: {numbers}")
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "file": self.file,
            "name": self.name,
            "dtype": self.dtype,
            "shape": self.shape,
            "bytes": self.bytes,
            "numbers": self.numbers.as_ref().map(Numbers::json),
        })
    }
}
