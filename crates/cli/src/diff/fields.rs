//! JSON, field by field.

use std::collections::BTreeSet;

use serde_json::Value;
use tensorgate_verify::untrusted_json;

use super::comparison::{Closed, Field, FieldChanges, Inside};
use super::files::{Folder, Version};
use super::{SHOWN, TEXT_BYTES};
use crate::failure::Failure;

/// A field that is not the same in both, as it is found.
type Found<'v> = (String, Option<&'v Value>, Option<&'v Value>);

/// Compares two JSON files.
pub(super) fn compare(a: &Version, b: &Version) -> Result<Inside, Failure> {
    match (parse(a)?, parse(b)?) {
        (Ok(before), Ok(after)) => Ok(Inside::Fields(changes(&before, &after))),
        (before, after) => Ok(Inside::closed(before.err(), after.err())),
    }
}

/// Compares what two manifests claim, the lists of files aside: those are compared themselves.
pub(super) fn of_manifests(a: &Folder, b: &Folder) -> Inside {
    let claims = |folder: &Folder| {
        let mut claims = serde_json::to_value(folder.manifest.as_ref().ok()?).ok()?;
        claims.as_object_mut()?.remove("files");
        Some(claims)
    };
    match (claims(a), claims(b)) {
        (Some(before), Some(after)) => Inside::Fields(changes(&before, &after)),
        _ => Inside::default(),
    }
}

/// The changed fields of two values.
pub(super) fn changes(before: &Value, after: &Value) -> FieldChanges {
    let mut found = Vec::new();
    walk(&mut String::new(), before, after, &mut found);
    let not_shown = found.len().saturating_sub(SHOWN);
    let field = |(pointer, before, after): Found<'_>| Field {
        pointer,
        before: before.cloned(),
        after: after.cloned(),
    };
    let fields = found.into_iter().take(SHOWN).map(field).collect();
    FieldChanges { fields, not_shown }
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
fn walk<'v>(pointer: &mut String, before: &'v Value, after: &'v Value, found: &mut Vec<Found<'v>>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let token = key.replace('~', "~0").replace('/', "~1");
                step(pointer, &token, a.get(key), b.get(key), found);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                step(
                    pointer,
                    &index.to_string(),
                    a.get(index),
                    b.get(index),
                    found,
                );
            }
        }
        _ if before == after => {}
        _ => found.push((pointer.clone(), Some(before), Some(after))),
    }
}

fn step<'v>(
    pointer: &mut String,
    token: &str,
    before: Option<&'v Value>,
    after: Option<&'v Value>,
    found: &mut Vec<Found<'v>>,
) {
    let len = pointer.len();
    pointer.push('/');
    pointer.push_str(token);
    match (before, after) {
        (Some(before), Some(after)) => walk(pointer, before, after, found),
        _ => found.push((pointer.clone(), before, after)),
    }
    pointer.truncate(len);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_named_by_their_pointers() {
        let before = json!({"a": {"b/c": [1, 2], "d~": null}, "e": 1.5, "same": [{}]});
        let after = json!({"a": {"b/c": [1, 3, 4]}, "e": "x", "same": [{}], "f": null});
        let expected = [
            ("/a/b~1c/1", Some(json!(2)), Some(json!(3))),
            ("/a/b~1c/2", None, Some(json!(4))),
            ("/a/d~0", Some(Value::Null), None),
            ("/e", Some(json!(1.5)), Some(json!("x"))),
            ("/f", None, Some(Value::Null)),
        ];
        let expected = expected.map(|(pointer, before, after)| Field {
            pointer: pointer.to_owned(),
            before,
            after,
        });
        assert_eq!(changes(&before, &after).fields, expected);
        assert_eq!(changes(&json!(1), &json!([1])).fields[0].pointer, "");
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let many = |n: usize| (0..n).map(Value::from).collect::<Value>();
        let changes = changes(&many(0), &many(SHOWN + 7));
        assert_eq!((changes.fields.len(), changes.not_shown), (SHOWN, 7));
    }
}
