//! `tensorgate store check`: whether what is kept is still what was put there.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde_json::json;
use tensorgate_hub::Target;
use tensorgate_store::{Checked, Damage, DamagedPolicy, Store};
use tensorgate_verify::{MANIFEST_FILE, Rejection, RepoId, RepoType, Revision};

use crate::args::operator::CheckStore;
use crate::failure::{Failure, Finding};
use crate::output::Report;
use crate::progress::Reading;
use crate::store::{open_store, usage};
use crate::text::{line, thousands};

pub(crate) fn run(args: &CheckStore, json: bool) -> Result<Report, Failure> {
    let store = open_store(args.store.as_deref(), json)?;
    let reading = Reading::of(store.object_bytes()?, json);
    let checked = store.check(&mut |bytes| reading.advance(bytes))?;
    drop(reading);
    if checked.damage.is_empty() {
        return report(&store, &checked);
    }
    let named = args.store.as_deref();
    let mut findings: Vec<Finding> = checked.damage.iter().map(finding).collect();
    let policies = checked.damaged.iter();
    findings.extend(policies.map(|policy| spoilt(policy, &store, named)));
    findings.extend(rest(&checked));
    Err(Failure::Rejected(findings))
}

fn report(store: &Store, checked: &Checked) -> Result<Report, Failure> {
    let (used, quota) = (store.used()?, store.quota()?);
    let prose = vec![
        format!(
            "whole: {:?}; that says nothing of who wrote it",
            store.path()
        ),
        format!(
            "  objects    {}, {} bytes read again",
            thousands(checked.objects),
            thousands(checked.bytes)
        ),
        format!("  policies   {}", thousands(checked.policies)),
        format!("  downloads  {}", thousands(checked.downloads)),
        usage(used, quota),
    ];
    let more = json!({
        "objects": checked.objects,
        "policies": checked.policies,
        "downloads": checked.downloads,
        "bytes": checked.bytes,
        "used": used,
        "quota": quota,
    });
    Ok(Report {
        verdict: Some("passed"),
        subject: store.path().display().to_string(),
        prose,
        more: more.as_object().cloned().unwrap_or_default(),
        ..Report::default()
    })
}

fn finding(damage: &Damage) -> Finding {
    let subject = damage.path.display().to_string();
    let finding = Finding::new(damage.rejection, subject, damage.detail.clone());
    match damage.rejection {
        Rejection::FileUnexpected => {
            finding.with_hint("the store did not put it there: move it away")
        }
        Rejection::JsonMalformed => finding.with_hint("`tensorgate store gc` removes it"),
        Rejection::FileNotRegular => finding.with_hint("fetching its policy again makes it anew"),
        _ => finding.with_hint(REFUSED),
    }
}

const REFUSED: &str = "whoever loads what is damaged refuses it; fetching its policy again puts it right, and `tensorgate store gc` removes what no policy has";

const SUPERSEDED: &str = "a newer release was accepted, so this one is not fetched again: `tensorgate store gc --keep 0` removes all but what was accepted";

/// A policy that is spoilt, with the command that puts it right.
fn spoilt(policy: &DamagedPolicy, store: &Store, named: Option<&Path>) -> Finding {
    let within = format!("policies/{}", policy.manifest);
    let (detail, hint) = match &policy.of {
        Some(of) => {
            let target = target(of);
            let place = store.path().join(&within).join(MANIFEST_FILE);
            let hint = match policy.is_superseded {
                true => SUPERSEDED.to_owned(),
                false => format!("fetch it again: {}", command(&target, &place, named)),
            };
            (format!("{target} is damaged"), hint)
        }
        None => (
            "its manifest is damaged, so it is not known what it is of".to_owned(),
            "fetch the release again that is wanted, with a manifest from elsewhere".to_owned(),
        ),
    };
    Finding::new(Rejection::DigestMismatch, within, detail).with_hint(hint)
}

fn target((repo_type, repo, revision): &(RepoType, RepoId, Revision)) -> Target {
    let mut target = Target::model(repo.clone(), revision.clone());
    target.repo_type = *repo_type;
    target
}

fn command(target: &Target, manifest: &Path, store: Option<&Path>) -> String {
    let manifest = quoted(manifest);
    let store = store.map(|store| format!(" --store {}", quoted(store)));
    let store = store.unwrap_or_default();
    format!("tensorgate fetch {target} --manifest {manifest} --trust trust.toml{store}")
}

/// A path as a shell takes it, and no option.
fn quoted(path: &Path) -> String {
    if path.as_os_str().as_bytes().starts_with(b"-") {
        return quoted(&Path::new(".").join(path));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match path.to_str() {
        Some(text) if text.chars().all(plain) => text.to_owned(),
        Some(text) if line(text) == text => format!("'{}'", text.replace('\'', r"'\''")),
        _ => by_bytes(path),
    }
}

/// The same where a terminal must not see the bytes, or there are no characters (`$'…'`, POSIX 2024).
fn by_bytes(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes().iter();
    let text: String = bytes.map(|byte| format!("\\x{byte:02x}")).collect();
    format!("$'{text}'")
}

/// What was found beyond what is listed.
fn rest(checked: &Checked) -> Option<Finding> {
    let more = checked.more_damage;
    let detail = format!("{} more findings", thousands(more));
    let finding = || Finding::new(Rejection::DigestMismatch, String::new(), detail);
    (more > 0).then(finding)
}
