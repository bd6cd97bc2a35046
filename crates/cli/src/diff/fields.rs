//! JSON, field by field.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tensorgate_verify::untrusted_json;

use super::detail::{Closed, Detail};
use super::files::{Folder, Version};
use super::{SHOWN, TEXT_BYTES};
use crate::failure::Failure;
use crate::text::{count, shorten};

/// Characters of a value that are shown.
const VALUE: usize = 80;

/// One field, found by its JSON pointer (RFC 6901), that is not the same in both.
#[derive(Debug, PartialEq)]
struct Field<'v> {
    pointer: String,
    before: Option<&'v Value>,
    after: Option<&'v Value>,
}

/// Compares two JSON files.
pub(super) fn compare(a: &Version, b: &Version) -> Result<Detail, Failure> {
    match (parse(a)?, parse(b)?) {
        (Ok(before), Ok(after)) => Ok(detail(&before, &after)),
        (before, after) => Ok(Detail::closed(before.err(), after.err())),
    }
}

/// Compares what two manifests claim, the lists of files aside: those are compared themselves.
pub(super) fn of_manifests(a: &Folder, b: &Folder) -> Detail {
    let claims = |folder: &Folder| {
        let mut claims = serde_json::to_value(folder.manifest.as_ref().ok()?).ok()?;
        claims.as_object_mut()?.remove("files");
        Some(claims)
    };
    match (claims(a), claims(b)) {
        (Some(before), Some(after)) => detail(&before, &after),
        _ => Detail::default(),
    }
}

/// The changed fields of two values.
pub(super) fn detail(before: &Value, after: &Value) -> Detail {
    let mut fields = Vec::new();
    walk(&mut String::new(), before, after, &mut fields);
    let shown = &fields[..fields.len().min(SHOWN)];
    let mut lines: Vec<String> = shown.iter().map(Field::line).collect();
    match fields.len() - shown.len() {
        0 if fields.is_empty() => lines.push("no field differs, only how they are written".into()),
        0 => {}
        more => lines.push(format!("and {} more", count(more, "field"))),
    }
    let mut json = Map::new();
    json.insert("fields".into(), shown.iter().map(Field::json).collect());
    json.insert(
        "fields_not_shown".into(),
        (fields.len() - shown.len()).into(),
    );
    Detail { lines, json }
}

/// The document, or why it is closed.
fn parse(version: &Version) -> Result<Result<Value, Closed>, Failure> {
    let bytes = match version.small(TEXT_BYTES)? {
        Ok(bytes) => bytes,
        Err(closed) => return Ok(Err(closed)),
    };
    let value = version.name.parse();
    let value = value.and_then(|path| untrusted_json(&path, &bytes));
    value.map(Ok).or_else(Closed::or_error)
}

/// Both values are at most 128 deep, which is serde_json's bound.
fn walk<'v>(
    pointer: &mut String,
    before: &'v Value,
    after: &'v Value,
    fields: &mut Vec<Field<'v>>,
) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let token = key.replace('~', "~0").replace('/', "~1");
                step(pointer, &token, a.get(key), b.get(key), fields);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                step(
                    pointer,
                    &index.to_string(),
                    a.get(index),
                    b.get(index),
                    fields,
                );
            }
        }
        _ if before == after => {}
        _ => fields.push(Field {
            pointer: pointer.clone(),
            before: Some(before),
            after: Some(after),
        }),
    }
}

fn step<'v>(
    pointer: &mut String,
    token: &str,
    before: Option<&'v Value>,
    after: Option<&'v Value>,
    fields: &mut Vec<Field<'v>>,
) {
    let len = pointer.len();
    pointer.push('/');
    pointer.push_str(token);
    match (before, after) {
        (Some(before), Some(after)) => walk(pointer, before, after, fields),
        _ => fields.push(Field {
            pointer: pointer.clone(),
            before,
            after,
        }),
    }
    pointer.truncate(len);
}

impl Field<'_> {
    fn line(&self) -> String {
        let Self { pointer, .. } = self;
        let value = |value: &Value| shorten(&value.to_string(), VALUE);
        match (self.before, self.after) {
            (Some(before), Some(after)) => {
                format!("#{pointer}: {} -> {}", value(before), value(after))
            }
            (Some(before), None) => format!("#{pointer}: {} -> removed", value(before)),
            (None, Some(after)) => format!("#{pointer}: added {}", value(after)),
            (None, None) => String::new(),
        }
    }

    /// A side that does not have the field has no value here either: `null` is one.
    fn json(&self) -> Value {
        let mut object = json!({ "pointer": self.pointer });
        for (name, value) in [("before", self.before), ("after", self.after)] {
            if let Some(value) = value {
                object[name] = value.clone();
            }
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(before: Value, after: Value) -> Vec<String> {
        detail(&before, &after).lines
    }

    #[test]
    fn fields_are_named_by_their_pointers() {
        let before = json!({"a": {"b/c": [1, 2], "d~": null}, "e": 1.5, "same": [{}]});
        let after = json!({"a": {"b/c": [1, 3, 4]}, "e": "x", "same": [{}], "f": null});
        let expected = [
            "#/a/b~1c/1: 2 -> 3",
            "#/a/b~1c/2: added 4",
            "#/a/d~0: null -> removed",
            "#/e: 1.5 -> \"x\"",
            "#/f: added null",
        ];
        assert_eq!(lines(before, after), expected);
        assert_eq!(lines(json!(1), json!([1])), ["#: 1 -> [1]"]);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let many = |n: usize| (0..n).map(Value::from).collect::<Value>();
        let lines = lines(many(0), many(SHOWN + 7));
        assert_eq!(lines.len(), SHOWN + 1);
        assert_eq!(lines[SHOWN], "and 7 fields more");
    }
}
