//! What the tests share: a signed policy, a gate that offers it, a controller that trusts its key.

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;
use tensorgate_handoff::*;
use tensorgate_verify::{
    About, Context, Directory, Limits, Manifest, Policy, Proof, Repo, Rules, SignedManifest,
    SigningKey, Survey, TrustPolicy, Verified,
};

pub(crate) const SESSION: Session = [7; 16];
pub(crate) const EPOCH: u64 = 3;
/// Against hanging only.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const ALL_SEALS: SealFlags = SealFlags::WRITE
    .union(SealFlags::GROW)
    .union(SealFlags::SHRINK)
    .union(SealFlags::SEAL);

/// A verified policy of one file of weights and two small ones, signed by `key(seed)`.
pub(crate) fn policy_of(seed: u8, weights: &[u8]) -> Verified<Policy> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.safetensors"), weights).unwrap();
    signed(seed, folder.path())
}

/// The same, of as many files of weights, each of one number.
pub(crate) fn policy_of_shards(count: usize) -> Verified<Policy> {
    let folder = tempfile::tempdir().unwrap();
    let mut map = Vec::new();
    for n in 1..=count {
        let (tensor, name) = (
            format!("t{n}"),
            format!("model-{n:05}-of-{count:05}.safetensors"),
        );
        let number = 1_f32.to_le_bytes();
        let view = TensorView::new(Dtype::F32, vec![1], &number).unwrap();
        let bytes = safetensors::serialize([(&tensor, view)], None).unwrap();
        fs::write(folder.path().join(&name), bytes).unwrap();
        map.push(format!(r#""{tensor}": "{name}""#));
    }
    let index = format!(
        r#"{{"metadata": {{"total_size": {}}}, "weight_map": {{{}}}}}"#,
        4 * count,
        map.join(", ")
    );
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    signed(1, folder.path())
}

/// With two small files beside the weights that are there.
fn signed(seed: u8, folder: &Path) -> Verified<Policy> {
    fs::write(folder.join("config.json"), r#"{"type": "mlp"}"#).unwrap();
    fs::write(folder.join("README.md"), "# Walk\n").unwrap();
    let open = || Directory::new(OwnedFd::from(fs::File::open(folder).unwrap()));
    let rules = Rules::default();
    let files = Survey::new(&rules).run(&open()).unwrap().files;
    let revision = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let repo = Repo::model("acme/walk".parse().unwrap(), revision);
    let validity = (
        instant("2026-11-01T00:00:00Z"),
        instant("2027-11-01T00:00:00Z"),
    );
    let manifest = Manifest::new(repo, 1, validity, About::of_type("mlp"), files);
    let signed = SignedManifest::sign(&manifest, &key(seed), &rules.limits).unwrap();
    let manifest = authenticate(seed, &signed.to_bytes()).unwrap();
    manifest.open(&open(), Proof::Tensors, &rules).unwrap()
}

pub(crate) fn policy() -> Verified<Policy> {
    policy_of(1, &weights(1000))
}

/// Two tensors: `gain`, of `len` numbers, and `bias`, of seven.
pub(crate) fn weights(len: usize) -> Vec<u8> {
    let numbers = |len: usize| -> Vec<u8> {
        (0..len)
            .flat_map(|i| ((i % 1000) as f32).to_le_bytes())
            .collect()
    };
    let data = [("gain", numbers(len)), ("bias", numbers(7))];
    let views = data.iter().map(|(name, bytes)| {
        (
            *name,
            TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What a controller does that trusts `key(seed)`.
pub(crate) fn authenticate(
    seed: u8,
    envelope: &[u8],
) -> tensorgate_verify::Result<Verified<Manifest>> {
    let pem = key(seed).public_pem().unwrap();
    let text = format!("threshold = 1\n[[keys]]\nname = 'acme'\npublic_key = '''{pem}'''\n");
    let trust = TrustPolicy::parse(&text, |_| panic!("the key is inline")).unwrap();
    let signed = SignedManifest::parse(envelope, trust.limits())?;
    let manifest = trust.authenticate(&signed, &Context::new(instant("2026-11-23T12:00:00Z")))?;
    manifest.require_policy()?;
    Ok(manifest)
}

/// Authenticates and proves what was handed over.
pub(crate) fn prove(handed: Handed) -> tensorgate_verify::Result<Verified<Policy>> {
    let manifest = authenticate(1, handed.envelope())?;
    let holds = handed.into_holds(&manifest)?;
    manifest.open_holds(holds, Proof::Tensors, &Rules::default())
}

/// A gate's socket, and what became of those who came.
pub(crate) struct Gate {
    pub(crate) server: Server,
    pub(crate) events: Arc<Mutex<Vec<String>>>,
    home: TempDir,
}

impl Gate {
    pub(crate) fn of(policy: &Verified<Policy>, peers: Peers) -> Self {
        let gate = Self::empty(peers);
        let offer = Offer::seal(policy, SESSION, EPOCH).unwrap();
        gate.server.offer(offer);
        gate
    }

    pub(crate) fn empty(peers: Peers) -> Self {
        let home = home();
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        let note = move |event: &Event<'_>| log.lock().unwrap().push(event.to_string());
        let server = Server::start(&home.path().join("gate"), peers, note).unwrap();
        Self {
            server,
            events,
            home,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().join("gate")
    }

    pub(crate) fn receive(&self) -> Result<Handed, HandoffError> {
        receive_at(&self.path())
    }

    /// The last thing that was told, once `count` things were.
    pub(crate) fn event(&self, count: usize) -> String {
        for _ in 0..400 {
            let events = self.events.lock().unwrap();
            if events.len() >= count {
                return events.last().unwrap().clone();
            }
            drop(events);
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("waited for {count} events: {:?}", self.events.lock());
    }
}

pub(crate) fn receive_at(path: &Path) -> Result<Handed, HandoffError> {
    receive(path, &Peers::default(), &Limits::default(), PATIENCE)
}

/// A directory that everybody may enter, and only its owner write to.
pub(crate) fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(home.path(), mode).unwrap();
    home
}

/// On a disk where files are guarded (ext4, xfs and btrfs, by their numbers in statfs(2)), if the
/// checkout or the temporary files lie on one.
pub(crate) fn guarding_folder() -> Option<TempDir> {
    const NUMBERS: [u64; 3] = [0xef53, 0x5846_5342, 0x9123_683e];
    let guards = |disk: &&PathBuf| {
        rustix::fs::statfs(disk.as_path()).is_ok_and(|stat| NUMBERS.contains(&(stat.f_type as u64)))
    };
    let disks = [
        env!("CARGO_TARGET_TMPDIR").into(),
        std::env::temp_dir(),
        "/var/tmp".into(),
    ];
    let mut disks = disks.iter().filter(guards);
    let folder = disks.find_map(|disk| tempfile::tempdir_in(disk).ok());
    if folder.is_none() {
        eprintln!("NOT TRIED: neither the checkout nor TMPDIR is on ext4, xfs or btrfs");
    }
    folder
}

/// A memfd of `bytes`, with these seals.
pub(crate) fn memfd(bytes: &[u8], seals: SealFlags) -> OwnedFd {
    memfd_with(MemfdFlags::empty(), bytes, seals)
}

pub(crate) fn memfd_with(flags: MemfdFlags, bytes: &[u8], seals: SealFlags) -> OwnedFd {
    let flags = flags | MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = fs::File::from(memfd_create("test", flags).unwrap());
    file.write_all(bytes).unwrap();
    fcntl_add_seals(file.as_fd(), seals).unwrap();
    file.into()
}

/// Descriptors that this process has open.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}
