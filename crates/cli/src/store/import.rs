//! `tensorgate store import-hf-cache`: from the cache of other tools into quarantine and, with a
//! manifest, out of it; no network takes part.

use std::path::Path;

use tensorgate_hub::{Cache, Expected, Fetched, Request, Target, import};
use tensorgate_store::Store;

use crate::args::operator::ImportHfCache;
use crate::disk;
use crate::failure::Failure;
use crate::fetch::{Session, report, target};
use crate::output::{Report, say_waiting};
use crate::progress;
use crate::stop;
use crate::trust;

pub(crate) fn run(args: &ImportHfCache, json: bool) -> Result<Report, Failure> {
    let cache = args.cache.clone();
    let cache = Cache::open(cache.map_or_else(Cache::default_location, Ok)?)?;
    let store = args.store.clone();
    let store = Store::open(store.map_or_else(Store::default_location, Ok)?)?;
    let session = Session {
        store: store.on_wait(move |lock| say_waiting(json, lock)),
        hub: None,
        progress: progress::choose(json),
    };
    let args = args.clone();
    stop::to_the_end(async move { session.import(&args, &cache).await })
}

impl Session {
    async fn import(&self, args: &ImportHfCache, cache: &Cache) -> Result<Report, Failure> {
        let asked = target(&args.target, args.repo_type)?;
        let revision = cache.resolve(&asked, self.progress.as_ref())?;
        let target = asked.clone().pinned(revision.clone());
        let mut report = match (&args.manifest, &args.trust) {
            (Some(manifest), Some(trust)) => {
                let mut expected = Expected::of(target.repo_type, target.repo.clone());
                expected.revision = Some(revision);
                let signed = (manifest.as_path(), trust.as_path());
                self.import_signed(cache, &target, &expected, signed)
                    .await?
            }
            _ => report(&target, &self.take(cache, Request::new(&target))?),
        };
        report.more.insert("asked".into(), asked.to_string().into());
        Ok(report)
    }

    /// What was signed comes into quarantine, and from there the way of every release.
    async fn import_signed(
        &self,
        cache: &Cache,
        target: &Target,
        expected: &Expected,
        (manifest, trust): (&Path, &Path),
    ) -> Result<Report, Failure> {
        let trust = trust::load(trust)?;
        let signed = disk::manifest_at(manifest, trust.limits())?;
        let gate = self.gate(&trust);
        let manifest = gate.authenticate(&signed, expected)?;
        let taken = self.take(cache, Request::signed(target, &manifest))?;
        let (bytes, from_store) = (taken.bytes, taken.from_store);
        drop(taken);
        let mut admitted = gate.admit(&signed, expected).await?;
        (admitted.received, admitted.from_store) = (bytes, from_store);
        Ok(self.report(&admitted))
    }

    fn take(&self, cache: &Cache, request: Request<'_>) -> Result<Fetched, Failure> {
        let taken = import(&self.store, cache, request, self.progress.as_ref());
        Ok(taken?)
    }
}
