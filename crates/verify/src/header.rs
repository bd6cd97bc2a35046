//! A strict parser for safetensors headers.
//!
//! The format: 8 bytes of length `n` (u64, little endian), `n` bytes of JSON, then the data
//! (<https://github.com/huggingface/safetensors#format>). What this parser accepts is a strict
//! subset of what the crate `safetensors` accepts, with the same table; everything that two
//! readers could understand differently is refused.

use std::collections::BTreeMap;
use std::fmt;

use safetensors::Dtype;

use crate::error::{Error, Result};
use crate::header_json::{name_is_plain, parse_table};
use crate::{Limits, Rejection};

/// The table of a safetensors file: what lies where.
///
/// ```
/// use tensorgate_verify::{Header, Limits, Rejection};
///
/// let json = br#"{"gain":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
/// let padded = [&json[..], b"       "].concat();
/// let file = [&64_u64.to_le_bytes()[..], &padded, &[0; 8]].concat();
/// let header = Header::parse(&file, file.len() as u64, &Limits::default())?;
/// assert_eq!((header.len, header.tensors[0].name.as_str()), (72, "gain"));
///
/// // One byte that no tensor owns.
/// let error = Header::parse(&file, file.len() as u64 + 1, &Limits::default()).unwrap_err();
/// assert_eq!(error.rejection(), Some(Rejection::TrailingBytes));
/// # Ok::<(), tensorgate_verify::Error>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// Bytes before the data: 8 + n.
    pub len: u64,
    /// The tensors, ordered by `begin`.
    pub tensors: Vec<Tensor>,
    /// The free text of `__metadata__`; nothing here may be trusted to mean anything.
    pub metadata: BTreeMap<String, String>,
}

/// One row of the table.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tensor {
    /// The tensor's name.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The dimensions, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// First byte, counted from the end of the header.
    pub begin: u64,
    /// One past the last byte, counted from the end of the header.
    pub end: u64,
}

/// One row of a table, parsed or signed: what both must agree on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    pub(crate) dtype: Dtype,
    pub(crate) shape: &'a [usize],
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

/// Bytes of the length field.
const LENGTH_BYTES: u64 = 8;

impl Header {
    /// Reads the header of a file of `file_len` bytes that begins with `bytes`.
    ///
    /// `bytes` must hold the whole header; what follows it is not looked at.
    ///
    /// # Errors
    /// `header-*`, `tensor-*`, `json-duplicate-key`, `trailing-bytes`.
    pub fn parse(bytes: &[u8], file_len: u64, limits: &Limits) -> Result<Self> {
        let refuse =
            |rejection, detail: &dyn fmt::Display| Error::rejected(rejection, "header", detail);
        let len = Self::prefix_len(bytes, limits)?;
        let n = len.saturating_sub(LENGTH_BYTES);
        let json = usize::try_from(n)
            .ok()
            .filter(|_| len <= file_len)
            .and_then(|n| bytes.split_first_chunk::<8>()?.1.get(..n));
        let Some(json) = json else {
            let detail = format!("{n} bytes of header in a file of {file_len}");
            return Err(refuse(Rejection::HeaderLengthInvalid, &detail));
        };
        let text = str::from_utf8(json).map_err(|e| refuse(Rejection::HeaderNotUtf8, &e))?;
        if text.starts_with([' ', '\t', '\r', '\n']) {
            return Err(refuse(
                Rejection::HeaderLeadingSpace,
                &"white space before `{`",
            ));
        }
        let mut header = Self {
            len,
            ..parse_table(text, limits)?
        };
        header
            .tensors
            .sort_unstable_by(|a, b| (a.begin, a.end, &a.name).cmp(&(b.begin, b.end, &b.name)));
        refuse_bad_layout(header.tensors.iter().map(Tensor::row), len, file_len)?;
        Ok(header)
    }

    /// Refuses a signed table that [`parse`](Self::parse) could not have read.
    pub(crate) fn refuse_bad_table<'a>(
        len: u64,
        rows: impl ExactSizeIterator<Item = Row<'a>> + Clone,
        file_len: u64,
        limits: &Limits,
    ) -> Result<()> {
        refuse_length(len.checked_sub(LENGTH_BYTES), limits)?;
        if rows.len() > limits.tensors {
            let rejection = Rejection::TensorTooMany;
            let detail = format!("{} tensors, at most {} may be", rows.len(), limits.tensors);
            return Err(Error::rejected(rejection, "header", detail));
        }
        for row in rows.clone() {
            name_is_plain(row.name, limits)
                .map_err(|why| row.refused(Rejection::TensorNameUnsafe, why))?;
            if row.shape.len() > limits.rank {
                let detail = format!(
                    "{} dimensions, at most {} may be",
                    row.shape.len(),
                    limits.rank
                );
                return Err(row.refused(Rejection::TensorRankTooHigh, detail));
            }
        }
        refuse_bad_layout(rows, len, file_len)
    }

    /// Reads just the length field: how many bytes [`parse`](Self::parse) wants.
    ///
    /// # Errors
    /// `header-too-short`, `header-too-large`.
    pub fn prefix_len(bytes: &[u8], limits: &Limits) -> Result<u64> {
        let length = bytes.first_chunk::<8>();
        let n = refuse_length(length.map(|length| u64::from_le_bytes(*length)), limits)?;
        // `n` is at most `header_bytes`, so the sum does not overflow.
        Ok(LENGTH_BYTES.saturating_add(n))
    }
}

