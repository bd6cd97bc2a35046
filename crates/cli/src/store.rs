//! `tensorgate store …`: the robot's disk, for its operator.

use std::path::Path;

use serde_json::json;
use tensorgate_store::Store;
use tensorgate_verify::{History, RepoType};

use crate::args_operator::{Init, Ls, ResetState};
use crate::failure::Failure;
use crate::output::{Report, say_waiting};
use crate::text::table;

/// `store init`.
pub(crate) fn init(args: &Init, json: bool) -> Result<Report, Failure> {
    let store = open(args.store.as_deref(), json)?;
    let new = store.state().is_new()?;
    store.state().make_ready()?;
    let place = store.path();
    let said = match new {
        true => format!("ready: {place:?}, nothing was accepted yet"),
        false => format!("ready: {place:?}, in use already"),
    };
    Ok(done(place, vec![said], json!({ "new": new })))
}

/// `store ls`.
pub(crate) fn ls(args: &Ls) -> Result<Report, Failure> {
    let store = open(args.store.as_deref(), true)?;
    let accepted = store.state().accepted()?;
    let floor = store.state().clock_floor();
    let floor = floor.map_err(|error| Failure::about(store.path(), error))?;
    let row = |(repo_type, repo, accepted): &(RepoType, _, tensorgate_verify::Accepted)| {
        let tensorgate_verify::Accepted {
            sequence, manifest, ..
        } = accepted;
        json!({ "type": repo_type, "repo": repo, "sequence": sequence, "manifest": manifest })
    };
    let rows: Vec<_> = accepted.iter().map(row).collect();
    let mut cells = vec![
        ["type", "repo", "sequence", "manifest"]
            .map(str::to_owned)
            .to_vec(),
    ];
    cells.extend(accepted.iter().map(|(repo_type, repo, accepted)| {
        vec![
            repo_type.to_string(),
            repo.to_string(),
            accepted.sequence.to_string(),
            accepted.manifest.to_string(),
        ]
    }));
    let said = format!(
        "{:?}: accepted releases of {}",
        store.path(),
        match rows.len() {
            1 => "1 repository".to_owned(),
            n => format!("{n} repositories"),
        }
    );
    let more = json!({ "accepted": rows, "clock_floor": floor });
    let mut report = done(store.path(), vec![said], more);
    if !accepted.is_empty() {
        report.data = table(&cells, &[2]);
    }
    Ok(report)
}

/// `store reset-state`.
pub(crate) fn reset_state(args: &ResetState, json: bool) -> Result<Report, Failure> {
    let store = open(args.store.as_deref(), json)?;
    let repo_type = args.repo_type.into();
    let only = args.repo.as_ref().map(|repo| (repo_type, repo));
    store.state().reset(only)?;
    let what = match only {
        Some((repo_type, repo)) => format!("the {repo_type} {repo}"),
        None => "all repositories".to_owned(),
    };
    let said = format!("forgot which releases of {what} were accepted");
    let mut report = done(store.path(), vec![said], json!({}));
    let notice = "any release that is signed and in force is accepted next, an old one too";
    report.notices.push(notice.to_owned());
    Ok(report)
}

fn open(place: Option<&Path>, json: bool) -> Result<Store, Failure> {
    let place = place.map_or_else(Store::default_location, |place| Ok(place.to_owned()))?;
    let store = Store::open(place)?;
    Ok(store.on_wait(move |lock| say_waiting(json, lock)))
}

fn done(place: &Path, prose: Vec<String>, more: serde_json::Value) -> Report {
    Report {
        verdict: Some("done"),
        subject: place.display().to_string(),
        prose,
        more: more.as_object().cloned().unwrap_or_default(),
        ..Report::default()
    }
}
