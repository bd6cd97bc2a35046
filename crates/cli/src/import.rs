//! `tensorgate store import-hf-cache`: from the cache of other tools into quarantine and, with a
//! manifest, out of it; no network takes part.

use std::path::Path;

use tensorgate_hub::{Cache, Fetched, Progress, Request, Target, import};
use tensorgate_store::Store;

use crate::args_operator::ImportHfCache;
use crate::disk;
use crate::failure::Failure;
use crate::fetch::{authenticate, keep, target, unsigned};
use crate::output::{Report, say_waiting};
use crate::progress;
use crate::trust;

pub(crate) fn run(args: &ImportHfCache, json: bool) -> Result<Report, Failure> {
    let asked = target(&args.target, args.repo_type)?;
    let cache = args.cache.clone();
    let cache = Cache::open(cache.map_or_else(Cache::default_location, Ok)?)?;
    let progress = progress::choose(json);
    let revision = cache.resolve(&asked, progress.as_ref())?;
    let target = asked.clone().pinned(revision.clone());
    let store = args.store.clone();
    let store = Store::open(store.map_or_else(Store::default_location, Ok)?)?;
    let importing = Importing {
        store: store.on_wait(move |lock| say_waiting(json, lock)),
        cache,
        progress,
    };
    let mut report = match (&args.manifest, &args.trust) {
        (Some(manifest), Some(trust)) => importing.signed(&target, manifest, trust)?,
        _ => unsigned(&target, &importing.take(Request::new(&target))?),
    };
    report.subject = target.to_string();
    report.more.insert("asked".into(), asked.to_string().into());
    let revision = revision.as_str().into();
    report.more.insert("revision".into(), revision);
    Ok(report)
}

struct Importing {
    store: Store,
    cache: Cache,
    progress: Box<dyn Progress>,
}

impl Importing {
    fn signed(&self, target: &Target, manifest: &Path, trust: &Path) -> Result<Report, Failure> {
        let trust = trust::load(trust)?;
        let signed = disk::manifest_at(manifest, trust.limits())?;
        let manifest = authenticate(&self.store, target, &trust, &signed)?;
        let taken = self.take(Request::signed(target, &manifest))?;
        keep(&self.store, target, &trust, manifest, &taken)
    }

    fn take(&self, request: Request<'_>) -> Result<Fetched, Failure> {
        let taken = import(&self.store, &self.cache, request, self.progress.as_ref());
        Ok(taken?)
    }
}
