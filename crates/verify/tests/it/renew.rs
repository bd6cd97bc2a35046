//! What was proven once is judged again: by the trust policy, the lists and the clock of then.

use std::io;

use crate::support::*;
use crate::trust_rules::{at, codes, with};
use tensorgate_verify::*;

/// Proven by `trust`, in November 2026.
fn proven(trust: &TrustPolicy) -> Verified<Manifest> {
    trust
        .authenticate(&Fixture::new().signed(), &context())
        .unwrap()
}

#[test]
fn what_still_counts_is_the_same_manifest_with_the_evidence_of_now() {
    let (trust, changed) = (with(1, 1, "", ""), with(2, 1, "", ""));
    let later = at("2026-12-01T00:00:00Z");
    let first = proven(&trust);
    let text = format!("{:?}", *first);
    let again = changed.renew(first, &later).unwrap();
    assert_eq!(format!("{:?}", *again), text);
    let signed = Fixture::new().signed();
    let anew = changed.authenticate(&signed, &later).unwrap();
    assert_eq!(again.evidence(), anew.evidence());
    assert_eq!(again.evidence().trust_policy, changed.digest());
    assert_eq!(again.evidence().now, later.now);
}

#[test]
fn what_counts_no_more_is_refused_as_if_it_had_come_now() {
    let trust = with(1, 1, "", "");
    let proven = || proven(&trust);
    let late = at("2027-11-01T00:00:00Z");
    assert_eq!(codes(trust.renew(proven(), &late)), ["manifest-expired"]);
    let revoked = |what: String| {
        let entry = format!("[[revoked]]\n{what}\nreason = 'recalled'");
        codes(with(1, 1, "", &entry).renew(proven(), &context()))
    };
    let (key, manifest) = (key(1).public().id(), proven().evidence().manifest);
    assert_eq!(revoked(format!("key = '{key}'"))[0], "key-revoked");
    let by_name = revoked(format!("manifest = '{manifest}'"));
    assert_eq!(by_name, ["manifest-revoked"]);
    let commit = revoked(format!("revision = '{REVISION}'"));
    assert_eq!(commit, ["revision-revoked"]);
    let bytes = proven().files[0].blake3;
    let bytes = revoked(format!("blake3 = '{bytes}'"));
    assert_eq!(bytes, ["digest-revoked"]);
}

#[test]
fn a_changed_trust_policy_counts_at_once() {
    let trust = with(1, 1, "", "");
    let by = |changed: TrustPolicy| codes(changed.renew(proven(&trust), &context()));
    assert_eq!(by(with(2, 2, "", "")), ["threshold-not-met"]);
    let strangers = TrustPolicy::parse(&trust_text(1, &[3]), |_| panic!("inline"));
    assert_eq!(by(strangers.unwrap()), ["signature-invalid"]);
    let elsewhere = with(1, 1, "repos = ['acme/grasp']", "");
    let found = by(elsewhere);
    assert_eq!(found, ["key-out-of-scope", "threshold-not-met"]);
    let over = with(1, 1, "not_after = '2026-11-02T00:00:00Z'", "");
    assert_eq!(by(over), ["key-expired", "threshold-not-met"]);
}

#[test]
fn limits_of_now_count_for_what_was_parsed_before() {
    let trust = with(1, 1, "", "");
    for (limit, code) in [
        ("files = 1", "manifest-malformed"),
        ("manifest_bytes = 100", "manifest-too-large"),
        ("tensors = 1", "tensor-too-many"),
    ] {
        let tight = with(1, 1, "", &format!("[limits]\n{limit}"));
        assert_eq!(codes(tight.renew(proven(&trust), &context())), [code]);
        let bytes = Fixture::new().signed().to_bytes();
        let anew = SignedManifest::parse(&bytes, tight.limits());
        let anew = anew.and_then(|signed| tight.authenticate(&signed, &context()));
        assert_eq!(codes(anew), [code], "as if it had come now");
    }
}

/// A memory that knows of one revocation.
#[derive(Debug)]
struct Revoking(Sha256);

impl History for Revoking {
    fn last_accepted(&self, _: RepoType, _: &RepoId) -> io::Result<Option<Accepted>> {
        Ok(None)
    }

    fn is_revoked(&self, manifest: &Sha256) -> io::Result<bool> {
        Ok(*manifest == self.0)
    }
}

#[test]
fn what_was_revoked_on_this_machine_or_by_a_list_since_counts_no_more() {
    let trust = with(1, 1, "", "");
    let first = proven(&trust);
    let name = first.evidence().manifest;
    let memory = Revoking(name);
    let mut here = context();
    here.history = Some(&memory);
    assert_eq!(codes(trust.renew(first, &here)), ["manifest-revoked"]);

    let entry = Revocation::new(Revoked::Manifest(name), "recalled");
    let list = Revocations::new(1, validity(), vec![entry]);
    let list = SignedRevocations::sign(&list, &key(1), &Limits::default()).unwrap();
    let list = trust.authenticate_revocations(&list, &context()).unwrap();
    let mut by_list = context();
    by_list.revocations = Some(&list);
    let found = codes(trust.renew(proven(&trust), &by_list));
    assert_eq!(found, ["manifest-revoked"]);
}
