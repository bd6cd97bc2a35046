//! A signature that counts.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use tensorgate_verify::*;

/// What somebody trusted signed for these files.
pub(crate) fn manifest(folder: &Path, id: &str, commit: &str) -> Verified<Manifest> {
    let limits = Limits::default();
    let directory = Directory::new(OwnedFd::from(fs::File::open(folder).unwrap()));
    let key = SigningKey::from_seed(&[7; 32]);
    let repo = Repo::model(id.parse().unwrap(), commit.parse().unwrap());
    let validity = (
        "2026-11-01T00:00:00Z".parse().unwrap(),
        "2027-11-01T00:00:00Z".parse().unwrap(),
    );
    let files = Survey::new(&Rules::default())
        .run(&directory)
        .unwrap()
        .files;
    let manifest = Manifest::new(repo, 1, validity, About::of_type("mlp"), files);
    let signed = SignedManifest::sign(&manifest, &key, &limits).unwrap();
    let pem = key.public_pem().unwrap();
    let text = format!("threshold = 1\n[[keys]]\nname = 'acme'\npublic_key = '''{pem}'''");
    let trust = TrustPolicy::parse(&text, |_| unreachable!()).unwrap();
    let context = Context::new("2026-11-23T12:00:00Z".parse().unwrap());
    trust.authenticate(&signed, &context).unwrap()
}
