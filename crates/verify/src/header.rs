//! A strict parser for safetensors headers.
//!
//! The format: 8 bytes of length `n` (u64, little endian), `n` bytes of JSON, then the data
//! (<https://github.com/huggingface/safetensors#format>). What this parser accepts is a strict
//! subset of what the crate `safetensors` accepts, with the same table; everything that two
//! readers could understand differently is refused.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

use safetensors::Dtype;
use serde::de::value::StrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, Result};
use crate::{Limits, Rejection};

/// The table of a safetensors file: what lies where.
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
        let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(refuse(Rejection::HeaderTooShort, &"fewer than 8 bytes"));
        };
        let n = u64::from_le_bytes(*length);
        if n > limits.header_bytes {
            let detail = format!(
                "{n} bytes of header, at most {} are read",
                limits.header_bytes
            );
            return Err(refuse(Rejection::HeaderTooLarge, &detail));
        }
        // `n` is at most `header_bytes`, so the sum does not overflow.
        let len = LENGTH_BYTES.saturating_add(n);
        let json = usize::try_from(n)
            .ok()
            .filter(|_| len <= file_len)
            .and_then(|n| rest.get(..n));
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
        header.refuse_bad_layout(file_len)?;
        Ok(header)
    }

    /// The header that a signed table speaks of, under the rules that a parsed one obeys.
    pub(crate) fn from_table(
        len: u64,
        tensors: Vec<Tensor>,
        file_len: u64,
        limits: &Limits,
    ) -> Result<Self> {
        if len < LENGTH_BYTES || len.saturating_sub(LENGTH_BYTES) > limits.header_bytes {
            let detail = format!("{len} bytes before the tensors");
            return Err(Error::rejected(Rejection::HeaderTooLarge, "header", detail));
        }
        if tensors.len() > limits.tensors {
            return Err(Error::rejected(
                Rejection::TensorTooMany,
                "header",
                tensors.len(),
            ));
        }
        for tensor in &tensors {
            name_is_plain(&tensor.name, limits)
                .map_err(|why| tensor.refused(Rejection::TensorNameUnsafe, why))?;
            if tensor.shape.len() > limits.rank {
                return Err(tensor.refused(Rejection::TensorRankTooHigh, tensor.shape.len()));
            }
        }
        let header = Self {
            len,
            tensors,
            metadata: BTreeMap::new(),
        };
        header.refuse_bad_layout(file_len)?;
        Ok(header)
    }

    /// Reads just the length field: how many bytes [`parse`](Self::parse) wants.
    ///
    /// # Errors
    /// `header-too-short`, `header-too-large`.
    pub fn prefix_len(bytes: &[u8], limits: &Limits) -> Result<u64> {
        let Some((length, _)) = bytes.split_first_chunk::<8>() else {
            return Err(Error::rejected(
                Rejection::HeaderTooShort,
                "header",
                "fewer than 8 bytes",
            ));
        };
        match u64::from_le_bytes(*length) {
            n if n > limits.header_bytes => {
                let detail = format!(
                    "{n} bytes of header, at most {} are read",
                    limits.header_bytes
                );
                Err(Error::rejected(Rejection::HeaderTooLarge, "header", detail))
            }
            n => Ok(LENGTH_BYTES.saturating_add(n)),
        }
    }

    /// Every byte of the data belongs to exactly one tensor, and each can be viewed in place.
    fn refuse_bad_layout(&self, file_len: u64) -> Result<()> {
        if self.tensors.is_empty() {
            return Err(Error::rejected(
                Rejection::TensorEmpty,
                "header",
                "no tensors at all",
            ));
        }
        let mut previous_end = 0;
        for tensor in &self.tensors {
            tensor.refuse_bad_size()?;
            if tensor.begin != previous_end {
                let detail = format!(
                    "begins at {}, the one before ends at {previous_end}",
                    tensor.begin
                );
                return Err(tensor.refused(Rejection::TensorOffsetsInvalid, detail));
            }
            tensor.refuse_misaligned(self.len)?;
            previous_end = tensor.end;
        }
        match self.len.checked_add(previous_end) {
            Some(end) if end == file_len => Ok(()),
            Some(end) if end < file_len => {
                let detail = format!("the last tensor ends at byte {end} of {file_len}");
                Err(Error::rejected(Rejection::TrailingBytes, "header", detail))
            }
            _ => {
                let detail =
                    format!("the last tensor ends past the end of a file of {file_len} bytes");
                Err(Error::rejected(
                    Rejection::TensorOffsetsInvalid,
                    "header",
                    detail,
                ))
            }
        }
    }
}

impl Tensor {
    /// Bytes of the data.
    pub fn byte_len(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }

    fn refused(&self, rejection: Rejection, detail: impl fmt::Display) -> Error {
        Error::rejected(rejection, &self.name, detail)
    }

    fn refuse_bad_size(&self) -> Result<()> {
        let Some(range) = self.end.checked_sub(self.begin) else {
            return Err(self.refused(Rejection::TensorOffsetsInvalid, "ends before it begins"));
        };
        let Some(bits) = bit_len(self.dtype, &self.shape) else {
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
                "{range} bytes for {} elements of {:?}",
                bits / self.bits(),
                self.shape
            );
            return Err(self.refused(Rejection::TensorSizeMismatch, detail));
        }
        Ok(())
    }

    fn refuse_misaligned(&self, header_len: u64) -> Result<()> {
        let element = (self.bits() / 8).max(1);
        match header_len.checked_add(self.begin) {
            Some(at) if at % element == 0 => Ok(()),
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

/// Why the JSON was refused; serde's errors carry only text, so the code travels beside them.
type Refusal = (Rejection, String, String);

/// What the visitors below share.
#[derive(Clone, Copy)]
struct Rules<'a> {
    limits: &'a Limits,
    refusal: &'a Cell<Option<Refusal>>,
}

impl Rules<'_> {
    fn refuse<E: de::Error>(self, rejection: Rejection, subject: &str, detail: &str) -> E {
        self.refusal
            .set(Some((rejection, subject.to_owned(), detail.to_owned())));
        E::custom(detail)
    }
}

