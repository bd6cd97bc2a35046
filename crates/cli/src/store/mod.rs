//! `tensorgate store …`: the robot's disk, for its operator.

pub(crate) mod check;
pub(crate) mod gc;
pub(crate) mod import;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use tensorgate_store::{Accepted, State, Store};
use tensorgate_verify::{History, RepoId, RepoType, Sha256};

use crate::args::operator::{Init, Ls, Place, Quota, ResetState, Unrevoke};
use crate::failure::Failure;
use crate::output::{Report, say_waiting};
use crate::text::{count, table, thousands};

/// `store init`.
pub(crate) fn init(args: &Init, json: bool) -> Result<Report, Failure> {
    let memory = Memory::at(&args.place, json)?;
    let new = memory.state().is_new()?;
    memory.state().make_ready()?;
    let place = memory.path();
    let mut said = vec![match new {
        true => format!("ready: {place:?}, nothing was accepted yet"),
        false => format!("ready: {place:?}, in use already"),
    }];
    let mut more = json!({ "new": new });
    if let (Some(quota), Memory::Store(store)) = (args.quota, &memory) {
        let quota = match quota {
            Quota::Off => None,
            Quota::Bytes(bytes) => Some(bytes),
        };
        store.set_quota(quota)?;
        said.push(usage(store.used()?, quota));
        more["quota"] = quota.into();
    }
    Ok(done(place, said, more))
}

/// What a store takes of the disk, for people.
pub(crate) fn usage(used: u64, quota: Option<u64>) -> String {
    let quota = match quota {
        Some(quota) => format!("of the quota of {} bytes", thousands(quota)),
        None => "without a quota".to_owned(),
    };
    format!("  on disk    {} bytes, {quota}", thousands(used))
}

/// The store that the options name, which must be there: a mistyped name makes nothing.
pub(crate) fn open_store(named: Option<&Path>, json: bool) -> Result<Store, Failure> {
    let path = named.map_or_else(Store::default_location, |path| Ok(path.to_owned()))?;
    require_there(&path)?;
    Ok(Store::open(path)?.on_wait(move |lock| say_waiting(json, lock)))
}

fn require_there(path: &Path) -> Result<(), Failure> {
    match path.exists() {
        true => Ok(()),
        false => {
            let failure = Failure::about(path, format!("{path:?} is not there"));
            Err(failure.hint("name another one, or make it: `tensorgate store init`"))
        }
    }
}

/// `store ls`.
pub(crate) fn ls(args: &Ls) -> Result<Report, Failure> {
    let memory = Memory::that_is_there(&args.place, true)?;
    let accepted = memory.state().accepted()?;
    let floor = memory.state().clock_floor();
    let floor = floor.map_err(|error| Failure::about(memory.path(), error))?;
    let row = |(repo_type, repo, accepted): &(RepoType, RepoId, Accepted)| {
        let (sequence, manifest) = (accepted.sequence, accepted.manifest);
        json!({ "type": repo_type, "repo": repo, "sequence": sequence, "manifest": manifest })
    };
    let rows: Vec<_> = accepted.iter().map(row).collect();
    let repositories = match rows.len() {
        1 => "1 repository".to_owned(),
        n => format!("{n} repositories"),
    };
    let revoked = memory.state().revoked()?;
    let mut said = vec![format!(
        "{:?}: accepted releases of {repositories}",
        memory.path()
    )];
    if !revoked.is_empty() {
        said.push(format!(
            "  revoked    {} on this machine",
            count(revoked.len(), "release")
        ));
    }
    let why = |(manifest, reason)| json!({ "manifest": manifest, "reason": reason });
    let here: Vec<_> = revoked.iter().map(why).collect();
    let more = json!({ "accepted": rows, "clock_floor": floor, "revoked": here });
    let mut report = done(memory.path(), said, more);
    report.data = listing(&accepted) + &revocations(&revoked);
    Ok(report)
}

fn revocations(revoked: &BTreeMap<Sha256, String>) -> String {
    if revoked.is_empty() {
        return String::new();
    }
    let mut cells = vec![vec!["revoked manifest".to_owned(), "reason".to_owned()]];
    cells.extend(
        revoked
            .iter()
            .map(|(manifest, reason)| vec![manifest.to_string(), reason.clone()]),
    );
    table(&cells, &[])
}

