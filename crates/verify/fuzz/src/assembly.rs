//! A policy that arrives in pieces, some of them the input's.

use std::sync::LazyLock;

use tensorgate_verify::*;

use crate::content::{good_policy, survey};

const SIZE: FragmentSize = FragmentSize::DEFAULT;

/// What a robot's subscriber is sent by an honest gate.
struct Sent {
    trust: TrustPolicy,
    signed: SignedManifest,
    small: Vec<(FilePath, Vec<u8>)>,
    digests: Vec<Blake3>,
    fragments: Vec<Vec<u8>>,
    files: Vec<Vec<u8>>,
}

static SENT: LazyLock<Sent> = LazyLock::new(|| {
    let (folder, key) = (good_policy(), SigningKey::from_seed(&[1; 32]));
    let revision = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let repo = Repo::model("acme/walk".parse().unwrap(), revision);
    let span = (
        "2026-11-01T00:00:00Z".parse().unwrap(),
        "2027-11-01T00:00:00Z".parse().unwrap(),
    );
    let manifest = Manifest::new(
        repo,
        1,
        span,
        About::of_type("act"),
        survey(&folder).unwrap().files,
    );
    let signed = SignedManifest::sign(&manifest, &key, &Limits::default()).unwrap();
    let pem = key.public_pem().unwrap();
    let text = format!("threshold = 1\n[[keys]]\nname = 'a'\npublic_key = '''{pem}'''");
    let trust = TrustPolicy::parse(&text, |_| unreachable!()).unwrap();
    let directory = Directory::new(std::fs::File::open(folder.path()).unwrap().into());
    let policy = authenticate(&trust, &signed)
        .open(&directory, Proof::Whole, trust.rules())
        .unwrap();
    let cut = Cut::new(policy.manifest(), SIZE);
    let small = |file: &File| match file.header() {
        Some(header) => file.bytes()[..header.len as usize].to_vec(),
        None => file.bytes().to_vec(),
    };
    Sent {
        small: policy
            .files()
            .iter()
            .map(|file| (file.path().clone(), small(file)))
            .collect(),
        digests: cut.digests(&policy),
        fragments: cut
            .spans()
            .iter()
            .map(|span| cut.bytes(&policy, span).unwrap().to_vec())
            .collect(),
        files: policy
            .files()
            .iter()
            .map(|file| file.bytes().to_vec())
            .collect(),
        trust,
        signed,
    }
});

fn authenticate(trust: &TrustPolicy, signed: &SignedManifest) -> Verified<Manifest> {
    let context = Context::new("2026-11-23T12:00:00Z".parse().unwrap());
    trust.authenticate(signed, &context).unwrap()
}

/// Sends the policy with pieces of the input in the place of genuine ones: between FF; the first
/// byte says which small file or, from 64 on, which fragment. A policy that comes out is genuine.
pub fn assemble_with(input: &[u8]) {
    let sent = &*SENT;
    let (mut small, mut fragments) = (sent.small.clone(), sent.fragments.clone());
    for piece in input.split(|byte| *byte == 0xff) {
        let Some((which, bytes)) = piece.split_first() else {
            continue;
        };
        let which = usize::from(*which);
        if let Some((_, file)) = small.get_mut(which) {
            *file = bytes.to_vec();
        } else if let Some(fragment) = which.checked_sub(64).and_then(|at| fragments.get_mut(at)) {
            *fragment = bytes.to_vec();
        }
    }
    let manifest = authenticate(&sent.trust, &sent.signed);
    let rules = sent.trust.rules();
    let Ok(mut assembly) = Assembly::begin(manifest, small, SIZE, sent.digests.clone(), rules)
    else {
        return;
    };
    for (index, bytes) in fragments.iter().enumerate() {
        let _ = assembly.accept(index, bytes);
    }
    if let Ok(policy) = assembly.finish() {
        let arrived = policy.files().iter().map(File::bytes);
        assert!(arrived.eq(sent.files.iter().map(Vec::as_slice)));
    }
}
