//! `tensorgate store gc`: room for what is wanted.

use serde_json::{Value, json};
use tensorgate_store::{Fate, Found, Swept, What};

use crate::args::operator::Gc;
use crate::failure::Failure;
use crate::output::Report;
use crate::store::{done, open_store, usage};
use crate::text::{self, count, thousands};

pub(crate) fn run(args: &Gc, json: bool) -> Result<Report, Failure> {
    let store = open_store(args.store.as_deref(), json)?;
    let mut how = tensorgate_store::Gc::default();
    (how.keep, how.dry_run) = (args.keep, args.dry_run);
    let mut found = Vec::new();
    let swept = store.gc(how, &mut |one| {
        // There may be a million objects, and none of them says anything to anybody.
        if one.what != What::Object {
            found.push(one.clone());
        }
    })?;
    let (used, quota) = (store.used()?, store.quota()?);
    let mut prose = vec![summary(&swept, args.dry_run)];
    prose.extend(found.iter().map(|found| line(found, args.dry_run)));
    prose.push(usage(used, quota));
    let of = |removed: bool| {
        let found = found.iter();
        let found = found.filter(|found| (found.fate == Fate::Removed) == removed);
        found.map(entry).collect::<Value>()
    };
    let more = json!({
        "dry_run": args.dry_run,
        "removed": of(true),
        "left": of(false),
        "objects": swept.objects,
        "bytes": swept.bytes,
        "used": used,
        "quota": quota,
    });
    Ok(done(store.path(), prose, more))
}

fn summary(swept: &Swept, dry_run: bool) -> String {
    let parts = [
        (swept.policies, "release"),
        (swept.downloads, "download"),
        (swept.objects, "object"),
        (swept.leftovers, "leftover"),
    ];
    let parts = parts.into_iter().filter(|(n, _)| *n > 0);
    let parts: Vec<String> = parts
        .map(|(n, what)| count(usize::try_from(n).unwrap_or(usize::MAX), what))
        .collect();
    let verb = if dry_run { "would remove" } else { "removed" };
    let what = match parts.is_empty() {
        true => "nothing".to_owned(),
        false => parts.join(", "),
    };
    format!(
        "{verb}: {what}, {} bytes on the disk",
        thousands(swept.bytes)
    )
}

fn line(found: &Found, dry_run: bool) -> String {
    let fate = match found.fate {
        Fate::InUse => "in use   ",
        Fate::Unreadable => "unreadable",
        _ if dry_run => "to remove",
        _ => "removed  ",
    };
    // Whoever made a directory in the store gave it its name, line breaks and all.
    let path = text::line(&found.path.to_string_lossy());
    match &found.release {
        Some(release) => format!(
            "  {fate}  {}@{}, release {}: {path}",
            release.repo, release.revision, release.sequence
        ),
        None => format!("  {fate}  {path}"),
    }
}

fn entry(found: &Found) -> Value {
    let release = found.release.as_ref().map(|release| {
        json!({
            "type": release.repo_type,
            "repo": release.repo,
            "revision": release.revision,
            "sequence": release.sequence,
        })
    });
    json!({
        "what": match found.what {
            What::Policy => "policy",
            What::Download => "download",
            _ => "leftover",
        },
        "path": found.path.display().to_string(),
        "release": release,
        "bytes": found.bytes,
        "fate": match found.fate {
            Fate::InUse => "in-use",
            Fate::Unreadable => "unreadable",
            _ => "removed",
        },
    })
}
