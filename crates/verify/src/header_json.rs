//! The JSON of a safetensors header, read by visitors that refuse every ambiguity.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use safetensors::Dtype;
use serde::de::value::StrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, Result};
use crate::{Header, Limits, Rejection, Tensor};

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

    fn refuse_twice<E: de::Error>(self, name: &str) -> E {
        self.refuse(Rejection::JsonDuplicateKey, name, "the name occurs twice")
    }
}

/// Reads the table; layout is not judged here, and `len` is left 0.
pub(crate) fn parse_table(text: &str, limits: &Limits) -> Result<Header> {
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
        let (mut metadata, mut tensors) = (None, Vec::new());
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                let read = map.next_value_seed(Metadata(self.0))?;
                if metadata.replace(read).is_some() {
                    return Err(self.0.refuse_twice(&name));
                }
                continue;
            }
            if tensors.len() >= self.0.limits.tensors {
                let detail = format!("more than {} tensors", self.0.limits.tensors);
                return Err(self.0.refuse(Rejection::TensorTooMany, "header", &detail));
            }
            let rules = self.0;
            tensors.push(map.next_value_seed(Entry { rules, name })?);
        }
        if let Some(name) = twice(&tensors) {
            return Err(self.0.refuse_twice(name));
        }
        Ok(Header {
            len: 0,
            tensors,
            metadata: metadata.unwrap_or_default(),
        })
    }
}

/// A name that two tensors have. Sorted, since writers sort too: that is cheaper than a set that
/// nobody can flood.
fn twice(tensors: &[Tensor]) -> Option<&str> {
    let mut names: Vec<&str> = tensors.iter().map(|tensor| &*tensor.name).collect();
    names.sort_unstable();
    let pairs = names.windows(2).filter_map(|pair| pair.split_first());
    pairs
        .filter(|(a, b)| b.first() == Some(a))
        .map(|(a, _)| *a)
        .next()
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
        while let Some(field) = map.next_key_seed(AnyField(self.rules, &self.name))? {
            let again = match field {
                Field::Dtype => dtype.replace(map.next_value_seed(StrictDtype)?).is_some(),
                Field::Shape => {
                    let read = map.next_value_seed(Shape(self.rules, &self.name))?;
                    shape.replace(read).is_some()
                }
                Field::Offsets => offsets.replace(map.next_value::<[u64; 2]>()?).is_some(),
            };
            if again {
                let refuse = |detail| {
                    self.rules
                        .refuse(Rejection::JsonDuplicateKey, &self.name, detail)
                };
                return Err(refuse("one of its fields occurs twice"));
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

enum Field {
    Dtype,
    Shape,
    Offsets,
}

/// A field's name, not kept: there are three for each tensor.
struct AnyField<'a>(Rules<'a>, &'a str);

impl<'de> DeserializeSeed<'de> for AnyField<'_> {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for AnyField<'_> {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Field, E> {
        match name {
            "dtype" => Ok(Field::Dtype),
            "shape" => Ok(Field::Shape),
            "data_offsets" => Ok(Field::Offsets),
            _ => {
                let detail = format!("the unknown field {name:?}");
                Err(self
                    .0
                    .refuse(Rejection::HeaderUnknownField, self.1, &detail))
            }
        }
    }
}

/// A dtype is a plain string; serde's enums would also take `{"F32": null}`.
struct StrictDtype;

impl<'de> DeserializeSeed<'de> for StrictDtype {
    type Value = Dtype;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dtype, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for StrictDtype {
    type Value = Dtype;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an element type")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Dtype, E> {
        Dtype::deserialize(StrDeserializer::new(name))
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
