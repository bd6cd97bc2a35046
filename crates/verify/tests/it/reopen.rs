//! A policy that is held is opened again without hashing, under proof that it counts now.

use std::fs;

use crate::support::*;
use crate::trust_rules::{at, with};
use tensorgate_verify::*;

const WEIGHTS: &str = "model.safetensors";

fn again(fixture: &Fixture, held: &Verified<Policy>) -> Option<Verified<Policy>> {
    let manifest = trust(1, &[1]).authenticate(&fixture.signed(), &context());
    manifest.unwrap().reopen(held, &Rules::default())
}

#[test]
fn a_held_policy_is_the_same_bytes_under_new_evidence() {
    let fixture = Fixture::new();
    let held = fixture.open().unwrap();
    let later = at("2026-12-01T00:00:00Z");
    let manifest = trust(1, &[1]).authenticate(&fixture.signed(), &later);
    let manifest = manifest.unwrap();
    // Nothing is read: there is nothing any more.
    fs::remove_file(fixture.path(WEIGHTS)).unwrap();
    let policy = manifest.reopen(&held, &Rules::default()).unwrap();
    assert_eq!(policy.evidence(), manifest.evidence());
    assert_ne!(policy.evidence().now, held.evidence().now);
    for (policy, held) in policy.files().iter().zip(held.files()) {
        assert_eq!(policy.bytes().as_ptr(), held.bytes().as_ptr());
    }
    let place = held.file(WEIGHTS).unwrap().bytes().as_ptr();
    drop(held);
    assert_eq!(policy.file(WEIGHTS).unwrap().bytes().as_ptr(), place);
    assert_eq!(policy.tensor("actor.weight").unwrap().shape(), [6]);
    assert!(again(&fixture, &policy).is_some(), "and again");
}

#[test]
fn what_it_does_not_speak_of_is_not_opened() {
    let fixture = Fixture::new();
    let held = fixture.open().unwrap();
    let rules = Rules::default();

    let mut newer = fixture.manifest.clone();
    newer.sequence += 1;
    let newer = trust(1, &[1]).authenticate(&sign(&newer, &[1]), &context());
    assert!(newer.unwrap().reopen(&held, &rules).is_none(), "same files");

    let text = format!("{}# other words\n", trust_text(1, &[1]));
    let other = TrustPolicy::parse(&text, |_| panic!("inline")).unwrap();
    let manifest = other.authenticate(&fixture.signed(), &context()).unwrap();
    assert!(manifest.reopen(&held, &rules).is_none(), "trust policy");

    let manifest = trust(1, &[1]).authenticate(&fixture.signed(), &context());
    let manifest = manifest.unwrap();
    let mut stricter = rules.clone();
    stricter.content.constant_statistics = Severity::Deny;
    assert!(manifest.reopen(&held, &stricter).is_none(), "rules");
    let mut narrower = rules;
    narrower.limits.rank -= 1;
    assert!(manifest.reopen(&held, &narrower).is_none(), "limits");
    assert!(again(&fixture, &held).is_some());
}

#[test]
fn an_added_signature_is_the_same_manifest() {
    let fixture = Fixture::new();
    let held = fixture.open().unwrap();
    let both = sign(&fixture.manifest, &[1, 2]);
    let manifest = trust(1, &[1]).authenticate(&both, &context()).unwrap();
    let policy = manifest.reopen(&held, &Rules::default()).unwrap();
    assert_eq!(policy.evidence().ignored_signatures, 1);
    assert_eq!(policy.evidence().envelope(), both.to_bytes());
}

#[test]
fn there_is_nothing_to_open_with_once_it_expired_or_was_called_back() {
    // `reopen` wants an authenticated manifest, and there is none.
    let fixture = Fixture::new();
    let (trust, signed) = (trust(1, &[1]), fixture.signed());
    let expired = trust.authenticate(&signed, &at("2027-11-01T00:00:00Z"));
    assert_eq!(refusal(expired), Rejection::ManifestExpired);

    let weights = WEIGHTS.parse().unwrap();
    let blake3 = fixture.manifest.file(&weights).unwrap().blake3;
    for (what, code) in [
        (
            Revoked::Manifest(signed.digest()),
            Rejection::ManifestRevoked,
        ),
        (Revoked::Blake3(blake3), Rejection::DigestRevoked),
    ] {
        let list = Revocations::new(1, validity(), vec![Revocation::new(what, "recalled")]);
        let list = SignedRevocations::sign(&list, &key(1), &Limits::default()).unwrap();
        let list = trust.authenticate_revocations(&list, &context()).unwrap();
        let mut context = context();
        context.revocations = Some(&list);
        assert_eq!(refusal(trust.authenticate(&signed, &context)), code);
    }
}

#[test]
fn what_is_let_pass_is_said_of_now_and_of_the_content() {
    let mut fixture = Fixture::new();
    let weights = weights_of("gain", &[f32::NAN]);
    fs::write(fixture.path(WEIGHTS), weights).unwrap();
    let text = "[freshness]\nexpires = 'warn'\n[content]\nnon_finite = 'warn'\n";
    let trust = with(1, 1, "", text);
    let directory = directory(fixture.folder.path());
    fixture.manifest.files = Survey::new(trust.rules()).run(&directory).unwrap().files;
    let signed = fixture.signed();
    let codes = |policy: &Verified<Policy>| -> Vec<&str> {
        let notices = policy.notices().iter();
        notices.map(|notice| notice.rejection.code()).collect()
    };

    let early = trust.authenticate(&signed, &context()).unwrap();
    let held = early
        .open(&directory, Proof::Tensors, trust.rules())
        .unwrap();
    assert_eq!(codes(&held), ["weights-non-finite"]);
    let late = at("2027-11-01T00:00:00Z");
    let reopen = |held, context| {
        let manifest = trust.authenticate(&signed, context).unwrap();
        manifest.reopen(held, trust.rules()).unwrap()
    };
    let late = reopen(&held, &late);
    assert_eq!(codes(&late), ["manifest-expired", "weights-non-finite"]);
    let early = reopen(&late, &context());
    assert_eq!(codes(&early), ["weights-non-finite"]);
}
