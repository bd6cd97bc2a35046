//! `tensorgate diff`: what changed from one policy to another. It vouches for neither.

mod closed;
mod code;
mod comparison;
mod fields;
mod files;
mod json;
mod numbers;
mod operand;
mod prose;
mod reviews;
mod statistics;
mod tensors;

use std::collections::BTreeSet;

use tensorgate_verify::{Kind, Limits, MANIFEST_FILE};

use crate::args::Diff;
use crate::failure::Failure;
use crate::html::{self, Shown};
use crate::inspect::UNTRUSTED;
use crate::output::Report;
use comparison::{Change, Changed, Comparison, Inside, Side};
use files::{Folder, Version};
use reviews::Reviews;
use statistics::Drifts;

/// Bytes of a text, of JSON or of statistics that are compared by line, field or number: a hundred
/// times the largest seen in published policies.
const TEXT_BYTES: u64 = 1 << 20;
/// Changes inside one file that are shown; the rest is counted.
const SHOWN: usize = 200;

pub(crate) fn run(args: &Diff, json: bool) -> Result<Report, Failure> {
    let outcome = judge(args, json);
    html::write(args.html.file(), ("diff", ""), outcome, &Shown::default())
}

fn judge(args: &Diff, json: bool) -> Result<Report, Failure> {
    let limits = Limits::default();
    let open = |name: &str| {
        let path = operand::find(name, &args.source, json)?;
        Folder::open(name, &path, &limits)
    };
    let (a, b) = (open(&args.a)?, open(&args.b)?);
    Ok(report(&compare(&a, &b, &limits)?))
}

/// Compares two directories, file by file.
fn compare(a: &Folder, b: &Folder, limits: &Limits) -> Result<Comparison, Failure> {
    let mut reviews = Reviews::of(a, b);
    let names: BTreeSet<&str> = a.names().chain(b.names()).collect();
    let (mut files, mut drifts) = (Vec::new(), Drifts::default());
    for name in &names {
        let (before, after) = files::versions(a, b, name, limits)?;
        reviews.judge(name, before.as_ref(), after.as_ref());
        let (before, after) = (before.as_ref(), after.as_ref());
        let Some(change) = change(before, after) else {
            continue;
        };
        files.push(Changed {
            path: (*name).to_owned(),
            kind: kind(before, after),
            change,
            before: before.map(Version::facts),
            after: after.map(Version::facts),
            inside: match *name {
                MANIFEST_FILE => fields::of_manifests(a, b),
                _ => inside(before, after, limits)?,
            },
        });
        if let (Some(before), Some(after)) = (before, after)
            && before.kind == Some(Kind::ProcessorState)
        {
            let of_file = statistics::compare(before, after, limits)?;
            drifts.drift.extend(of_file.drift);
            drifts.notices.extend(of_file.notices);
        }
    }
    let Drifts { mut drift, notices } = drifts;
    statistics::sort(&mut drift);
    Ok(Comparison {
        a: a.side(),
        b: b.side(),
        same: names.len() - files.len(),
        files,
        drift,
        reviews: reviews.judged,
        notices: unread_manifests(a, b).into_iter().chain(notices).collect(),
    })
}

/// What became of a file; `None` where both are the same, byte for byte.
fn change(before: Option<&Version>, after: Option<&Version>) -> Option<Change> {
    match (before, after) {
        (None, _) => Some(Change::Added),
        (_, None) => Some(Change::Removed),
        (Some(a), Some(b)) => match (a.sha256, b.sha256) {
            (Some(a), Some(b)) => (a != b).then_some(Change::Changed),
            _ => Some(Change::NotCompared),
        },
    }
}

fn kind(before: Option<&Version>, after: Option<&Version>) -> String {
    let version = before.or(after);
    version.map_or_else(String::new, |version| version.kind_name.clone())
}

/// What changed inside a file, as far as its kind has an inside that is compared.
fn inside(
    before: Option<&Version>,
    after: Option<&Version>,
    limits: &Limits,
) -> Result<Inside, Failure> {
    let kind = before.or(after).and_then(|version| version.kind);
    if kind == Some(Kind::ReviewedCode) {
        return code::compare(before, after);
    }
    match (before, after) {
        (Some(a), Some(b)) if kind.is_some_and(Kind::is_tensors) => tensors::compare(a, b, limits),
        (Some(a), Some(b)) if a.name.ends_with(".json") => fields::compare(a, b),
        _ => Ok(Inside::default()),
    }
}

/// Manifests that are there and say nothing.
fn unread_manifests(a: &Folder, b: &Folder) -> Vec<String> {
    let line = |(side, folder): (&str, &Folder)| {
        let closed = folder.manifest.as_ref().err()?;
        let told = !closed.is_missing_manifest();
        told.then(|| format!("the manifest in {side} cannot be read: {closed}"))
    };
    [("A", a), ("B", b)].into_iter().filter_map(line).collect()
}

fn report(comparison: &Comparison) -> Report {
    let Comparison { a, b, notices, .. } = comparison;
    Report {
        prose: vec![UNTRUSTED.to_owned(), sides(a, b)],
        notices: notices.clone(),
        data: prose::text(comparison),
        more: json::fields(comparison),
        ..Report::default()
    }
}

fn sides(a: &Side, b: &Side) -> String {
    let side = |side: &Side| match side.name == side.path {
        true => format!("{:?}", side.name),
        false => format!("{:?} in {:?}", side.name, side.path),
    };
    format!("A is {}, B is {}", side(a), side(b))
}
