//! What changed from one policy to another, as the command says it to programs.

use maud::{Markup, html};
use serde_json::{Map, Value};

use super::foreign::{Foreign, code, words};
use super::plots::bar;
use super::section::{ROWS, Table, columns, more, wide};
use crate::text::{number, thousands};

/// Tensors of one file, those that moved most first.
const TENSORS: usize = 100;

/// Nothing where nothing was compared.
pub(super) fn sections(compared: &Map<String, Value>) -> Markup {
    let Some(same) = compared.get("same").and_then(Value::as_u64) else {
        return html! {};
    };
    let files = list(compared.get("files"));
    html! {
        section {
            h2 { "What changed" }
            dl.cards {
                @for side in ["a", "b"] {
                    div { dt { (side.to_uppercase()) } dd { (code(text(compared.get(side)))) } }
                }
                div { dt { "Files that differ" } dd { (thousands(files.len() as u64)) } }
                div { dt { "Files that are the same" } dd { (thousands(same)) } }
            }
        }
        (self::files(files))
        (drift(list(compared.get("drift"))))
        @for file in files.iter().take(ROWS) { (inside(file)) }
        (reviews(list(compared.get("reviews"))))
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn files(files: &[Value]) -> Markup {
    let bytes = |side: &Value| {
        let bytes = side["bytes"].as_u64();
        bytes.map_or_else(|| "-".to_owned(), thousands)
    };
    let table = Table {
        title: "Files that differ",
        lead: "",
        label: "Files that differ",
        columns: html! {
            (columns(&["file", "kind", "change"]))
            th.n scope="col" { "bytes in A" } th.n scope="col" { "bytes in B" }
        },
        what: "file",
    };
    table.of(files, |file| {
        html! {
            tr {
                th scope="row" {
                    (code(text(file.get("path"))))
                    @for side in ["before", "after"] {
                        @if let Some(note) = file[side]["note"].as_str() { span.digest { (Foreign(note)) } }
                    }
                }
                td { (Foreign(text(file.get("kind")))) }
                td.whole { (Foreign(text(file.get("change")))) }
                td.n { (bytes(&file["before"])) }
                td.n { (bytes(&file["after"])) }
            }
        }
    })
}

/// What changed inside one file, as far as its kind has an inside that is compared.
fn inside(file: &Value) -> Markup {
    let (tensors, fields) = (list(file.get("tensors")), list(file.get("fields")));
    let (hunks, refused) = (list(file.get("hunks")), list(file.get("refused")));
    let metadata = list(file["metadata"].get("fields"));
    if [tensors, fields, hunks, refused, metadata]
        .iter()
        .all(|all| all.is_empty())
    {
        return html! {};
    }
    let hidden = |key: &str| {
        file[key]
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(0)
    };
    html! {
        section {
            h2 { (code(text(file.get("path")))) }
            @for side in refused {
                p { "in " (Foreign(text(side.get("side")).to_uppercase())) ": " (Foreign(text(side.get("detail")))) }
            }
            @if !tensors.is_empty() { (self::tensors(tensors)) }
            @if !metadata.is_empty() { h3 { "metadata" } (self::fields(metadata)) }
            @if !fields.is_empty() { (self::fields(fields)) (more(hidden("fields_not_shown"), "field")) }
            @if !hunks.is_empty() { (self::hunks(hunks)) (more(hidden("lines_not_shown"), "line")) }
        }
    }
}

/// What has no relative change is another tensor: that first.
fn tensors(all: &[Value]) -> Markup {
    let weight = |tensor: &Value| match tensor.get("differing") {
        Some(_) => tensor["relative_l2"].as_f64().unwrap_or(f64::MAX),
        None => f64::INFINITY,
    };
    let mut sorted: Vec<&Value> = all.iter().collect();
    sorted.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    sorted.truncate(TENSORS);
    let most = |key: &str| {
        let numbers = sorted.iter().filter_map(|tensor| tensor[key].as_f64());
        numbers.reduce(f64::max).unwrap_or(0.0)
    };
    let (max_abs, relative) = (most("max_abs"), most("relative_l2"));
    let table = html! {
        table {
            thead {
                tr {
                    (columns(&["tensor", "change"])) th.n scope="col" { "differing" }
                    th.n scope="col" { "max |Δ|" } th.n scope="col" { "L2 of Δ / L2 in A" }
                }
            }
            tbody {
                @for tensor in &sorted {
                    tr {
                        th scope="row" { (code(text(tensor.get("name")))) span.digest { (Foreign(sides(tensor))) } }
                        td { (Foreign(text(tensor.get("change")))) }
                        td.n { (differing(tensor)) }
                        td.n.x { (measured(tensor, "max_abs", max_abs)) }
                        td.n.x { (measured(tensor, "relative_l2", relative)) }
                    }
                }
            }
        }
    };
    html! {
        (wide("Tensors that differ", &table))
        (more(all.len().saturating_sub(TENSORS), "tensor"))
    }
}

fn sides(tensor: &Value) -> String {
    let side = |side: &Value| {
        let dims = side["shape"].as_array()?.iter().map(ToString::to_string);
        let dims: Vec<String> = dims.collect();
        Some(format!("{} {}", side["dtype"].as_str()?, dims.join(" × ")))
    };
    match (side(&tensor["before"]), side(&tensor["after"])) {
        (Some(a), Some(b)) if a != b => format!("{a} → {b}"),
        (a, b) => a.or(b).unwrap_or_default(),
    }
}

fn differing(tensor: &Value) -> Markup {
    let number = |key: &str| tensor[key].as_u64().unwrap_or(0);
    html! {
        @if tensor.get("differing").is_some() { (thousands(number("differing"))) } @else { "-" }
        @if number("not_finite") > 0 { div.bad-number { (thousands(number("not_finite"))) " not finite" } }
    }
}

fn measured(tensor: &Value, key: &str, most: f64) -> Markup {
    match tensor[key].as_f64() {
        None => html! { "-" },
        Some(value) => html! { (number(value)) (bar(value, most, "part", &number(value))) },
    }
}

fn fields(fields: &[Value]) -> Markup {
    let value = |field: &Value, side: &str| match field.get(side) {
        Some(value) => code(value.to_string()),
        None => html! { span.quiet { "not there" } },
    };
    let table = html! {
        table {
            thead { tr { (columns(&["field", "in A", "in B"])) } }
            tbody {
                @for field in fields.iter().take(ROWS) {
                    tr {
                        th scope="row" { (code(format!("#{}", text(field.get("pointer"))))) }
                        td { (value(field, "before")) }
                        td { (value(field, "after")) }
                    }
                }
            }
        }
    };
    html! {
        (wide("Fields that differ", &table))
        (more(fields.len().saturating_sub(ROWS), "field"))
    }
}

fn hunks(hunks: &[Value]) -> Markup {
    let lines = html! {
        div.code-lines.mono {
            @for hunk in hunks {
                div.at { (Foreign(text(hunk.get("header")))) }
                @for line in list(hunk.get("lines")).iter().filter_map(Value::as_str) {
                    @match line.as_bytes().first() {
                        Some(b'+') => div.plus { (words(line)) },
                        Some(b'-') => div.minus { (words(line)) },
                        _ => div { (words(line)) },
                    }
                }
            }
        }
    };
    wide("Lines that differ", &lines)
}

/// How far the statistics moved that scale what the motors get.
fn drift(all: &[Value]) -> Markup {
    let farthest = |drift: &Value| {
        let parts = list(drift.get("relative")).iter().filter_map(Value::as_f64);
        parts.map(f64::abs).reduce(f64::max)
    };
    let shown = all.iter().take(ROWS).filter_map(farthest);
    let most = shown.reduce(f64::max).unwrap_or(0.0);
    let table = Table {
        title: "How far the normaliser moved",
        lead: "The farthest dimension of each statistic, against what the statistic is measured by in A.",
        label: "Normaliser drift",
        columns: html! { (columns(&["statistic", "measured by"])) th.n scope="col" { "moved by" } },
        what: "statistic",
    };
    table.of(all, |drift| {
        html! {
            tr {
                th scope="row" {
                    (code(format!("{}.{}", text(drift.get("feature")), text(drift.get("statistic")))))
                    span.digest { (Foreign(text(drift.get("path")))) }
                }
                td { (Foreign(text(drift.get("relative_to")))) }
                td.n.x {
                    @match farthest(drift) {
                        None => "-",
                        Some(part) => { (number(part)) (bar(part, most, "part", &number(part))) }
                    }
                }
            }
        }
    })
}

fn reviews(all: &[Value]) -> Markup {
    let words = |review: &Value| match text(review.get("review")) {
        "as-reviewed" => "as reviewed",
        "changed-since-review" => "changed since review",
        _ => "not reviewed",
    };
    let table = Table {
        title: "Code against its review",
        lead: "As the manifests claim it.",
        label: "Reviews",
        columns: columns(&["file", "in", "review", "reviewer"]),
        what: "file",
    };
    table.of(all, |review| {
        html! {
            tr {
                th scope="row" { (code(text(review.get("path")))) }
                td { (Foreign(text(review.get("side")).to_uppercase())) }
                td { (words(review)) }
                td { (Foreign(text(review.get("reviewer")))) }
            }
        }
    })
}
