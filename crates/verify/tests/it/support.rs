//! What the tests of this crate share: a small policy, keys, and the way through the gate.
use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;
use tensorgate_verify::*;

pub(crate) const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const CONFIG: &str = r#"{"type": "mlp", "layers": [2, 3]}"#;

/// A step that has statistics and, as it declares no feature, scales nothing.
const PIPELINE: &str = r#"{"name": "policy_preprocessor", "steps": [
    {"registry_name": "normalizer_processor", "config": {"features": {}, "norm_map": {}},
     "state_file": "policy_preprocessor_step_3_normalizer_processor.safetensors"}]}"#;

/// A directory with a config, a pipeline and two safetensors files, and its manifest, signed by `key(1)`.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) manifest: Manifest,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::of(&[("actor.bias", 3), ("actor.weight", 6), ("big", 400_000)])
    }

    /// With these weights.
    pub(crate) fn of(tensors: &[(&str, usize)]) -> Self {
        Self::inside(tempfile::tempdir().unwrap(), tensors)
    }

    /// The same on a disk where files are guarded, if there is one.
    pub(crate) fn guarded() -> Option<Self> {
        let tensors = [("actor.bias", 3), ("actor.weight", 6), ("big", 400_000)];
        Some(Self::inside(guarding_folder()?, &tensors))
    }

    /// With these weights, in an empty folder.
    pub(crate) fn inside(folder: TempDir, tensors: &[(&str, usize)]) -> Self {
        fs::write(folder.path().join("config.json"), CONFIG).unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, weights(tensors)).unwrap();
        // Whatever the umask: where a group may write, there is no guard.
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
        let state = folder
            .path()
            .join("policy_preprocessor_step_3_normalizer_processor.safetensors");
        fs::write(state, weights_of("gripper.mean", &[0.0; 12])).unwrap();
        fs::write(folder.path().join("policy_preprocessor.json"), PIPELINE).unwrap();
        let files = survey(folder.path()).unwrap();
        let manifest = Manifest::new(repo(), 5, validity(), About::of_type("mlp"), files);
        Self { folder, manifest }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn signed(&self) -> SignedManifest {
        sign(&self.manifest, &[1])
    }

    /// The whole way: authenticate with `key(1)`, then prove the directory.
    pub(crate) fn open(&self) -> Result<Verified<Policy>> {
        let manifest = trust(1, &[1]).authenticate(&self.signed(), &context())?;
        manifest.open(
            &directory(self.folder.path()),
            Proof::Tensors,
            &Rules::default(),
        )
    }

    /// The one code that the directory is refused for.
    pub(crate) fn refusal(&self) -> Rejection {
        refusal(self.open())
    }
}

/// Below a checkout in a container, or a `/tmp` in memory, nothing is guarded; told by the numbers of
/// statfs(2), and not by what this crate says of it.
pub(crate) fn is_guarding(folder: &Path) -> bool {
    const EXT4_XFS_BTRFS: [u64; 3] = [0xef53, 0x5846_5342, 0x9123_683e];
    rustix::fs::statfs(folder).is_ok_and(|stat| EXT4_XFS_BTRFS.contains(&(stat.f_type as u64)))
}

/// On a disk where files are guarded: the one that the tests were built on, or another.
pub(crate) fn guarding_folder() -> Option<TempDir> {
    let disks = [
        env!("CARGO_TARGET_TMPDIR").into(),
        std::env::temp_dir(),
        "/var/tmp".into(),
    ];
    let mut disks = disks.iter().filter(|disk| is_guarding(disk));
    let folder = disks.find_map(|disk| tempfile::tempdir_in(disk).ok());
    if folder.is_none() {
        println!("NOT TRIED: neither the checkout nor TMPDIR is on ext4, xfs or btrfs");
    }
    folder
}

pub(crate) fn refusal<T>(result: Result<T>) -> Rejection {
    match result {
        Ok(_) => panic!("nothing was refused"),
        Err(error) => error
            .rejection()
            .unwrap_or_else(|| panic!("no verdict: {error}")),
    }
}

pub(crate) fn directory(path: &Path) -> Directory {
    Directory::new(OwnedFd::from(fs::File::open(path).unwrap()))
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub(crate) fn sign(manifest: &Manifest, seeds: &[u8]) -> SignedManifest {
    let (first, more) = seeds.split_first().unwrap();
    let mut signed = SignedManifest::sign(manifest, &key(*first), &Limits::default()).unwrap();
    for seed in more {
        signed
            .add_signature(&key(*seed), &Limits::default())
            .unwrap();
    }
    signed
}

pub(crate) fn trust_text(threshold: usize, seeds: &[u8]) -> String {
    let entry = |seed: &u8| {
        let pem = key(*seed).public_pem().unwrap();
        format!("[[keys]]\nname = 'key {seed}'\npublic_key = '''{pem}'''\n")
    };
    format!(
        "threshold = {threshold}\n{}",
        seeds.iter().map(entry).collect::<String>()
    )
}

pub(crate) fn trust(threshold: usize, seeds: &[u8]) -> TrustPolicy {
    TrustPolicy::parse(&trust_text(threshold, seeds), |_| panic!("keys are inline")).unwrap()
}

pub(crate) fn context() -> Context<'static> {
    Context::new("2026-11-23T12:00:00Z".parse().unwrap())
}

pub(crate) fn repo() -> Repo {
    Repo::model("acme/walk".parse().unwrap(), REVISION.parse().unwrap())
}

pub(crate) fn validity() -> (jiff::Timestamp, jiff::Timestamp) {
    (
        "2026-11-01T00:00:00Z".parse().unwrap(),
        "2027-11-01T00:00:00Z".parse().unwrap(),
    )
}

/// F32 tensors of these names and lengths, each element its index.
pub(crate) fn weights(tensors: &[(&str, usize)]) -> Vec<u8> {
    let data: Vec<(&str, Vec<u8>)> = tensors
        .iter()
        .map(|(name, len)| {
            (
                *name,
                (0..*len).flat_map(|i| (i as f32).to_le_bytes()).collect(),
            )
        })
        .collect();
    let views = data.iter().map(|(name, bytes)| {
        (
            *name,
            TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}

pub(crate) fn weights_of(name: &str, values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![values.len()], &bytes).unwrap();
    safetensors::serialize([(name, view)], None).unwrap()
}

/// The files of a directory as a signer would list them.
pub(crate) fn survey(path: &Path) -> Result<Vec<FileEntry>> {
    Survey::new(&Rules::default())
        .run(&directory(path))
        .map(|surveyed| surveyed.files)
}
