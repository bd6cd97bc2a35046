//! A comparison for programs.

use serde_json::{Map, Value, json};

use super::comparison::{
    Changed, CodeChanges, Comparison, Field, FieldChanges, FileFacts, Inside, Judged, Refused,
    Review, TensorChange, TensorChanges, TensorFacts,
};
use super::numbers::Moved;
use super::statistics::Drift;

/// The fields of the one object that is printed.
pub(super) fn fields(comparison: &Comparison) -> Map<String, Value> {
    let Comparison { a, b, .. } = comparison;
    object(json!({
        "a": a.name,
        "b": b.name,
        "paths": { "a": a.path, "b": b.path },
        "untrusted": true,
        "different": !comparison.files.is_empty(),
        "same": comparison.same,
        "files": comparison.files.iter().map(changed).collect::<Vec<_>>(),
        "drift": comparison.drift.iter().map(drift).collect::<Vec<_>>(),
        "reviews": comparison.reviews.iter().map(judged).collect::<Vec<_>>(),
        "notices": comparison.notices,
    }))
}

fn changed(file: &Changed) -> Value {
    let mut fields = inside(&file.inside);
    let facts = |facts: &Option<FileFacts>| facts.as_ref().map(file_facts);
    fields.extend(object(json!({
        "path": file.path,
        "kind": file.kind,
        "change": file.change.word(),
        "before": facts(&file.before),
        "after": facts(&file.after),
    })));
    fields.into()
}

fn file_facts(facts: &FileFacts) -> Value {
    json!({ "bytes": facts.bytes, "sha256": facts.sha256, "note": facts.note })
}

fn inside(inside: &Inside) -> Map<String, Value> {
    match inside {
        Inside::Whole => Map::new(),
        Inside::Closed(sides) => {
            object(json!({ "refused": sides.iter().map(refused).collect::<Vec<_>>() }))
        }
        Inside::Code(code) => object(self::code(code)),
        Inside::Fields(changes) => object(field_changes(changes)),
        Inside::Tensors(changes) => object(tensor_changes(changes)),
    }
}

fn refused(Refused { side, closed }: &Refused) -> Value {
    let refused = closed.refused.as_ref();
    let (code, subject) = refused
        .map(|(code, subject)| (code.code(), subject))
        .unzip();
    json!({
        "side": side.to_lowercase(),
        "code": code,
        "subject": subject,
        "detail": closed.why,
    })
}

fn code(changes: &CodeChanges) -> Value {
    let hunks = changes.hunks.iter();
    let hunks = hunks.map(|hunk| json!({ "header": hunk.header, "lines": hunk.lines }));
    json!({ "hunks": hunks.collect::<Vec<_>>(), "lines_not_shown": changes.not_shown })
}

fn field_changes(changes: &FieldChanges) -> Value {
    let fields: Vec<Value> = changes.fields.iter().map(field).collect();
    json!({ "fields": fields, "fields_not_shown": changes.not_shown })
}

/// A side that does not have the field has no value here either: `null` is one.
fn field(field: &Field) -> Value {
    let mut object = json!({ "pointer": field.pointer });
    for (name, value) in [("before", &field.before), ("after", &field.after)] {
        if let Some(value) = value {
            object[name] = value.clone();
        }
    }
    object
}

fn tensor_changes(changes: &TensorChanges) -> Value {
    let mut object = json!({
        "tensors": changes.tensors.iter().map(tensor).collect::<Vec<_>>(),
        "tensors_same": changes.same,
    });
    if let Some(metadata) = &changes.metadata {
        object["metadata"] = field_changes(metadata);
    }
    object
}

fn tensor(tensor: &TensorChange) -> Value {
    let side = |facts: &Option<TensorFacts>| {
        let facts = facts.as_ref();
        facts.map(|TensorFacts { dtype, shape }| json!({ "dtype": dtype, "shape": shape }))
    };
    let mut fields = tensor.moved.as_ref().map(moved).unwrap_or_default();
    fields.extend(object(json!({
        "name": tensor.name,
        "change": tensor.change,
        "before": side(&tensor.before),
        "after": side(&tensor.after),
    })));
    fields.into()
}

fn moved(moved: &Moved) -> Map<String, Value> {
    object(json!({
        "differing": moved.differing,
        "not_finite": moved.not_finite,
        "max_abs": moved.max(),
        "l2_before": moved.norm_before(),
        "l2_after": moved.norm_after(),
        "l2_change": moved.norm_change(),
        "relative_l2": moved.relative(),
    }))
}

fn drift(drift: &Drift) -> Value {
    json!({
        "path": drift.path,
        "feature": drift.feature,
        "statistic": drift.statistic,
        "before": drift.before,
        "after": drift.after,
        "relative": drift.relative,
        "relative_to": drift.scale.word(),
    })
}

fn judged(judged: &Judged) -> Value {
    let (review, reviewer) = match &judged.review {
        Review::AsReviewed { reviewer } => ("as-reviewed", Some(reviewer)),
        Review::ChangedSince { reviewer } => ("changed-since-review", Some(reviewer)),
        Review::NotReviewed => ("not-reviewed", None),
    };
    json!({
        "path": judged.file,
        "side": judged.side.to_lowercase(),
        "review": review,
        "reviewer": reviewer,
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
