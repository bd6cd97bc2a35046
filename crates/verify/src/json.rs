//! JSON without ambiguity: one value, no duplicate keys, no field that is skipped.
//!
//! Readers disagree about which of two equal keys counts (RFC 8259, section 4), so a document
//! that has such a pair has no meaning and is refused before it is given a type.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess,
};

use crate::error::Error;
use crate::{FilePath, Rejection};

/// What is wrong with a document.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// A key occurs twice in one object; the key as decoded.
    DuplicateKey(String),
    /// A field that the type does not know; its path, dots between keys.
    UnknownField(String),
    /// Not JSON, or not of the type's form.
    Malformed(serde_json::Error),
}

impl JsonError {
    /// The refusal of an envelope or statement, of which `subject` is what was read.
    pub(crate) fn of_manifest(self, subject: &str) -> Error {
        match &self {
            Self::DuplicateKey(key) => Error::rejected(Rejection::JsonDuplicateKey, key, &self),
            Self::UnknownField(path) => {
                Error::rejected(Rejection::ManifestUnknownField, path, &self)
            }
            Self::Malformed(_) => Error::rejected(Rejection::ManifestMalformed, subject, &self),
        }
    }

    /// The refusal of a policy's file.
    pub(crate) fn of_file(self, path: &FilePath) -> Error {
        let rejection = match self {
            Self::DuplicateKey(_) => Rejection::JsonDuplicateKey,
            Self::UnknownField(_) | Self::Malformed(_) => Rejection::JsonMalformed,
        };
        Error::rejected(rejection, path, self)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateKey(key) => write!(f, "the key {key:?} occurs twice in one object"),
            Self::UnknownField(path) => write!(f, "the field {path:?} is not known"),
            Self::Malformed(error) => error.fmt(f),
        }
    }
}

/// Reads one value of type `T` and nothing beside it, in the one spelling that `T` is written in.
///
/// serde also reads an array where an object is documented, `null` where nothing is, an enum's
/// name as a key, and instants in many forms; another reader might not. So the value is written
/// again and must be what was read.
///
/// # Errors
/// The first [`JsonError`] that was found.
pub fn from_slice<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, JsonError> {
    match as_written(bytes) {
        Some(value) => Ok(value),
        None => from_any_layout(bytes),
    }
}

/// Reads what is, byte for byte, what is written here: compact or indented, perhaps with the end of
/// a line. `None` says nothing about other documents.
///
/// A writer of structures and sorted maps writes no key twice, no field that the type does not
/// know, and each value in one way, so that equal bytes are equal in all that [`from_slice`] asks
/// for. It costs a fifth of asking.
pub(crate) fn as_written<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let mut rest = Expected(bytes);
    match bytes.starts_with(b"{\n") {
        true => serde_json::to_writer_pretty(&mut rest, &value),
        false => serde_json::to_writer(&mut rest, &value),
    }
    .ok()?;
    matches!(rest.0, b"" | b"\n").then_some(value)
}

/// Takes nothing but these bytes.
struct Expected<'a>(&'a [u8]);

impl io::Write for Expected<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let other = || io::Error::from(io::ErrorKind::InvalidData);
        self.0 = self.0.strip_prefix(bytes).ok_or_else(other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn from_any_layout<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, JsonError> {
    refuse_ambiguity(bytes)?;
    let mut unknown = None;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_ignored::deserialize(&mut reader, |path| {
        unknown.get_or_insert_with(|| path.to_string());
    })
    .map_err(JsonError::Malformed)?;
    if let Some(path) = unknown {
        return Err(JsonError::UnknownField(path));
    }
    let written = serde_json::to_value(&value).map_err(JsonError::Malformed)?;
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(read) if read == written => Ok(value),
        Ok(_) => Err(JsonError::Malformed(de::Error::custom(
            "a value that is not spelled as documented (an array for an object, a `null`, another form of an instant)",
        ))),
        Err(error) => Err(JsonError::Malformed(error)),
    }
}

/// Reads a list of at most `MOST` elements: memory is taken for no more, whatever the list claims.
///
/// # Errors
/// What the deserializer says, or that there are too many.
pub fn at_most<'de, const MOST: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Few<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> de::Visitor<'de> for Few<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = seq.next_element()? {
                if list.len() == MOST {
                    return Err(de::Error::custom(format_args!("more than {MOST} elements")));
                }
                list.push(element);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(Few::<T, MOST>(PhantomData))
}

/// Reads a policy's JSON file, of which nothing is proven but that all readers take it alike.
///
/// # Errors
/// `json-malformed`, `json-duplicate-key`.
pub fn untrusted_json(path: &FilePath, bytes: &[u8]) -> Result<serde_json::Value, Error> {
    refuse_ambiguity(bytes)
        .and_then(|()| serde_json::from_slice(bytes).map_err(JsonError::Malformed))
        .map_err(|error| error.of_file(path))
}

