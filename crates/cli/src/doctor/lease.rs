//! Whether the store's file system can guard weights: one small policy is signed there, verified, and
//! removed.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use tensorgate_store::Store;
use tensorgate_verify::{
    About, Context, Holding, Limits, Manifest, Proof, Repo, Rules, SignedManifest, Survey,
};

use super::check::Check;
use crate::disk;
use crate::failure::Failure;
use crate::keys;

const NAME: &str = "lease";
/// Where the store has what it is putting together; what a crash leaves there, `store gc` removes.
const DRAFTS: &str = "tmp";
/// One tensor of two zeros, its header padded to 8 bytes.
const HEADER: &str = r#"{"zero":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

pub(super) fn check(store: Option<&Store>) -> Check {
    let Some(store) = store else {
        return Check::skipped(NAME, "there is no store to try it in");
    };
    match tried_in(&store.path().join(DRAFTS)) {
        Ok(Holding::Guarded) => Check::ok(NAME, "weights in the store are guarded, and not copied"),
        Ok(other) => Check::warn(NAME, format!("weights in the store are copied: {other}")).hint(
            "ext4, xfs and btrfs can guard them; a copy costs memory and time, and is as good",
        ),
        Err(failure) => Check::failed(NAME, failure),
    }
}

fn tried_in(drafts: &Path) -> Result<Holding, Failure> {
    let number = getrandom::u64().map_err(|error| Failure::about(drafts, error))?;
    let place = drafts.join(format!("doctor-{number:016x}"));
    let was_there = drafts.exists();
    let tried = written(&place).and_then(|()| holding(&place));
    let removed = fs::remove_dir_all(&place);
    if !was_there {
        // Unless somebody has come to need it meanwhile.
        fs::remove_dir(drafts).ok();
    }
    let holding = tried?;
    removed.map_err(|error| Failure::io("remove", &place, &error))?;
    Ok(holding)
}

fn written(place: &Path) -> Result<(), Failure> {
    let io = |error| Failure::io("write", place, &error);
    let mut folders = DirBuilder::new();
    folders
        .recursive(true)
        .mode(0o700)
        .create(place)
        .map_err(io)?;
    let padded = HEADER.len().next_multiple_of(8);
    let header = format!("{HEADER:padded$}");
    let length = u64::try_from(padded).unwrap_or_default().to_le_bytes();
    let weights = [&length, header.as_bytes(), &[0; 8]].concat();
    disk::create(&place.join("model.safetensors"), 0o600, &weights).map_err(io)?;
    disk::create(&place.join("config.json"), 0o600, br#"{"type": "doctor"}"#).map_err(io)
}

/// How the weights are held that were signed by a key which nobody keeps.
fn holding(place: &Path) -> Result<Holding, Failure> {
    let (limits, rules) = (Limits::default(), Rules::default());
    let key = keys::generate().map_err(|error| Failure::about(place, error))?;
    let directory = disk::open_directory(place)?;
    let files = Survey::new(&rules).run(&directory)?.files;
    let now = Timestamp::now();
    let later = now
        .saturating_add(SignedDuration::from_hours(1))
        .unwrap_or(now);
    let repo = "tensorgate/doctor".parse();
    let repo = repo.map_err(|error| Failure::about(place, error))?;
    let repo = Repo::model(repo, "0".repeat(40).parse()?);
    let about = About::of_type("doctor");
    let manifest = Manifest::new(repo, 1, (now, later), about, files);
    let signed = SignedManifest::sign(&manifest, &key, &limits)?;
    let manifest = keys::trust_in(&key.public())?.authenticate(&signed, &Context::new(now))?;
    let policy = manifest.open(&directory, Proof::Tensors, &rules)?;
    let mut held = policy.tensor_files().map(|file| file.hold().holding());
    held.next()
        .ok_or_else(|| Failure::about(place, "no weights"))
}
