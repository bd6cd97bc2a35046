//! `tensorgate diff`: what changed from one policy to another. It vouches for neither.

mod code;
mod detail;
mod fields;
mod files;
mod numbers;
mod reviews;
mod tensors;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tensorgate_verify::{Kind, Limits, MANIFEST_FILE};

use crate::args::Diff;
use crate::failure::Failure;
use crate::html::{self, Shown};
use crate::inspect::UNTRUSTED;
use crate::output::Report;
use crate::text::{differ, line, table, thousands};
use detail::Detail;
use files::{Folder, Version};
use reviews::Reviews;

/// Bytes of a text or JSON file that is compared by line or field: a hundred times the largest
/// seen in published policies.
const TEXT_BYTES: u64 = 1 << 20;
/// Changes inside one file that are shown; the rest is counted.
const SHOWN: usize = 200;

/// One file that is not the same in both.
struct Changed {
    name: String,
    kind: String,
    how: &'static str,
    before: Option<Version>,
    after: Option<Version>,
    detail: Detail,
}

pub(crate) fn run(args: &Diff) -> Result<Report, Failure> {
    let outcome = compare(args);
    html::write(
        args.html.file(),
        (
            "diff",
            &format!("{} → {}", args.a.display(), args.b.display()),
        ),
        outcome,
        &Shown::default(),
    )
}

fn compare(args: &Diff) -> Result<Report, Failure> {
    let limits = Limits::default();
    let folders = (
        Folder::open(&args.a, &limits)?,
        Folder::open(&args.b, &limits)?,
    );
    let mut reviews = Reviews::of(&folders.0, &folders.1);
    let names: BTreeSet<&str> = folders.0.names().chain(folders.1.names()).collect();
    let mut changed = Vec::new();
    for name in &names {
        let (before, after) = files::versions(&folders.0, &folders.1, name, &limits)?;
        reviews.judge(name, before.as_ref(), after.as_ref());
        changed.extend(Changed::of(name, before, after, &folders, &limits)?);
    }
    let same = names.len() - changed.len();
    let mut report = report(&changed, same, &reviews);
    report.prose = vec![
        UNTRUSTED.to_owned(),
        format!("A is {:?}, B is {:?}", args.a, args.b),
    ];
    report.notices = notices(&folders);
    let (a, b) = (args.a.display().to_string(), args.b.display().to_string());
    let more = json!({ "a": a, "b": b, "notices": report.notices });
    report
        .more
        .extend(more.as_object().cloned().unwrap_or_default());
    Ok(report)
}

/// Manifests that are there and say nothing.
fn notices((a, b): &(Folder, Folder)) -> Vec<String> {
    let line = |(side, folder): (&str, &Folder)| {
        let closed = folder.manifest.as_ref().err()?;
        let told = !closed.is_missing_manifest();
        told.then(|| format!("the manifest in {side} cannot be read: {closed}"))
    };
    [("A", a), ("B", b)].into_iter().filter_map(line).collect()
}

impl Changed {
    /// `None` where both are the same, byte for byte.
    fn of(
        name: &str,
        before: Option<Version>,
        after: Option<Version>,
        folders: &(Folder, Folder),
        limits: &Limits,
    ) -> Result<Option<Self>, Failure> {
        let how = match (&before, &after) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(a), Some(b)) => match (a.sha256, b.sha256) {
                (Some(a), Some(b)) if a == b => return Ok(None),
                (Some(_), Some(_)) => "changed",
                _ => "not compared",
            },
        };
        let detail = match name {
            MANIFEST_FILE => fields::of_manifests(&folders.0, &folders.1),
            _ => detail(before.as_ref(), after.as_ref(), limits)?,
        };
        let kind = before.as_ref().or(after.as_ref());
        Ok(Some(Self {
            name: name.to_owned(),
            kind: kind
                .map(|version| version.kind_name.clone())
                .unwrap_or_default(),
            how,
            before,
            after,
            detail,
        }))
    }

    fn row(&self) -> Vec<String> {
        let bytes = |version: &Option<Version>| match version {
            Some(version) => thousands(version.bytes),
            None => "-".to_owned(),
        };
        let notes = [("A", &self.before), ("B", &self.after)];
        let notes: Vec<String> = notes
            .into_iter()
            .filter_map(|(side, version)| Some((side, version.as_ref()?.note.as_ref()?)))
            .map(|(side, note)| format!("in {side}: {note}"))
            .collect();
        vec![
            self.how.to_owned(),
            self.name.clone(),
            self.kind.clone(),
            bytes(&self.before),
            bytes(&self.after),
            notes.join("; "),
        ]
    }

    /// What is below the table of files: digests, and what changed inside.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.name.clone()];
        for (side, version) in [("A", &self.before), ("B", &self.after)] {
            let sha256 = version.as_ref().and_then(|version| version.sha256);
            lines.extend(sha256.map(|sha256| format!("  {side} sha256 {sha256}")));
        }
        lines.extend(self.detail.lines.iter().map(|line| format!("  {line}")));
        lines
    }

    fn json(&self) -> Value {
        let mut object = self.detail.json.clone();
        let version = |version: &Option<Version>| version.as_ref().map(Version::json);
        let fields = [
            ("path", self.name.as_str().into()),
            ("kind", self.kind.as_str().into()),
            ("change", self.how.into()),
            ("before", version(&self.before).into()),
            ("after", version(&self.after).into()),
        ];
        object.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        object.into()
    }
}

/// What changed inside a file, as far as its kind has an inside that is compared.
fn detail(
    before: Option<&Version>,
    after: Option<&Version>,
    limits: &Limits,
) -> Result<Detail, Failure> {
    let kind = before.or(after).and_then(|version| version.kind);
    if kind == Some(Kind::ReviewedCode) {
        return code::compare(before, after);
    }
    match (before, after) {
        (Some(a), Some(b)) if kind.is_some_and(Kind::is_tensors) => tensors::compare(a, b, limits),
        (Some(a), Some(b)) if a.name.ends_with(".json") => fields::compare(a, b),
        _ => Ok(Detail::default()),
    }
}

fn report(changed: &[Changed], same: usize, reviews: &Reviews) -> Report {
    let mut rows = vec![
        ["change", "file", "kind", "bytes in A", "bytes in B", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(changed.iter().map(Changed::row));
    let mut data = match changed.is_empty() {
        true => String::new(),
        false => table(&rows, &[3, 4]),
    };
    for file in changed {
        data.push('\n');
        for text in file.lines() {
            data.push_str(&format!("{}\n", line(&text)));
        }
    }
    data.push_str(&reviews.text());
    data.push_str(&format!(
        "\n{}, {} the same\n",
        differ(changed.len(), "file"),
        thousands(same as u64)
    ));
    let more = json!({
        "untrusted": true,
        "different": !changed.is_empty(),
        "same": same,
        "files": changed.iter().map(Changed::json).collect::<Vec<_>>(),
        "reviews": reviews.json(),
    });
    Report {
        data: data.trim_start().to_owned(),
        more: more.as_object().cloned().unwrap_or_default(),
        ..Report::default()
    }
}
