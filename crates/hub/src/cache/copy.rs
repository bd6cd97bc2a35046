//! From a cache to a complete directory in quarantine, as a fetch would have left it.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use tensorgate_store::{Quarantine, Record, Recorded, Store};
use tensorgate_verify::{FilePath, Manifest, Rejection, Revision};

use crate::cache::{Cache, snapshot_of};
use crate::error::FetchError;
use crate::fetch::choice::Choice;
use crate::fetch::hash::Hasher;
use crate::fetch::wanted::Wanted;
use crate::fetch::{Fetched, Found, Request};
use crate::limits::FetchLimits;
use crate::listing::{Content, ListedFile, Listing};
use crate::progress::Progress;

/// Copies a policy from a cache into the store's quarantine, without any network.
///
/// With a manifest, its files must be what was signed. Without one they must be what the cache's
/// `trees/COMMIT.json` lists or, where there is none, what the names of their blobs say: that is no
/// more than the word of whoever wrote the cache. It blocks: on the disk, and while another process
/// downloads the same commit.
///
/// # Errors
/// [`FetchError::Rejected`] for what was found and refused, [`FetchError::NoDigest`] for what
/// nothing says anything about, and everything else for what could not be had.
pub fn import(
    store: &Store,
    cache: &Cache,
    request: Request<'_>,
    progress: &dyn Progress,
) -> Result<Fetched, FetchError> {
    let revision = cache.resolve(request.target, progress)?;
    request.refuse_other_manifest(&revision)?;
    let target = request.target;
    let quarantine = store.quarantine(target.repo_type, &target.repo, &revision)?;
    let quarantine = Arc::new(quarantine);
    if let Found::Whole(record) = request.look_at(&quarantine, true)? {
        return Ok(request.fetched(revision, quarantine, record, None));
    }
    let (record, bytes) = request.copy((store, cache), &revision, &quarantine, progress)?;
    Ok(request.fetched(revision, quarantine, record, Some(bytes)))
}

/// What a cache has to offer of a commit.
struct Offer {
    listing: Listing,
    /// Files that are there and of no use, in path order.
    left_out: Vec<FilePath>,
    /// Whether the commit may have more files than the cache knows of.
    perhaps_more: bool,
}

impl Request<'_> {
    fn copy(
        &self,
        (store, cache): (&Store, &Cache),
        revision: &Revision,
        quarantine: &Quarantine,
        progress: &dyn Progress,
    ) -> Result<(Record, u64), FetchError> {
        let limits = FetchLimits::default();
        let snapshot = snapshot_of(self.target, revision);
        let offer = self.offer(cache, revision, &snapshot, &limits)?;
        let mut choice = Choice::of(self, offer.listing, &limits)?;
        choice.left_out.extend(offer.left_out);
        choice.left_out.sort_unstable();
        choice.make_room(store, quarantine, progress)?;
        let (mut files, mut bytes) = (Vec::new(), 0_u64);
        for wanted in &choice.wanted {
            let kept = wanted.kept_in(quarantine)?;
            if kept.is_none() {
                bytes = bytes.saturating_add(wanted.listed.size);
            }
            files.push(match kept {
                Some(recorded) => recorded,
                None => wanted.take(cache, &snapshot, quarantine, progress)?,
            });
        }
        // What came of them from a Hub is of no use any more.
        quarantine.remove_other_parts(&[])?;
        let mut record = Record::new(files, choice.left_out);
        record.perhaps_more = offer.perhaps_more;
        quarantine.finish(&record)?;
        Ok((record, bytes))
    }

    /// Whoever knows best says what the files are: the manifest, the commit's listing, their names.
    fn offer(
        &self,
        cache: &Cache,
        revision: &Revision,
        snapshot: &str,
        limits: &FetchLimits,
    ) -> Result<Offer, FetchError> {
        drop(cache.folder(snapshot)?);
        let only = |listing, perhaps_more| Offer {
            listing,
            left_out: Vec::new(),
            perhaps_more,
        };
        if let Some(manifest) = self.manifest {
            return Ok(only(signed(manifest)?, true));
        }
        if let Some(listing) = cache.tree(self.target, revision, limits)? {
            return Ok(only(listing, false));
        }
        let files = cache.walk(snapshot, limits)?.into_iter();
        let (wanted, left_out) = files.partition::<Vec<_>, _>(|path| self.is_of_a_policy(path));
        let listed = wanted.iter().map(|path| cache.named(snapshot, path));
        let listing = Listing::of_files(listed.collect::<Result<_, _>>()?)?;
        Ok(Offer {
            listing,
            left_out,
            perhaps_more: true,
        })
    }
}

/// The listing that a manifest is.
fn signed(manifest: &Manifest) -> Result<Listing, FetchError> {
    let file = |file: &tensorgate_verify::FileEntry| ListedFile {
        path: file.path.clone(),
        size: file.size,
        content: Content::Lfs(file.sha256),
    };
    Listing::of_files(manifest.files.iter().map(file).collect())
}

impl Wanted {
    /// Copies the file from a cache; only what is right gets its place.
    fn take(
        &self,
        cache: &Cache,
        snapshot: &str,
        quarantine: &Quarantine,
        progress: &dyn Progress,
    ) -> Result<Recorded, FetchError> {
        let (path, size) = (self.path(), self.listed.size);
        progress.file_started(path, size);
        let (file, len) = cache.open_file(snapshot, path)?;
        // A sparse file may pretend to terabytes.
        if len != size {
            let detail = format!("{len} bytes are in the cache, {size} are listed");
            return Err(FetchError::rejected(Rejection::SizeMismatch, path, detail));
        }
        let failed = |error| cache.unusable(&format!("{snapshot}/{path}"), error);
        let recorded = self.pour(file, quarantine, progress, &failed)?;
        progress.file_finished(path);
        Ok(recorded)
    }

    /// One byte more than the size is read: whoever adds to the file meanwhile is found out.
    fn pour(
        &self,
        file: File,
        quarantine: &Quarantine,
        progress: &dyn Progress,
        failed: &dyn Fn(std::io::Error) -> FetchError,
    ) -> Result<Recorded, FetchError> {
        let mut incoming = quarantine.incoming()?;
        let mut hasher = Hasher::new(&self.listed);
        let mut file = file.take(self.listed.size.saturating_add(1));
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut buffer).map_err(failed)?;
            let chunk = buffer.get(..read).unwrap_or_default();
            if chunk.is_empty() {
                break;
            }
            hasher.update(chunk);
            incoming.write(chunk)?;
            progress.file_advanced(self.path(), u64::try_from(read).unwrap_or(u64::MAX));
        }
        let recorded = self.judge(&hasher.finish())?;
        quarantine.place(incoming, self.path())?;
        Ok(recorded)
    }
}
