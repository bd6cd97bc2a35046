//! What was called back counts no more, by whichever list says so.

use crate::support::*;
use crate::trust_rules::{at, codes, with};
use tensorgate_verify::*;

#[test]
fn a_proof_ends_with_the_list_that_it_was_held_against() {
    let trust = with(1, 1, "", "");
    let span = ("2026-11-01T00:00:00Z", "2026-12-24T00:00:00Z");
    let span = (span.0.parse().unwrap(), span.1.parse().unwrap());
    let list = Revocations::new(1, span, vec![]);
    let list = SignedRevocations::sign(&list, &key(1), &Limits::default()).unwrap();
    let list = trust.authenticate_revocations(&list, &context()).unwrap();
    let mut context = context();
    context.revocations = Some(&list);
    let signed = Fixture::new().signed();
    let verified = trust.authenticate(&signed, &context).unwrap();
    assert_eq!(verified.evidence().until, span.1);
}

/// A list of revocations of these, signed by keys 1 and 2.
fn list(sequence: u64, revoked: Vec<Revoked>) -> SignedRevocations {
    let entry = |what| Revocation::new(what, "recalled");
    let revoked = revoked.into_iter().map(entry).collect();
    let list = Revocations::new(sequence, validity(), revoked);
    let mut signed = SignedRevocations::sign(&list, &key(1), &Limits::default()).unwrap();
    signed.add_signature(&key(2), &Limits::default()).unwrap();
    signed
}

#[test]
fn whatever_was_called_back_counts_no_more() {
    let fixture = Fixture::new();
    let (signed, manifest) = (fixture.signed(), &fixture.manifest);
    let weights = manifest
        .file(&"model.safetensors".parse().unwrap())
        .unwrap();
    let tensor = &weights.tensors.as_ref().unwrap()[0];
    let cases = [
        (Revoked::Key(key(1).public().id()), "key-revoked"),
        (Revoked::Manifest(signed.digest()), "manifest-revoked"),
        (
            Revoked::Revision(REVISION.parse().unwrap()),
            "revision-revoked",
        ),
        (Revoked::Blake3(weights.blake3), "digest-revoked"),
        (
            Revoked::Blake3(weights.header_blake3.unwrap()),
            "digest-revoked",
        ),
        (Revoked::Blake3(tensor.blake3), "digest-revoked"),
    ];
    // By a list that was signed with another key than the revoked one …
    let trust = with(2, 1, "", "");
    for (what, code) in &cases {
        let signed_list = list(1, vec![what.clone()]);
        let revocations = trust.authenticate_revocations(&signed_list, &context());
        let revocations = revocations.unwrap();
        let mut context = context();
        context.revocations = Some(&revocations);
        let found = codes(trust.authenticate(&signed, &context));
        assert_eq!(found[0], *code);
    }
    // … and by the operator, in the trust policy itself.
    for (what, code) in &cases {
        let named = match what {
            Revoked::Key(id) => format!("key = '{id}'"),
            Revoked::Manifest(digest) => format!("manifest = '{digest}'"),
            Revoked::Blake3(digest) => format!("blake3 = '{digest}'"),
            Revoked::Revision(commit) => format!("revision = '{commit}'"),
            other => panic!("{other}"),
        };
        let entry = format!("[[revoked]]\n{named}\nreason = 'recalled'");
        let error = with(2, 1, "", &entry).authenticate(&signed, &context());
        let error = error.unwrap_err();
        assert_eq!(error.rejection().unwrap().code(), *code);
        let said = error.to_string();
        assert!(said.contains("revoked: recalled"), "{said}");
    }
}

#[test]
fn a_list_of_revocations_is_proven_like_a_manifest() {
    let trust = with(2, 2, "", "");
    let good = list(1, vec![]);
    assert!(trust.authenticate_revocations(&good, &context()).is_ok());
    let late = trust.authenticate_revocations(&good, &at("2027-11-01T00:00:00Z"));
    assert_eq!(codes(late), ["manifest-expired"]);
    let early = trust.authenticate_revocations(&good, &at("2026-10-01T00:00:00Z"));
    assert_eq!(codes(early), ["manifest-not-yet-valid"]);
    let strangers = TrustPolicy::parse(&trust_text(1, &[3]), |_| panic!("inline")).unwrap();
    let found = strangers.authenticate_revocations(&good, &context());
    assert_eq!(codes(found), ["signature-invalid"]);
    // A key for some repositories cannot take another's releases away.
    let scoped = with(2, 2, "repos = ['acme/*']", "");
    let found = scoped.authenticate_revocations(&good, &context());
    assert_eq!(codes(found), ["key-out-of-scope", "threshold-not-met"]);
}

#[test]
fn what_is_let_pass_about_a_list_is_said_with_the_manifest() {
    let trust = with(2, 1, "", "[freshness]\nexpires = 'warn'");
    let list = list(1, vec![]);
    let mut context = at("2027-11-01T00:00:00Z");
    let list = trust.authenticate_revocations(&list, &context).unwrap();
    context.revocations = Some(&list);
    let verified = trust
        .authenticate(&Fixture::new().signed(), &context)
        .unwrap();
    let told: Vec<&str> = verified
        .evidence()
        .notices
        .iter()
        .map(|notice| &*notice.subject)
        .collect();
    assert_eq!(told, ["expires", "revocations.expires"]);
}

#[test]
fn a_list_has_as_many_entries_as_the_limit_says() {
    let both = [1, 2].map(|n| Revoked::Manifest(Sha256::of(&[n])));
    let trust = with(2, 1, "", "[limits]\nrevocations = 1");
    let judge = |revoked| trust.authenticate_revocations(&list(1, revoked), &context());
    assert!(judge(both[..1].to_vec()).is_ok());
    assert_eq!(codes(judge(both.to_vec())), ["manifest-malformed"]);
}

#[test]
fn one_meaning_is_not_taken_for_another() {
    let trust = with(1, 1, "", "");
    let manifest = Fixture::new().signed().to_bytes();
    let as_list = SignedRevocations::parse(&manifest, &Limits::default()).unwrap();
    let found = trust.authenticate_revocations(&as_list, &context());
    assert_eq!(codes(found), ["predicate-type-unsupported"]);
    let list = list(1, vec![]).to_bytes();
    let as_manifest = SignedManifest::parse(&list, &Limits::default()).unwrap();
    let found = trust.authenticate(&as_manifest, &context());
    assert_eq!(codes(found), ["predicate-type-unsupported"]);
}
