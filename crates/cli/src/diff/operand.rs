//! What a user calls a policy: a directory, or something that the store or a Hub has.

use std::path::{Path, PathBuf};

use tensorgate_hub::{At, Target};
use tensorgate_store::Store;
use tensorgate_verify::{RepoId, RepoType, Revision, Sha256};

use crate::args::Source;
use crate::failure::Failure;
use crate::{fetch, store};

/// The directory of a policy. What is there under this name is meant, whatever else it could mean.
///
/// # Errors
/// There is no such policy; a commit that has to be fetched cannot be.
pub(super) fn find(text: &str, source: &Source, json: bool) -> Result<PathBuf, Failure> {
    let path = Path::new(text);
    if path.symlink_metadata().is_ok() {
        return Ok(path.to_owned());
    }
    if let Ok(manifest) = text.parse::<Sha256>() {
        let store = store::open_store(source.store.as_deref(), json)?;
        return stored(&store, &manifest, text);
    }
    if text.contains('@') {
        return at_commit(fetch::target(text, None)?, source, json);
    }
    match Target::repository(text) {
        Ok((repo_type, repo)) => {
            let store = store::open_store(source.store.as_deref(), json)?;
            accepted(&store, (repo_type, &repo), text)
        }
        // Neither a name that a store could know.
        Err(_) => Ok(path.to_owned()),
    }
}

/// The release that runs: the last that was accepted.
fn accepted(
    store: &Store,
    (repo_type, repo): (RepoType, &RepoId),
    text: &str,
) -> Result<PathBuf, Failure> {
    match store.last_accepted(repo_type, repo)? {
        Some(accepted) => stored(store, &accepted.manifest, text),
        None => {
            let place = store.path();
            let detail = format!(
                "there is no directory {text:?}, and no release of {repo} was accepted in the store {place:?}"
            );
            let hint = "`tensorgate store ls` lists those that were; --store names another store";
            Err(Failure::about(Path::new(text), detail).hint(hint))
        }
    }
}

fn stored(store: &Store, manifest: &Sha256, text: &str) -> Result<PathBuf, Failure> {
    match store.policy(manifest)? {
        Some(policy) => Ok(policy.path().to_owned()),
        None => {
            let place = store.path();
            let detail = format!("the store {place:?} has no policy of the manifest {manifest}");
            let hint = "`tensorgate fetch` with --manifest and --trust puts one there; --store names another store";
            Err(Failure::about(Path::new(text), detail).hint(hint))
        }
    }
}

/// A commit that was kept, else one in quarantine, where it is fetched to if it is not there.
fn at_commit(target: Target, source: &Source, json: bool) -> Result<PathBuf, Failure> {
    let kept = match &target.at {
        At::Commit(revision) => kept(&target, revision, source, json)?,
        _ => None,
    };
    match kept {
        Some(path) => Ok(path),
        // Its lock goes: both sides may be the same download.
        None => Ok(fetch::untrusted(target, source, json)?.1.path),
    }
}

fn kept(
    target: &Target,
    revision: &Revision,
    source: &Source,
    json: bool,
) -> Result<Option<PathBuf>, Failure> {
    let place = source.store.clone();
    let place = place.map_or_else(Store::default_location, Ok)?;
    if !place.exists() {
        return Ok(None);
    }
    let store = store::open_store(Some(&place), json)?;
    let found = store.find(target.repo_type, &target.repo)?;
    match found.iter().find(|stored| stored.revision == *revision) {
        Some(stored) => Ok(store
            .policy(&stored.manifest)?
            .map(|policy| policy.path().to_owned())),
        None => Ok(None),
    }
}
