//! A signed policy to keep.
#![allow(dead_code, reason = "each test file uses its part of this")]

pub(crate) mod sweep;

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use tensorgate_store::{Quarantine, Store};
use tensorgate_verify::*;

pub(crate) const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// Writes a policy's files into `folder` and proves them.
pub(crate) fn policy(folder: &Path, repo: &str, sequence: u64) -> Verified<Policy> {
    policy_of(folder, repo, sequence, 1 << 20)
}

/// The same with a tensor of so many bytes, of which one tells the release.
pub(crate) fn policy_of(
    folder: &Path,
    repo: &str,
    sequence: u64,
    bytes: usize,
) -> Verified<Policy> {
    fs::create_dir_all(folder.join("tokenizer")).unwrap();
    fs::write(folder.join("config.json"), br#"{"type": "mlp"}"#).unwrap();
    fs::write(
        folder.join("tokenizer/vocab.json"),
        format!("{{\"step\": {sequence}}}"),
    )
    .unwrap();
    fs::write(folder.join("model.safetensors"), tensors(sequence, bytes)).unwrap();
    let limits = Limits::default();
    let directory = Directory::new(OwnedFd::from(fs::File::open(folder).unwrap()));
    let key = SigningKey::from_seed(&[7; 32]);
    let repo = Repo::model(repo.parse().unwrap(), REVISION.parse().unwrap());
    let validity = (
        "2026-11-01T00:00:00Z".parse().unwrap(),
        "2027-11-01T00:00:00Z".parse().unwrap(),
    );
    let files = Survey::new(&Rules::default())
        .run(&directory)
        .unwrap()
        .files;
    let manifest = Manifest::new(repo, sequence, validity, About::of_type("mlp"), files);
    let signed = SignedManifest::sign(&manifest, &key, &limits).unwrap();
    let trust = trust(&key);
    let context = Context::new("2026-11-23T12:00:00Z".parse().unwrap());
    let manifest = trust.authenticate(&signed, &context).unwrap();
    manifest
        .open(&directory, Proof::Whole, &Rules::default())
        .unwrap()
}

fn tensors(sequence: u64, bytes: usize) -> Vec<u8> {
    let mut data = vec![0_u8; bytes];
    data[0] = u8::try_from(sequence).unwrap();
    let shape = vec![data.len()];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::U8, shape, &data).unwrap();
    safetensors::serialize([("gain", view)], None).unwrap()
}

/// A list that calls back nothing, in force.
pub(crate) fn revocations(sequence: u64) -> Verified<Revocations, RevocationEvidence> {
    let span = (
        "2026-11-01T00:00:00Z".parse().unwrap(),
        "2027-11-01T00:00:00Z".parse().unwrap(),
    );
    let key = SigningKey::from_seed(&[7; 32]);
    let list = Revocations::new(sequence, span, Vec::new());
    let signed = SignedRevocations::sign(&list, &key, &Limits::default()).unwrap();
    let context = Context::new("2026-11-23T12:00:00Z".parse().unwrap());
    let trust = trust(&key);
    trust.authenticate_revocations(&signed, &context).unwrap()
}

fn trust(key: &SigningKey) -> TrustPolicy {
    let pem = key.public_pem().unwrap();
    let text = format!("threshold = 1\n[[keys]]\nname = 'acme'\npublic_key = '''{pem}'''");
    TrustPolicy::parse(&text, |_| unreachable!()).unwrap()
}

/// Runs a test of this program again in a mount namespace of its own, once `script` has mounted what
/// it needs. Where neither root nor a user namespace is to be had, the test fails.
pub(crate) fn in_namespace(test: &str, script: &str, folder: &Path) {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let again = format!("set -e; cd \"$1\"; {script}; exec \"$0\" --exact {test} --nocapture");
    command.args(["sh", "-c", &again]);
    command.arg(std::env::current_exe().unwrap()).arg(folder);
    let status = command.env(INSIDE, folder).status().unwrap();
    assert!(
        status.success(),
        "`{script}` and what follows, in a mount namespace"
    );
}

/// A test of this program again as a user to whom a mode denies something: root without the
/// capabilities that let it read everything.
pub(crate) fn as_anybody(test: &str, folder: &Path) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("setpriv");
    let root = rustix::process::geteuid().is_root();
    command.args(root.then_some("--bounding-set=-dac_override,-dac_read_search"));
    command.arg(this).args(["--exact", test, "--nocapture"]);
    command.env(INSIDE, folder);
    command
}

/// A test of this program again, as a process of its own that finds `folder` as [`inside`].
pub(crate) fn another(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, folder);
    command
}

/// Where the test is that runs inside.
pub(crate) fn inside() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

const INSIDE: &str = "TENSORGATE_TEST_INSIDE";

pub(crate) fn repo(id: &str) -> RepoId {
    id.parse().unwrap()
}

/// A store to throw away.
pub(crate) fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
}

/// Its downloads of one commit.
pub(crate) fn quarantine(store: &Store) -> Quarantine {
    let revision = REVISION.parse().unwrap();
    store
        .quarantine(RepoType::Model, &repo("acme/walk"), &revision)
        .unwrap()
}

pub(crate) fn path(text: &str) -> FilePath {
    text.parse().unwrap()
}
