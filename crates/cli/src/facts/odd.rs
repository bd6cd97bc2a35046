//! Fields of a policy's configuration that no table knows: a word for whoever answers for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::text::{count, shorten};

/// The file whose fields they are.
pub(super) const FILE: &str = "config.json";
/// Characters of a value that are shown.
const VALUE: usize = 80;
/// Fields that are kept, and a word for the rest; a configuration has about forty.
const FIELDS: usize = 1_024;

/// `config_fields.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    every: BTreeSet<String>,
    types: BTreeMap<String, BTreeSet<String>>,
}

// A table that cannot be read would know no field, and so name them all; a test below reads it.
static FIELDS_OF_TYPES: LazyLock<Fields> =
    LazyLock::new(|| toml::from_str(include_str!("config_fields.toml")).unwrap_or_default());

/// One field, by its JSON pointer (RFC 6901).
#[derive(Debug, PartialEq)]
pub(crate) struct Odd {
    pub(crate) field: String,
    /// As it stands there, shortened.
    pub(crate) value: String,
}

impl Odd {
    /// Of the bytes of config.json; what is no object has none.
    pub(super) fn all(bytes: &[u8]) -> Vec<Self> {
        let Ok(Value::Object(config)) = serde_json::from_slice(bytes) else {
            return Vec::new();
        };
        let fields = &*FIELDS_OF_TYPES;
        let of_type = config.get("type").and_then(Value::as_str);
        let of_type = of_type.and_then(|name| fields.types.get(name));
        let is_known = |field: &str| {
            fields.every.contains(field) || of_type.is_some_and(|of_type| of_type.contains(field))
        };
        Self::others(&config, is_known)
    }

    fn others(config: &Map<String, Value>, is_known: impl Fn(&str) -> bool) -> Vec<Self> {
        let others = config.iter().filter(|(field, _)| !is_known(field));
        let odd = |(field, value): (&String, &Value)| Self {
            field: format!("{FILE}#/{}", field.replace('~', "~0").replace('/', "~1")),
            value: shorten(&value.to_string(), VALUE),
        };
        let mut kept: Vec<Self> = others.map(odd).collect();
        if let Some(more) = kept.len().checked_sub(FIELDS).filter(|more| *more > 0) {
            kept.truncate(FIELDS);
            kept.push(Self {
                field: format!("{FILE}#"),
                value: format!("and {}", count(more, "more field")),
            });
        }
        kept
    }

    pub(super) fn line(&self) -> String {
        let field = shorten(&self.field, VALUE);
        format!("  odd field  {field:?}: {}", self.value)
    }

    pub(super) fn json(&self) -> Value {
        json!({ "field": self.field, "value": self.value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd(config: Value) -> Vec<String> {
        let all = Odd::all(config.to_string().as_bytes());
        all.into_iter().map(|odd| odd.field).collect()
    }

    #[test]
    fn the_table_can_be_read() {
        let fields: Fields = toml::from_str(include_str!("config_fields.toml")).unwrap();
        assert_eq!((fields.every.len(), fields.types.len()), (14, 23));
    }

    #[test]
    fn what_a_type_has_is_not_odd() {
        let act = json!({"type": "act", "chunk_size": 100, "device": "cpu"});
        assert_eq!(odd(act), [""; 0]);
        let foreign = json!({"type": "act", "vlm_model_name": "x", "a/b": 1});
        assert_eq!(
            odd(foreign),
            ["config.json#/a~1b", "config.json#/vlm_model_name"]
        );
        assert_eq!(
            odd(json!({"type": "mlp", "layers": []})),
            ["config.json#/layers"]
        );
        assert_eq!(odd(json!([1])), [""; 0]);
    }

    #[test]
    fn fields_beyond_the_last_that_is_kept_are_not_silent() {
        let many = (0..FIELDS + 2).map(|n| (format!("field{n:05}"), json!(n)));
        let config = Value::Object(many.collect());
        let all = Odd::all(config.to_string().as_bytes());
        assert_eq!(all.len(), FIELDS + 1);
        let rest = all.last().unwrap();
        assert_eq!(
            (&*rest.field, &*rest.value),
            ("config.json#", "and 2 more fields")
        );
    }
}
