//! What a fetch would do, without doing it.

use tensorgate_store::{Downloads, PartName, Store};
use tensorgate_verify::{Blake3, FileEntry, FilePath, Revision};

use crate::error::FetchError;
use crate::fetch::choice::Choice;
use crate::fetch::wanted::{Wanted, signed_part};
use crate::fetch::{Request, pin};
use crate::hub::Hub;
use crate::listing::ListedFile;
use crate::progress::Progress;
use crate::target::Target;

/// What a fetch would bring.
#[derive(Debug)]
#[non_exhaustive]
pub struct Plan {
    /// The commit.
    pub revision: Revision,
    /// The files that would be there in the end, in path order.
    pub files: Vec<Planned>,
    /// What the Hub lists besides, in path order; not asked where a manifest says what is fetched.
    pub left_out: Vec<FilePath>,
    /// Bytes that the disk has to spare for it.
    pub room: u64,
}

/// A file that would be fetched, unless it is there.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Planned {
    /// Its path in the repository.
    pub path: FilePath,
    /// Its size in bytes, as it was signed or, without a manifest, as the Hub lists it.
    pub size: u64,
    /// What there is of it.
    pub have: Have,
}

/// What the store has of a file, going by its size: it is read before it counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Have {
    /// A file of this size.
    Whole,
    /// So many bytes from its beginning on.
    Part(u64),
    /// Nothing.
    Nothing,
}

/// Looks at what [`fetch`](crate::fetch) would have to do. Of files, nothing is fetched; in the store,
/// nothing is written.
///
/// With a manifest, which says all sizes, nothing is asked but what a name stands for.
///
/// # Errors
/// What [`fetch`](crate::fetch) refuses of a listing, and what keeps it from being had;
/// [`FetchError::Offline`] where a listing is needed and the network is not to be used.
pub async fn plan(
    store: &Store,
    hub: Option<&Hub>,
    request: Request<'_>,
    progress: &dyn Progress,
) -> Result<Plan, FetchError> {
    let revision = pin(hub, request.target, progress).await?;
    request.refuse_other_manifest(&revision)?;
    let (files, left_out) = match request.manifest {
        Some(manifest) => {
            let signed = manifest.files.iter();
            (signed.map(Sought::signed).collect(), Vec::new())
        }
        None => listed(hub, request, &revision, progress).await?,
    };
    let admitted = match request.manifest {
        Some(manifest) => store.policy(&manifest.evidence().manifest)?.is_some(),
        None => false,
    };
    let Target {
        repo_type, repo, ..
    } = request.target;
    let downloads = store.downloads(*repo_type, repo, &revision)?;
    let planned = |sought: Sought| {
        let have = match admitted {
            true => Have::Whole,
            false => sought.among(store, &downloads)?,
        };
        let Sought { path, size, .. } = sought;
        Ok(Planned { path, size, have })
    };
    Ok(Plan {
        files: files
            .into_iter()
            .map(planned)
            .collect::<Result<_, FetchError>>()?,
        left_out,
        room: store.room()?,
        revision,
    })
}

impl Plan {
    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        sum(self.files.iter().map(|file| file.size))
    }

    /// The bytes that would be fetched, if what is there is right.
    pub fn missing(&self) -> u64 {
        sum(self.files.iter().map(Planned::missing))
    }

    /// Whether the disk has the room.
    pub fn fits(&self) -> bool {
        self.missing() <= self.room
    }
}

impl Planned {
    /// The bytes of it that would be fetched.
    pub const fn missing(&self) -> u64 {
        match self.have {
            Have::Whole => 0,
            Have::Part(bytes) => self.size.saturating_sub(bytes),
            Have::Nothing => self.size,
        }
    }
}

/// A file that is looked for in the store.
struct Sought {
    path: FilePath,
    size: u64,
    part: PartName,
    /// Of a file that was signed: another release may have it.
    blake3: Option<Blake3>,
}

impl Sought {
    fn listed(wanted: Wanted) -> Self {
        let (part, ListedFile { path, size, .. }) = (wanted.part_name(), wanted.listed);
        let blake3 = None;
        Self {
            path,
            size,
            part,
            blake3,
        }
    }

    fn signed(file: &FileEntry) -> Self {
        Self {
            path: file.path.clone(),
            size: file.size,
            part: signed_part(file),
            blake3: Some(file.blake3),
        }
    }

    fn among(&self, store: &Store, downloads: &Downloads) -> Result<Have, FetchError> {
        let object = match &self.blake3 {
            Some(blake3) => store.object_size(blake3)?,
            None => None,
        };
        if [object, downloads.size_of(&self.path)?].contains(&Some(self.size)) {
            return Ok(Have::Whole);
        }
        Ok(match downloads.part_size(&self.part, self.size)? {
            0 => Have::Nothing,
            bytes => Have::Part(bytes),
        })
    }
}

/// What is chosen of a listing, and what is left out.
async fn listed(
    hub: Option<&Hub>,
    request: Request<'_>,
    revision: &Revision,
    progress: &dyn Progress,
) -> Result<(Vec<Sought>, Vec<FilePath>), FetchError> {
    let offline = || FetchError::offline(&request.target.clone().pinned(revision.clone()));
    let hub = hub.ok_or_else(offline)?;
    let repository = hub.repository_of(request.target);
    let listing = repository.listing(revision, progress).await?;
    let choice = Choice::of(&request, listing, hub.limits())?;
    let files = choice.wanted.into_iter().map(Sought::listed);
    Ok((files.collect(), choice.left_out))
}

fn sum(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_needs_room() {
        let file = |path: &str, size, have| Planned {
            path: path.parse().unwrap(),
            size,
            have,
        };
        let plan = |room| Plan {
            revision: "a".repeat(40).parse().unwrap(),
            files: vec![
                file("a.json", 10, Have::Whole),
                file("b.json", 20, Have::Nothing),
                file("c.json", 30, Have::Part(25)),
                file("d.json", u64::MAX, Have::Whole),
            ],
            left_out: Vec::new(),
            room,
        };
        assert_eq!((plan(0).missing(), plan(0).bytes()), (25, u64::MAX));
        assert!(plan(25).fits());
        assert!(!plan(24).fits());
    }
}
