//! A comparison for people.

use super::comparison::{
    Changed, CodeChanges, Comparison, Field, FieldChanges, FileFacts, Inside, Judged, Refused,
    Review, TensorChange, TensorChanges, TensorFacts,
};
use super::numbers::Moved;
use super::statistics::Drift;
use crate::text::{count, differ, line, shorten, table, thousands};

/// Tensors that are shown, those that changed most first; the rest is counted.
const ROWS: usize = 100;
/// Dimensions of statistics that are shown, those that moved farthest first.
const DRIFTS: usize = 10;
/// Characters of a value that are shown.
const VALUE: usize = 80;

/// What goes to standard output.
pub(super) fn text(comparison: &Comparison) -> String {
    let files = &comparison.files;
    let mut rows = vec![heading(&[
        "change",
        "file",
        "kind",
        "bytes in A",
        "bytes in B",
        "",
    ])];
    rows.extend(files.iter().map(file_row));
    let mut text = match files.is_empty() {
        true => String::new(),
        false => table(&rows, &[3, 4]),
    };
    for file in files {
        text.push('\n');
        for each in file_lines(file) {
            text.push_str(&format!("{}\n", line(&each)));
        }
    }
    text.push_str(&drift_text(&comparison.drift));
    text.push_str(&reviews_text(&comparison.reviews));
    text.push_str(&format!(
        "\n{}, {} the same\n",
        differ(files.len(), "file"),
        thousands(comparison.same as u64)
    ));
    text.trim_start().to_owned()
}

