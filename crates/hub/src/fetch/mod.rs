//! The whole way: from what is asked for to a complete directory in quarantine.

pub(crate) mod choice;
pub(crate) mod hash;
pub(crate) mod plan;
pub(crate) mod wanted;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use tensorgate_store::{Quarantine, Record, Recorded, Store};
use tensorgate_verify::{Directory, FilePath, Manifest, Rejection, Revision, Verified};

use crate::error::FetchError;
use crate::fetch::choice::Choice;
use crate::fetch::wanted::Wanted;
use crate::http::deadline::Deadline;
use crate::hub::{Hub, Repository};
use crate::progress::Progress;
use crate::target::{At, Target};
use crate::transfer::blocking;

/// What to fetch.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The repository, and where in its history.
    pub target: &'a Target,
    /// What decides which files are fetched, where there is one.
    pub manifest: Option<&'a Verified<Manifest>>,
}

/// What was fetched: complete, with every digest as listed, and trusted by nobody.
///
/// While it lives, nobody else downloads into its directory; another [`fetch`] of the same commit,
/// in this process too, waits until it is dropped.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// The commit.
    pub revision: Revision,
    /// Where the files are.
    pub path: PathBuf,
    /// The files, in path order, with their digests.
    pub files: Vec<Recorded>,
    /// What the Hub lists besides, in path order.
    pub left_out: Vec<FilePath>,
    /// Whether the commit may have more files: these came from a cache that does not say.
    pub perhaps_more: bool,
    /// Whether all was there, read again and found right, without a single request.
    pub from_store: bool,
    /// Bytes that were received, or copied from a cache, now.
    pub bytes: u64,
    quarantine: Arc<Quarantine>,
}

impl<'a> Request<'a> {
    /// Every file of a kind that policies have.
    pub const fn new(target: &'a Target) -> Self {
        let manifest = None;
        Self { target, manifest }
    }

    /// Exactly the files of a manifest.
    pub const fn signed(target: &'a Target, manifest: &'a Verified<Manifest>) -> Self {
        let manifest = Some(manifest);
        Self { target, manifest }
    }
}

impl Fetched {
    /// The files, to be verified.
    ///
    /// # Errors
    /// When the system has no handle left.
    pub fn directory(&self) -> Result<Directory, FetchError> {
        Ok(self.quarantine.directory()?)
    }

    /// Once `store` has admitted these files, keeps them on the disk once and not twice.
    ///
    /// # Errors
    /// Whatever keeps the store's objects from taking the places of the files.
    pub fn share(&self, store: &Store) -> Result<(), FetchError> {
        Ok(self.quarantine.share(store, &self.files)?)
    }
}

/// Fetches a policy into the store's quarantine; `hub` is `None` where the network is not to be
/// used.
///
/// What is there is read again before it counts; if that is all, nothing is sent. A file that is
/// damaged is fetched again; one that was signed, and that the store has of another release, is not.
///
/// # Errors
/// [`FetchError::Rejected`] for what was had and refused, and everything else for what could not
/// be had. Files that were right stay for the next time, and so does what came of others.
///
/// ```
/// use tensorgate_hub::{Config, Hub, Request, Silent, fetch};
/// use tensorgate_store::Store;
/// use tensorgate_testhub::{Fault, Repository, TestHub};
/// use tensorgate_verify::Rejection;
///
/// # let folder = tempfile::tempdir()?;
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # runtime.block_on(async {
/// // A Hub on loopback, which will lie.
/// let walk = Repository::new("acme/walk")?.commit_files([("config.json", "{}")])?;
/// let [commit] = walk.commits().try_into().unwrap();
/// let there = TestHub::start()?;
/// there.serve(walk);
///
/// let store = Store::open(folder.path().join("store"))?;
/// let hub = Hub::new(&Config::new(there.endpoint().parse()?))?;
/// let target = format!("acme/walk@{commit}").parse()?;
/// there.inject(Fault::ByteFlipped { path: "config.json".into(), at: 0 });
/// let error = fetch(&store, Some(&hub), Request::new(&target), &Silent).await.unwrap_err();
/// assert_eq!(error.rejection(), Some(Rejection::DigestMismatch));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn fetch(
    store: &Store,
    hub: Option<&Hub>,
    request: Request<'_>,
    progress: &dyn Progress,
) -> Result<Fetched, FetchError> {
    let revision = pin(hub, request.target, progress).await?;
    request.refuse_other_manifest(&revision)?;
    let quarantine = enter(store, request.target, &revision, progress).await?;
    let damaged = match request.look(&quarantine, hub.is_some(), progress).await? {
        Found::Whole(record) => return Ok(request.fetched(revision, quarantine, record, None)),
        Found::Incomplete { damaged } => damaged,
    };
    let Some(hub) = hub else {
        let target = request.target.clone().pinned(revision);
        return Err(FetchError::Offline { target, damaged });
    };
    for path in &damaged {
        let path = path.as_str();
        progress.notice(&format!(
            "{path:?} is damaged in the store, it is fetched again"
        ));
    }
    let repository = hub.repository_of(request.target);
    let (record, bytes) = request
        .download(repository, &revision, (store, &quarantine), progress)
        .await?;
    Ok(request.fetched(revision, quarantine, record, Some(bytes)))
}