fn parse_table(text: &str, limits: &Limits) -> Result<Header> {
    let refusal = Cell::new(None);
    let rules = Rules {
        limits,
        refusal: &refusal,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let parsed = reader
        .deserialize_map(Table(rules))
        .and_then(|table| reader.end().map(|()| table));
    parsed.map_err(|error| match refusal.take() {
        Some((rejection, subject, detail)) => Error::rejected(rejection, subject, detail),
        None => Error::rejected(Rejection::HeaderMalformed, "header", error),
    })
}

struct Table<'a>(Rules<'a>);

impl<'de> Visitor<'de> for Table<'_> {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut seen = HashSet::new();
        let mut header = Header {
            len: 0,
            tensors: Vec::new(),
            metadata: BTreeMap::new(),
        };
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(self.0.refuse(
                    Rejection::JsonDuplicateKey,
                    &key,
                    "the name occurs twice",
                ));
            }
            if key == "__metadata__" {
                header.metadata = map.next_value_seed(Metadata(self.0))?;
                continue;
            }
            if header.tensors.len() >= self.0.limits.tensors {
                let detail = format!("more than {} tensors", self.0.limits.tensors);
                return Err(self.0.refuse(Rejection::TensorTooMany, "header", &detail));
            }
            header.tensors.push(map.next_value_seed(Entry {
                rules: self.0,
                name: key,
            })?);
        }
        Ok(header)
    }
}

struct Metadata<'a>(Rules<'a>);

impl<'de> DeserializeSeed<'de> for Metadata<'_> {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Metadata<'_> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings as `__metadata__`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut metadata = BTreeMap::new();
        let mut bytes = 0_usize;
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
            if bytes > self.0.limits.metadata_bytes {
                return Err(self.0.refuse(
                    Rejection::HeaderTooLarge,
                    "__metadata__",
                    "too many bytes",
                ));
            }
            if metadata.contains_key(&key) {
                return Err(self.0.refuse(
                    Rejection::JsonDuplicateKey,
                    &key,
                    "twice in `__metadata__`",
                ));
            }
            metadata.insert(key, value);
        }
        Ok(metadata)
    }
}

/// One tensor: exactly `dtype`, `shape` and `data_offsets`, as an object.
struct Entry<'a> {
    rules: Rules<'a>,
    name: String,
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = Tensor;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tensor, D::Error> {
        if let Err(why) = name_is_plain(&self.name, self.rules.limits) {
            return Err(self
                .rules
                .refuse(Rejection::TensorNameUnsafe, &self.name, why));
        }
        deserializer.deserialize_map(self)
    }
}

/// Names are identifiers of programs: printable ASCII, no path tricks. So no two look alike.
pub(crate) fn name_is_plain(name: &str, limits: &Limits) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("an empty name");
    }
    if name.len() > limits.tensor_name_bytes {
        return Err("a name that is too long");
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b))
    {
        return Err("a character that is not printable ASCII, or a quote, backslash or space");
    }
    if name.split('/').any(|part| part == "..") {
        return Err("a name that climbs like a path");
    }
    Ok(())
}

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = Tensor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object for the tensor {:?}", self.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tensor, A::Error> {
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            let again = match key.as_str() {
                "dtype" => dtype.replace(map.next_value_seed(StrictDtype)?).is_some(),
                "shape" => shape
                    .replace(map.next_value_seed(Shape(self.rules, &self.name))?)
                    .is_some(),
                "data_offsets" => offsets.replace(map.next_value::<[u64; 2]>()?).is_some(),
                _ => {
                    let detail = format!("the unknown field {key:?}");
                    return Err(self.rules.refuse(
                        Rejection::HeaderUnknownField,
                        &self.name,
                        &detail,
                    ));
                }
            };
            if again {
                let detail = format!("the field {key:?} occurs twice");
                return Err(self
                    .rules
                    .refuse(Rejection::JsonDuplicateKey, &self.name, &detail));
            }
        }
        let [begin, end] = offsets.ok_or_else(|| de::Error::missing_field("data_offsets"))?;
        let dtype = dtype.ok_or_else(|| de::Error::missing_field("dtype"))?;
        let shape = shape.ok_or_else(|| de::Error::missing_field("shape"))?;
        Ok(Tensor {
            name: self.name,
            dtype,
            shape,
            begin,
            end,
        })
    }
}

/// A dtype is a plain string; serde's enums would also take `{"F32": null}`.
struct StrictDtype;

impl<'de> DeserializeSeed<'de> for StrictDtype {
    type Value = Dtype;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dtype, D::Error> {
        let name = String::deserialize(deserializer)?;
        Dtype::deserialize(StrDeserializer::new(&name))
    }
}

/// Dimensions, read no further than the limit.
struct Shape<'a>(Rules<'a>, &'a str);

impl<'de> DeserializeSeed<'de> for Shape<'_> {
    type Value = Vec<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<usize>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = Vec<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<usize>, A::Error> {
        let mut shape = Vec::new();
        while let Some(dim) = seq.next_element()? {
            if shape.len() >= self.0.limits.rank {
                let detail = format!("more than {} dimensions", self.0.limits.rank);
                return Err(self.0.refuse(Rejection::TensorRankTooHigh, self.1, &detail));
            }
            shape.push(dim);
        }
        Ok(shape)
    }
}
