//! A signed policy to keep.
#![allow(dead_code, reason = "each test file uses its part of this")]

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use tensorgate_verify::*;

pub(crate) const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// Writes a policy's files into `folder` and proves them.
pub(crate) fn policy(folder: &Path, repo: &str, sequence: u64) -> Verified<Policy> {
    fs::create_dir_all(folder.join("tokenizer")).unwrap();
    fs::write(folder.join("config.json"), br#"{"type": "mlp"}"#).unwrap();
    fs::write(
        folder.join("tokenizer/vocab.json"),
        format!("{{\"step\": {sequence}}}"),
    )
    .unwrap();
    fs::write(folder.join("model.safetensors"), tensors(sequence)).unwrap();
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
    let pem = key.public_pem().unwrap();
    let text = format!("threshold = 1\n[[keys]]\nname = 'acme'\npublic_key = '''{pem}'''");
    let trust = TrustPolicy::parse(&text, |_| unreachable!()).unwrap();
    let context = Context::new("2026-11-23T12:00:00Z".parse().unwrap());
    let manifest = trust.authenticate(&signed, &context).unwrap();
    manifest
        .open(&directory, Proof::Whole, &Rules::default())
        .unwrap()
}

/// One tensor of 1 MiB, of which one byte tells the release.
fn tensors(sequence: u64) -> Vec<u8> {
    let mut data = vec![0_u8; 1 << 20];
    data[0] = u8::try_from(sequence).unwrap();
    let shape = vec![data.len()];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::U8, shape, &data).unwrap();
    safetensors::serialize([("gain", view)], None).unwrap()
}

pub(crate) fn repo(id: &str) -> RepoId {
    id.parse().unwrap()
}