fn heading(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn file_row(file: &Changed) -> Vec<String> {
    let bytes = |facts: &Option<FileFacts>| match facts {
        Some(facts) => thousands(facts.bytes),
        None => "-".to_owned(),
    };
    let sides = [("A", &file.before), ("B", &file.after)];
    let notes: Vec<String> = sides
        .into_iter()
        .filter_map(|(side, facts)| Some((side, facts.as_ref()?.note.as_ref()?)))
        .map(|(side, note)| format!("in {side}: {note}"))
        .collect();
    vec![
        file.change.word().to_owned(),
        file.path.clone(),
        file.kind.clone(),
        bytes(&file.before),
        bytes(&file.after),
        notes.join("; "),
    ]
}

/// What is below the table of files: digests, and what changed inside.
fn file_lines(file: &Changed) -> Vec<String> {
    let mut lines = vec![file.path.clone()];
    for (side, facts) in [("A", &file.before), ("B", &file.after)] {
        let sha256 = facts.as_ref().and_then(|facts| facts.sha256);
        lines.extend(sha256.map(|sha256| format!("  {side} sha256 {sha256}")));
    }
    let inside = inside_lines(&file.inside);
    lines.extend(inside.iter().map(|line| format!("  {line}")));
    lines
}

fn inside_lines(inside: &Inside) -> Vec<String> {
    match inside {
        Inside::Whole => Vec::new(),
        Inside::Closed(sides) => sides.iter().map(refused_line).collect(),
        Inside::Code(changes) => code_lines(changes),
        Inside::Fields(changes) => field_lines(changes),
        Inside::Tensors(changes) => tensor_lines(changes),
    }
}

fn refused_line(Refused { side, closed }: &Refused) -> String {
    format!("in {side}: {closed}")
}

fn code_lines(changes: &CodeChanges) -> Vec<String> {
    let mut lines = Vec::new();
    for hunk in &changes.hunks {
        lines.push(hunk.header.clone());
        lines.extend(hunk.lines.iter().cloned());
    }
    lines.extend(and_more(changes.not_shown, "line"));
    lines
}

fn field_lines(changes: &FieldChanges) -> Vec<String> {
    if changes.fields.is_empty() {
        return vec!["no field differs, only how they are written".to_owned()];
    }
    let mut lines: Vec<String> = changes.fields.iter().map(field_line).collect();
    lines.extend(and_more(changes.not_shown, "field"));
    lines
}

fn field_line(field: &Field) -> String {
    let pointer = &field.pointer;
    let value = |value: &serde_json::Value| shorten(&value.to_string(), VALUE);
    match (&field.before, &field.after) {
        (Some(before), Some(after)) => {
            format!("#{pointer}: {} -> {}", value(before), value(after))
        }
        (Some(before), None) => format!("#{pointer}: {} -> removed", value(before)),
        (None, Some(after)) => format!("#{pointer}: added {}", value(after)),
        (None, None) => String::new(),
    }
}

fn tensor_lines(changes: &TensorChanges) -> Vec<String> {
    let mut tensors: Vec<&TensorChange> = changes.tensors.iter().collect();
    tensors.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    let mut rows = vec![heading(&[
        "tensor",
        "change",
        "dtype",
        "shape",
        "differing",
        "max |Δ|",
        "L2 in A",
        "L2 in B",
        "L2 of Δ",
        "L2 of Δ / L2 in A",
    ])];
    rows.extend(tensors.iter().take(ROWS).map(|tensor| tensor_row(tensor)));
    let mut lines = Vec::new();
    if !tensors.is_empty() {
        let table = table(&rows, &[4, 5, 6, 7, 8, 9]);
        lines.extend(table.lines().map(str::to_owned));
    }
    lines.extend(and_more(tensors.len().saturating_sub(ROWS), "tensor"));
    let same = thousands(changes.same as u64);
    lines.push(format!(
        "{}, {same} the same",
        differ(tensors.len(), "tensor")
    ));
    if let Some(metadata) = &changes.metadata {
        lines.push("metadata".to_owned());
        let metadata = field_lines(metadata);
        lines.extend(metadata.iter().map(|line| format!("  {line}")));
    }
    lines
}

/// What has no relative change is another tensor: that first.
fn weight(tensor: &TensorChange) -> f64 {
    match &tensor.moved {
        Some(moved) => moved.relative().unwrap_or(f64::MAX),
        None => f64::INFINITY,
    }
}

fn tensor_row(tensor: &TensorChange) -> Vec<String> {
    let sides = |show: fn(&TensorFacts) -> String| {
        let (a, b) = (tensor.before.as_ref(), tensor.after.as_ref());
        match (a.map(show), b.map(show)) {
            (Some(a), Some(b)) if a != b => format!("{a} -> {b}"),
            (a, b) => a.or(b).unwrap_or_default(),
        }
    };
    let number = |of: fn(&Moved) -> Option<f64>| match tensor.moved.as_ref().and_then(of) {
        Some(number) => format!("{number:.3e}"),
        None => "-".to_owned(),
    };
    vec![
        tensor.name.clone(),
        tensor.change.to_owned(),
        sides(|facts| facts.dtype.to_string()),
        sides(|facts| format!("{:?}", facts.shape)),
        differing(tensor.moved.as_ref()),
        number(Moved::max),
        number(Moved::norm_before),
        number(Moved::norm_after),
        number(Moved::norm_change),
        number(Moved::relative),
    ]
}

fn differing(moved: Option<&Moved>) -> String {
    match moved {
        None => "-".to_owned(),
        Some(moved) if moved.not_finite == 0 => thousands(moved.differing),
        Some(moved) => format!(
            "{}, {} not finite",
            thousands(moved.differing),
            thousands(moved.not_finite)
        ),
    }
}

/// The dimensions that moved farthest, in units of the spread that the policy was trained with.
fn drift_text(drifts: &[Drift]) -> String {
    let mut moved: Vec<(&Drift, usize)> = drifts
        .iter()
        .flat_map(|drift| drift.moved().map(move |at| (drift, at)))
        .collect();
    if moved.is_empty() {
        return String::new();
    }
    moved.sort_by(|(a, at), (b, bt)| b.weight(*bt).total_cmp(&a.weight(*at)));
    let mut rows = vec![heading(&["statistic", "in A", "in B", "drift", "file"])];
    let row = |(drift, at): &(&Drift, usize)| {
        vec![
            drift.name(*at),
            short(drift.before[*at]),
            short(drift.after[*at]),
            drift.words(*at),
            drift.path.clone(),
        ]
    };
    rows.extend(moved.iter().take(DRIFTS).map(row));
    let mut text = format!("\n{}", table(&rows, &[1, 2]));
    let more = and_more(moved.len().saturating_sub(DRIFTS), "dimension");
    text.extend(more.map(|line| format!("{line}\n")));
    text
}

/// Statistics are stored in single precision: what is beyond that is no digit of theirs.
fn short(value: f64) -> String {
    format!("{:?}", value as f32)
}

fn reviews_text(reviews: &[Judged]) -> String {
    if reviews.is_empty() {
        return String::new();
    }
    let mut rows = vec![heading(&[
        "code",
        "in",
        "review, as the manifests claim it",
    ])];
    let row = |judged: &Judged| {
        let review = match &judged.review {
            Review::AsReviewed { reviewer } => format!("as reviewed by {reviewer:?}"),
            Review::ChangedSince { reviewer } => format!("changed since review by {reviewer:?}"),
            Review::NotReviewed => "not reviewed".to_owned(),
        };
        vec![judged.file.clone(), judged.side.to_owned(), review]
    };
    rows.extend(reviews.iter().map(row));
    format!("\n{}", table(&rows, &[]))
}

fn and_more(n: usize, what: &str) -> Option<String> {
    (n > 0).then(|| format!("and {} more", count(n, what)))
}