/// `store unrevoke`.
pub(crate) fn unrevoke(args: &Unrevoke, json: bool) -> Result<Report, Failure> {
    let memory = Memory::that_is_there(&args.place, json)?;
    let manifest = args.manifest;
    let said = match memory.state().unrevoke(&manifest)? {
        true => format!("took back: the manifest {manifest} is not revoked here any more"),
        false => format!("the manifest {manifest} was not revoked here, so nothing was taken back"),
    };
    Ok(done(
        memory.path(),
        vec![said],
        json!({ "manifest": manifest }),
    ))
}

fn listing(accepted: &[(RepoType, RepoId, Accepted)]) -> String {
    if accepted.is_empty() {
        return String::new();
    }
    let head = ["type", "repo", "sequence", "manifest"];
    let row = |(repo_type, repo, accepted): &(RepoType, RepoId, Accepted)| {
        vec![
            repo_type.to_string(),
            repo.to_string(),
            accepted.sequence.to_string(),
            accepted.manifest.to_string(),
        ]
    };
    let mut cells = vec![head.map(str::to_owned).to_vec()];
    cells.extend(accepted.iter().map(row));
    table(&cells, &[2])
}

/// `store reset-state`.
pub(crate) fn reset_state(args: &ResetState, json: bool) -> Result<Report, Failure> {
    let memory = Memory::that_is_there(&args.place, json)?;
    let repo_type = args.repo_type.into();
    let only = args.repo.as_ref().map(|repo| (repo_type, repo));
    // What cannot be read was something.
    let known = only.is_none_or(|(repo_type, repo)| {
        !matches!(memory.state().last_accepted(repo_type, repo), Ok(None))
    });
    let removed = memory.state().reset(only)?;
    let what = match only {
        Some((repo_type, repo)) => format!("the {repo_type} {repo}"),
        None => "all repositories".to_owned(),
    };
    if !known {
        let said = format!("nothing was accepted of {what}, so nothing was forgotten");
        return Ok(done(memory.path(), vec![said], json!({})));
    }
    let said = format!("forgot which releases of {what} were accepted");
    let mut report = done(memory.path(), vec![said], json!({}));
    let notice = "any release that is signed and in force is accepted next, an old one too";
    report.notices.push(notice.to_owned());
    if args.all {
        let notice = "the floor of the clock was forgotten, too";
        report.notices.push(notice.to_owned());
    }
    if removed.revoked {
        let notice =
            "what was revoked on this machine could not be read and was removed: revoke it again";
        report.notices.push(notice.to_owned());
    }
    if removed.list {
        let notice = "the list of revocations could not be read and was removed: give it again with `verify --revocations`";
        report.notices.push(notice.to_owned());
    }
    Ok(report)
}

/// The memory that the options name.
enum Memory {
    Store(Box<Store>),
    State(State),
}

impl Memory {
    fn at(place: &Place, json: bool) -> Result<Self, Failure> {
        let waiting = move |lock: &Path| say_waiting(json, lock);
        if let Some(state) = &place.state {
            return Ok(Self::State(State::open(state)?.on_wait(waiting)));
        }
        let store = place.store.clone();
        let store = Store::open(store.map_or_else(Store::default_location, Ok)?)?;
        Ok(Self::Store(Box::new(store.on_wait(waiting))))
    }

    /// The same, but a mistyped name makes nothing.
    fn that_is_there(place: &Place, json: bool) -> Result<Self, Failure> {
        let named = place.state.as_ref().or(place.store.as_ref());
        named.map_or(Ok(()), |path| require_there(path))?;
        Self::at(place, json)
    }

    const fn state(&self) -> &State {
        match self {
            Self::Store(store) => store.state(),
            Self::State(state) => state,
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Store(store) => store.path(),
            Self::State(state) => state.path(),
        }
    }
}

pub(crate) fn done(place: &Path, prose: Vec<String>, more: serde_json::Value) -> Report {
    Report {
        verdict: Some("done"),
        subject: place.display().to_string(),
        prose,
        more: more.as_object().cloned().unwrap_or_default(),
        ..Report::default()
    }
}