/// Walks the whole document once: syntax, depth (128, serde_json's), trailing bytes, duplicates.
///
/// # Errors
/// Not JSON, or a key that occurs twice in one object.
pub fn refuse_ambiguity(bytes: &[u8]) -> Result<(), JsonError> {
    let duplicate = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let walked = Unambiguous {
        duplicate: &duplicate,
    }
    .deserialize(&mut reader);
    match (walked.and_then(|()| reader.end()), duplicate.into_inner()) {
        (_, Some(key)) => Err(JsonError::DuplicateKey(key)),
        (Err(error), None) => Err(JsonError::Malformed(error)),
        (Ok(()), None) => Ok(()),
    }
}

/// Visits any value and keeps nothing but the key that came twice.
#[derive(Clone, Copy)]
struct Unambiguous<'a> {
    duplicate: &'a Cell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Unambiguous<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Unambiguous<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                self.duplicate.set(Some(key));
                return Err(de::Error::custom("duplicate key"));
            }
            seen.insert(key);
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize, serde::Serialize)]
    struct Point {
        x: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        y: Option<u8>,
    }

    #[test]
    fn reads_one_value() {
        let point: Point = from_slice(br#" {"x": 1, "y": 2} "#).unwrap();
        assert_eq!((point.x, point.y), (1, Some(2)));
        assert_eq!(from_slice::<Point>(br#"{"x":1}"#).unwrap().y, None);
    }

    #[test]
    fn refuses_equal_keys_however_they_are_written() {
        for text in [
            r#"{"x":1,"x":1}"#,
            r#"{"x":1,"\u0078":2}"#,
            r#"{"x":[{"a":0,"a":0}]}"#,
        ] {
            let error = from_slice::<Point>(text.as_bytes()).unwrap_err();
            assert!(
                matches!(error, JsonError::DuplicateKey(_)),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn refuses_unknown_fields_by_path() {
        let error = from_slice::<Vec<Point>>(br#"[{"x":1,"z":[]}]"#).unwrap_err();
        assert!(matches!(error, JsonError::UnknownField(path) if path == "0.z"));
    }

    #[test]
    fn refuses_what_is_no_single_value() {
        for text in [
            "",
            "{",
            r#"{"x":1}{"#,
            r#"{"x":1} 2"#,
            r#"{"x":1,"y":null}"#,
            "\u{feff}{\"x\":1}",
            "{\"x\":1}\0",
            "[1]",
        ] {
            let error = from_slice::<Point>(text.as_bytes()).unwrap_err();
            assert!(
                matches!(error, JsonError::Malformed(_)),
                "{text:?}: {error}"
            );
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(
            from_slice::<Point>(deep.as_bytes()),
            Err(JsonError::Malformed(_))
        ));
    }

    #[test]
    fn what_is_written_here_is_read_in_one_pass() {
        for text in [r#"[{"x":1},{"x":2,"y":3}]"#, "[]"] {
            assert!(as_written::<Vec<Point>>(text.as_bytes()).is_some());
        }
        let pretty = "{\n  \"x\": 1,\n  \"y\": 2\n}";
        assert!(as_written::<Point>(pretty.as_bytes()).is_some());
        assert!(as_written::<Point>(format!("{pretty}\n").as_bytes()).is_some());
        for other in [
            r#"{"x": 1}"#,
            r#"{"y":2,"x":1}"#,
            r#"{"\u0078":1}"#,
            "{\"x\":1}\n\n",
            "{\n\"x\": 1\n}",
        ] {
            assert!(as_written::<Point>(other.as_bytes()).is_none(), "{other}");
            assert!(from_slice::<Point>(other.as_bytes()).is_ok(), "{other}");
        }
    }

    /// Every document that differs in one byte, or has one more or less.
    #[test]
    fn one_pass_lets_nothing_pass_that_the_others_refuse() {
        let text = br#"[{"x":10,"y":20},{"x":3}]"#;
        let mut passed = 0;
        let mut both = |text: Vec<u8>| {
            if let Some(read) = as_written::<Vec<Point>>(&text) {
                assert_eq!(from_any_layout::<Vec<Point>>(&text).unwrap(), read);
                passed += 1;
            }
        };
        for at in 0..text.len() {
            both([&text[..at], &text[at + 1..]].concat());
            for byte in 0..=255 {
                both([&text[..at], &[byte], &text[at + 1..]].concat());
                both([&text[..at], &[byte], &text[at..]].concat());
            }
        }
        assert!(passed > 50, "{passed}: other digits");
    }
}