/// Every byte of the data belongs to exactly one tensor, and each can be viewed in place.
fn refuse_bad_layout<'a>(
    rows: impl ExactSizeIterator<Item = Row<'a>>,
    len: u64,
    file_len: u64,
) -> Result<()> {
    let refuse = |rejection, detail: &str| Err(Error::rejected(rejection, "header", detail));
    if rows.len() == 0 {
        return refuse(Rejection::TensorEmpty, "no tensors at all");
    }
    let mut previous_end = 0;
    for row in rows {
        row.refuse_bad_size()?;
        if row.begin != previous_end {
            let begin = row.begin;
            let detail = format!("begins at {begin}, the one before ends at {previous_end}");
            return Err(row.refused(Rejection::TensorOffsetsInvalid, detail));
        }
        row.refuse_misaligned(len)?;
        previous_end = row.end;
    }
    match len.checked_add(previous_end) {
        Some(end) if end == file_len => Ok(()),
        Some(end) if end < file_len => {
            let detail = format!("the last tensor ends at byte {end} of {file_len}");
            refuse(Rejection::TrailingBytes, &detail)
        }
        _ => {
            let detail = format!("the last tensor ends past the end of a file of {file_len} bytes");
            refuse(Rejection::TensorOffsetsInvalid, &detail)
        }
    }
}

/// The one rule for `n`, wherever it comes from; `None` where there is not even room for it.
fn refuse_length(n: Option<u64>, limits: &Limits) -> Result<u64> {
    match n {
        None => Err(Error::rejected(
            Rejection::HeaderTooShort,
            "header",
            "fewer than 8 bytes",
        )),
        Some(n) if n > limits.header_bytes => {
            let detail = format!(
                "{n} bytes of header, at most {} are read",
                limits.header_bytes
            );
            Err(Error::rejected(Rejection::HeaderTooLarge, "header", detail))
        }
        Some(n) => Ok(n),
    }
}

impl Tensor {
    /// Bytes of the data.
    pub fn byte_len(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }

    pub(crate) fn row(&self) -> Row<'_> {
        Row {
            name: &self.name,
            dtype: self.dtype,
            shape: &self.shape,
            begin: self.begin,
            end: self.end,
        }
    }
}

impl Row<'_> {
    fn refused(&self, rejection: Rejection, detail: impl fmt::Display) -> Error {
        Error::rejected(rejection, self.name, detail)
    }

    fn refuse_bad_size(&self) -> Result<()> {
        let Some(range) = self.end.checked_sub(self.begin) else {
            return Err(self.refused(Rejection::TensorOffsetsInvalid, "ends before it begins"));
        };
        let Some(bits) = bit_len(self.dtype, self.shape) else {
            return Err(self.refused(
                Rejection::TensorShapeOverflow,
                "the size does not fit 64 bits",
            ));
        };
        if bits == 0 {
            return Err(self.refused(Rejection::TensorEmpty, "no elements"));
        }
        // Sub-byte types must fill whole bytes.
        if bits % 8 != 0 || bits / 8 != range {
            let detail = format!(
                "{range} bytes, {bits} bits of {} {:?}",
                self.dtype, self.shape
            );
            return Err(self.refused(Rejection::TensorSizeMismatch, detail));
        }
        Ok(())
    }

    fn refuse_misaligned(&self, header_len: u64) -> Result<()> {
        let element = (self.bits() / 8).max(1);
        match header_len.checked_add(self.begin) {
            Some(at) if at.is_multiple_of(element) => Ok(()),
            _ => Err(self.refused(Rejection::TensorMisaligned, "cannot be viewed in place")),
        }
    }

    /// Bits of one element; never 0.
    fn bits(&self) -> u64 {
        u64::try_from(self.dtype.bitsize())
            .unwrap_or(u64::MAX)
            .max(1)
    }
}

/// Bits of a tensor, multiplied from left to right as the crate does.
fn bit_len(dtype: Dtype, shape: &[usize]) -> Option<u64> {
    let elements = shape
        .iter()
        .try_fold(1_usize, |n, dim| n.checked_mul(*dim))?;
    u64::try_from(elements.checked_mul(dtype.bitsize())?).ok()
}