/// The commit of a target: a branch or tag is looked up once, and shown; a commit is itself.
///
/// # Errors
/// [`FetchError::Offline`] where a name would have to be looked up and the network is not to be used;
/// [`Reason::RevisionNotFound`](crate::Reason), and everything that keeps a request from being answered.
pub async fn pin(
    hub: Option<&Hub>,
    target: &Target,
    progress: &dyn Progress,
) -> Result<Revision, FetchError> {
    let name = match &target.at {
        At::Commit(revision) => return Ok(revision.clone()),
        At::Name(name) => name,
    };
    let hub = hub.ok_or_else(|| FetchError::offline(target))?;
    let repository = hub.repository_of(target);
    let revision = repository.resolve(name, progress).await?;
    progress.notice(&format!("resolved {name} to {revision}, pinned"));
    Ok(revision)
}

/// Takes the quarantine of a commit, when no other process has it.
async fn enter(
    store: &Store,
    target: &Target,
    revision: &Revision,
    progress: &dyn Progress,
) -> Result<Arc<Quarantine>, FetchError> {
    let mut told = false;
    loop {
        if let Some(quarantine) = store.try_quarantine(target.repo_type, &target.repo, revision)? {
            return Ok(Arc::new(quarantine));
        }
        if !std::mem::replace(&mut told, true) {
            progress.notice("another process downloads this commit; waiting for it");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What the store has.
pub(crate) enum Found {
    Whole(Record),
    Incomplete { damaged: Vec<FilePath> },
}

impl Request<'_> {
    /// A manifest of another repository or commit decides nothing here.
    pub(crate) fn refuse_other_manifest(&self, revision: &Revision) -> Result<(), FetchError> {
        let Some(manifest) = self.manifest else {
            return Ok(());
        };
        let (signed, target) = (&manifest.repo, self.target);
        if (signed.repo_type, &signed.id) != (target.repo_type, &target.repo) {
            let detail = format!(
                "the manifest is of {}, {} was asked for",
                signed.id, target.repo
            );
            return Err(FetchError::rejected(
                Rejection::RepoMismatch,
                "repo",
                detail,
            ));
        }
        if signed.revision != *revision {
            let detail = format!(
                "the manifest is of {}, {revision} was asked for",
                signed.revision
            );
            let rejection = Rejection::RevisionMismatch;
            return Err(FetchError::rejected(rejection, "revision", detail));
        }
        Ok(())
    }

    /// Whether a finished download has all that is asked for, read again from the disk.
    async fn look(
        &self,
        quarantine: &Arc<Quarantine>,
        more: bool,
        progress: &dyn Progress,
    ) -> Result<Found, FetchError> {
        let Some(record) = self.recorded(quarantine, more)? else {
            return Ok(Found::NOTHING);
        };
        let sizes = record.files.iter().map(|file| file.size);
        progress.step("reading again", sizes.fold(0, u64::saturating_add));
        let held = Arc::clone(quarantine);
        blocking(move || Found::again(record, &held)).await
    }

    /// The same, for whoever may wait for the disk.
    pub(crate) fn look_at(&self, quarantine: &Quarantine, more: bool) -> Result<Found, FetchError> {
        match self.recorded(quarantine, more)? {
            Some(record) => Found::again(record, quarantine),
            None => Ok(Found::NOTHING),
        }
    }

    /// The record as a fetch of this request would have written it, if it has enough. Where there
    /// may be `more` to be had, one that does not know whether it has all does not have enough.
    fn recorded(&self, quarantine: &Quarantine, more: bool) -> Result<Option<Record>, FetchError> {
        let record = quarantine.record()?.and_then(|record| self.part_of(record));
        let enough = |record: &Record| self.manifest.is_some() || !(more && record.perhaps_more);
        Ok(record.filter(enough))
    }

    /// The part of a record that is asked for, if it is all there.
    fn part_of(&self, record: Record) -> Option<Record> {
        let Some(manifest) = self.manifest else {
            let all = !record.left_out.iter().any(|path| self.is_of_a_policy(path));
            return Some(record).filter(|_| all);
        };
        let perhaps_more = record.perhaps_more;
        let (files, others): (Vec<_>, Vec<_>) = record.files.into_iter().partition(|file| {
            let signed = manifest.file(&file.path);
            signed.is_some_and(|signed| {
                (signed.size, signed.sha256, signed.blake3) == (file.size, file.sha256, file.blake3)
            })
        });
        let mut left_out = record.left_out;
        left_out.extend(others.into_iter().map(|file| file.path));
        left_out.sort_unstable();
        let mut part = Record::new(files, left_out);
        part.perhaps_more = perhaps_more;
        (part.files.len() == manifest.files.len()).then_some(part)
    }

    async fn download(
        &self,
        from: Repository<'_>,
        revision: &Revision,
        (store, quarantine): (&Store, &Arc<Quarantine>),
        progress: &dyn Progress,
    ) -> Result<(Record, u64), FetchError> {
        let listing = from.listing(revision, progress).await?;
        let choice = Choice::of(self, listing, from.hub.limits())?;
        choice.make_room(store, quarantine, progress)?;
        // Each future owns its file: borrowed ones could not move between threads
        // (https://github.com/rust-lang/rust/issues/102211).
        let obtain = |wanted: Wanted| async move {
            wanted.obtain(from, revision, quarantine, progress).await
        };
        let limits = from.hub.limits();
        let all = futures::stream::iter(choice.wanted)
            .map(obtain)
            .buffer_unordered(limits.concurrent.max(1));
        let time = limits
            .files
            .saturating_add(limits.slowest_time(choice.bytes));
        let deadline = Deadline::within(time, "the time for all files is over");
        let url = format!("{}/{}", from.hub.endpoint(), self.target.repo);
        let mut obtained: Vec<(Recorded, u64)> = deadline.bound(&url, all.try_collect()).await??;
        obtained.sort_unstable_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        let bytes = obtained.iter().map(|(_, received)| received).sum();
        let files = obtained.into_iter().map(|(recorded, _)| recorded).collect();
        let (record, held) = (Record::new(files, choice.left_out), Arc::clone(quarantine));
        blocking(move || {
            held.finish(&record)?;
            Ok((record, bytes))
        })
        .await
    }
}

impl Request<'_> {
    /// What came of it; `received` is `None` where all was there.
    pub(crate) fn fetched(
        &self,
        revision: Revision,
        quarantine: Arc<Quarantine>,
        record: Record,
        received: Option<u64>,
    ) -> Fetched {
        Fetched {
            revision,
            path: quarantine.path().to_owned(),
            files: record.files,
            left_out: record.left_out,
            perhaps_more: record.perhaps_more && self.manifest.is_none(),
            from_store: received.is_none(),
            bytes: received.unwrap_or(0),
            quarantine,
        }
    }
}

impl Found {
    const NOTHING: Self = Self::Incomplete {
        damaged: Vec::new(),
    };

    /// Reads the files of a record again; what is damaged goes.
    fn again(record: Record, quarantine: &Quarantine) -> Result<Self, FetchError> {
        let mut damaged = Vec::new();
        for file in &record.files {
            if !quarantine.is_intact(file)? {
                quarantine.remove(&file.path)?;
                damaged.push(file.path.clone());
            }
        }
        if !damaged.is_empty() {
            return Ok(Self::Incomplete { damaged });
        }
        settle(quarantine, &record)?;
        Ok(Self::Whole(record))
    }
}

/// Makes the directory hold the record's files and nothing else.
fn settle(quarantine: &Quarantine, record: &Record) -> Result<(), FetchError> {
    if quarantine.record()?.as_ref() != Some(record) {
        quarantine.finish(record)?;
    }
    let paths: Vec<&FilePath> = record.files.iter().map(|file| &file.path).collect();
    Ok(quarantine.remove_others(&paths)?)
}
