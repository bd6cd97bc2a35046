//! Whose signature counts, and what it counts for.

use crate::support::*;
use tensorgate_verify::*;

fn authenticate(trust: &TrustPolicy, signed: &SignedManifest) -> Result<Verified<Manifest>> {
    // Through bytes, as every envelope comes.
    trust.authenticate(
        &SignedManifest::parse(&signed.to_bytes(), trust.limits())?,
        &context(),
    )
}

#[test]
fn a_trusted_signature_is_evidence() {
    let fixture = Fixture::new();
    let verified = authenticate(&trust(1, &[1]), &fixture.signed()).unwrap();
    let evidence = verified.evidence();
    assert_eq!(evidence.signers.len(), 1);
    assert_eq!(evidence.signers[0].name, "key 1");
    assert_eq!(evidence.signers[0].key, key(1).public().id());
    assert_eq!(evidence.manifest, fixture.signed().digest());
    assert_eq!((evidence.sequence, evidence.ignored_signatures), (5, 0));
    assert_eq!(evidence.envelope(), fixture.signed().to_bytes());
}

#[test]
fn a_stranger_signs_in_vain() {
    let signed = sign(&Fixture::new().manifest, &[2]);
    assert_eq!(
        refusal(authenticate(&trust(1, &[1]), &signed)),
        Rejection::SignatureInvalid
    );
}

#[test]
fn distinct_keys_count_and_each_once() {
    let manifest = Fixture::new().manifest;
    let two_of_three = trust(2, &[1, 2, 3]);
    assert!(authenticate(&two_of_three, &sign(&manifest, &[1, 3])).is_ok());
    assert_eq!(
        refusal(authenticate(&two_of_three, &sign(&manifest, &[1]))),
        Rejection::ThresholdNotMet
    );
    // The same key again, under another hint, is still one key.
    let envelope = String::from_utf8(sign(&manifest, &[1]).to_bytes()).unwrap();
    let once = envelope.find("\"signatures\": [").unwrap() + "\"signatures\": [".len();
    let end = envelope.rfind(']').unwrap();
    let entry = envelope[once..end].trim();
    let other_hint = entry.replace(
        &key(1).public().id().to_string(),
        &key(2).public().id().to_string(),
    );
    let twice = format!("{}{entry},{other_hint},{entry}]}}", &envelope[..once]);
    let signed = SignedManifest::parse(twice.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(
        refusal(authenticate(&two_of_three, &signed)),
        Rejection::ThresholdNotMet
    );
}

#[test]
fn wrong_signatures_beside_good_ones_are_ignored_and_told() {
    let signed = sign(&Fixture::new().manifest, &[9, 1, 8]);
    let verified = authenticate(&trust(1, &[1, 2]), &signed).unwrap();
    assert_eq!(verified.evidence().ignored_signatures, 2);
}

#[test]
fn signing_again_replaces_the_older_signature() {
    let mut signed = sign(&Fixture::new().manifest, &[1]);
    signed.add_signature(&key(1), &Limits::default()).unwrap();
    assert_eq!(
        authenticate(&trust(1, &[1]), &signed)
            .unwrap()
            .evidence()
            .ignored_signatures,
        0
    );
}

#[test]
fn every_changed_byte_of_the_payload_is_noticed() {
    let fixture = Fixture::new();
    let envelope = String::from_utf8(fixture.signed().to_bytes()).unwrap();
    let at = envelope.find("\"payload\": \"").unwrap() + "\"payload\": \"".len();
    let end = at + envelope[at..].find('"').unwrap();
    for offset in at..end {
        let mut bytes = envelope.clone().into_bytes();
        bytes[offset] = if bytes[offset] == b'A' { b'B' } else { b'A' };
        // The last digit before padding has bits that must be zero.
        let Ok(signed) = SignedManifest::parse(&bytes, &Limits::default()) else {
            assert!(offset + 4 >= end);
            continue;
        };
        let refused = refusal(authenticate(&trust(1, &[1]), &signed));
        assert_eq!(refused, Rejection::SignatureInvalid, "digit {offset}");
    }
}

#[test]
fn time_and_sequence_decide_whether_it_still_counts() {
    let fixture = Fixture::new();
    let judge = |context: Context<'_>| trust(1, &[1]).authenticate(&fixture.signed(), &context);
    let at = |now: &str| judge(Context::new(now.parse().unwrap()));
    assert!(
        at("2026-10-31T23:55:00Z").is_ok(),
        "a clock five minutes slow"
    );
    assert_eq!(
        refusal(at("2026-10-31T23:54:59Z")),
        Rejection::ManifestNotYetValid
    );
    assert!(at("2027-10-31T23:59:59Z").is_ok());
    assert_eq!(
        refusal(at("2027-11-01T00:00:00Z")),
        Rejection::ManifestExpired
    );

    let after = |sequence, manifest| {
        let mut context = context();
        let history = Remembered(Ok(Some(Accepted::new(sequence, manifest))));
        context.history = Some(&history);
        judge(context)
    };
    let (digest, other) = (fixture.signed().digest(), Sha256::of(b"another manifest"));
    assert!(after(5, digest).is_ok());
    assert!(after(4, other).is_ok());
    assert_eq!(refusal(after(6, digest)), Rejection::ManifestRollback);
    assert_eq!(refusal(after(5, other)), Rejection::ManifestRollback);

    let expecting = |repo: &str, revision: &str| {
        let (repo, revision) = (repo.parse().unwrap(), revision.parse().unwrap());
        let mut context = context();
        (context.repo, context.revision) = (Some(&repo), Some(&revision));
        judge(context)
    };
    assert!(expecting("acme/walk", REVISION).is_ok());
    assert_eq!(
        refusal(expecting("acme/run", REVISION)),
        Rejection::RepoMismatch
    );
    assert_eq!(
        refusal(expecting("acme/walk", &"f".repeat(40))),
        Rejection::RevisionMismatch
    );
    let repo = "acme/walk".parse().unwrap();
    let mut dataset = context();
    (dataset.repo, dataset.repo_type) = (Some(&repo), RepoType::Dataset);
    assert_eq!(refusal(judge(dataset)), Rejection::RepoMismatch);
}

#[derive(Debug)]
struct Remembered(Result<Option<Accepted>, ()>);

impl History for Remembered {
    fn last_accepted(
        &self,
        repo_type: RepoType,
        repo: &RepoId,
    ) -> std::io::Result<Option<Accepted>> {
        assert_eq!((repo_type, repo.as_str()), (RepoType::Model, "acme/walk"));
        self.0.map_err(|()| std::io::Error::other("damaged"))
    }

    fn is_revoked(&self, _: &Sha256) -> std::io::Result<bool> {
        Ok(false)
    }
}

#[test]
fn a_lost_memory_is_no_verdict() {
    let mut context = context();
    context.history = Some(&Remembered(Err(())));
    let error = trust(1, &[1])
        .authenticate(&Fixture::new().signed(), &context)
        .unwrap_err();
    assert_eq!(error.rejection(), None);
    assert_eq!(
        error.to_string(),
        "could not check \"rollback state\": damaged"
    );
}

#[test]
fn the_past_is_not_asked_about_unsigned_claims() {
    #[derive(Debug)]
    struct NeverAsked;
    impl History for NeverAsked {
        fn last_accepted(&self, _: RepoType, _: &RepoId) -> std::io::Result<Option<Accepted>> {
            panic!("asked before a signature was found good")
        }
        fn is_revoked(&self, _: &Sha256) -> std::io::Result<bool> {
            panic!("asked before a signature was found good")
        }
    }
    let mut context = context();
    context.history = Some(&NeverAsked);
    let signed = sign(&Fixture::new().manifest, &[2]);
    assert_eq!(
        refusal(trust(1, &[1]).authenticate(&signed, &context)),
        Rejection::SignatureInvalid
    );
}

/// What an operator called back on this machine.
#[derive(Debug)]
struct RevokedHere(Result<Sha256, ()>);

impl History for RevokedHere {
    fn last_accepted(&self, _: RepoType, _: &RepoId) -> std::io::Result<Option<Accepted>> {
        Ok(None)
    }

    fn is_revoked(&self, manifest: &Sha256) -> std::io::Result<bool> {
        let revoked = self.0.map_err(|()| std::io::Error::other("damaged"))?;
        Ok(revoked == *manifest)
    }
}

#[test]
fn what_was_revoked_on_this_machine_is_refused_and_nothing_else_is() {
    let signed = Fixture::new().signed();
    let trust = trust(1, &[1]);
    let mut context = context();
    let here = RevokedHere(Ok(signed.digest()));
    context.history = Some(&here);
    let error = trust.authenticate(&signed, &context).unwrap_err();
    assert_eq!(error.rejection(), Some(Rejection::ManifestRevoked));
    assert!(error.to_string().contains("on this machine"), "{error}");
    // Other evidence is held against it, too.
    let other = trust.refuse_revoked(&[], signed.digest(), &[], &context);
    assert_eq!(refusal(other), Rejection::ManifestRevoked);
    let elsewhere = RevokedHere(Ok(Sha256::of(b"another")));
    context.history = Some(&elsewhere);
    trust.authenticate(&signed, &context).unwrap();
}

#[test]
fn what_was_revoked_on_this_machine_is_asked_before_the_payload_is_believed() {
    let mut manifest = Fixture::new().manifest;
    manifest.repo.id = "other/place".parse().unwrap();
    let signed = sign(&manifest, &[1]);
    let mut context = context();
    let here = RevokedHere(Ok(signed.digest()));
    let repo = "acme/walk".parse().unwrap();
    context.history = Some(&here);
    context.repo = Some(&repo);
    // The first that is said of it, though it is not the one asked for either.
    assert_eq!(
        refusal(trust(1, &[1]).authenticate(&signed, &context)),
        Rejection::ManifestRevoked
    );
}

#[test]
fn revocations_that_cannot_be_read_are_no_verdict() {
    let mut context = context();
    context.history = Some(&RevokedHere(Err(())));
    let error = trust(1, &[1])
        .authenticate(&Fixture::new().signed(), &context)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not check \"local revocations\": damaged"
    );
    assert_eq!(error.rejection(), None);
}

#[test]
fn what_a_verifier_would_refuse_is_not_signed() {
    let refused = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = Fixture::new().manifest;
        change(&mut manifest);
        refusal(SignedManifest::sign(&manifest, &key(1), &Limits::default()))
    };
    assert_eq!(
        refused(&|m| m.expires = m.issued),
        Rejection::ManifestMalformed
    );
    assert_eq!(
        refused(&|m| m.files.reverse()),
        Rejection::ManifestMalformed
    );
    assert_eq!(
        refused(&|m| m.files.push(m.files[0].clone())),
        Rejection::FileNameCollision
    );
    assert_eq!(
        refused(&|m| m.files[0].path = "Model.Safetensors".parse().unwrap()),
        Rejection::FileNameCollision
    );
    assert_eq!(
        refused(&|m| m.files[0].kind = Kind::Tokenizer),
        Rejection::FileKindMismatch
    );
    assert_eq!(
        refused(&|m| m.files[0].size = 1 << 40),
        Rejection::JsonTooLarge
    );
    assert_eq!(
        refused(&|m| m.files[1].header_blake3 = None),
        Rejection::ManifestMalformed
    );
    assert_eq!(
        refused(&|m| m.files[1].size += 1),
        Rejection::TensorMisaligned
    );
    let tensor = |m: &mut Manifest| m.files[1].tensors.as_mut().unwrap().remove(0);
    assert_eq!(
        refused(&|m| drop(tensor(m))),
        Rejection::TensorOffsetsInvalid
    );
}

#[test]
fn statements_of_other_types_are_not_manifests() {
    let manifest = Fixture::new().manifest;
    let payload = String::from_utf8(manifest.to_payload(&Limits::default()).unwrap()).unwrap();
    let cases = [
        (
            payload.replacen("T00:00:00Z", "T00:00:00+00:00", 1),
            Rejection::ManifestMalformed,
        ),
        (
            payload.replacen("\"kind\":\"config\"", "\"kind\":{\"config\":null}", 1),
            Rejection::ManifestMalformed,
        ),
        (
            payload.replacen("\"dtype\":\"F32\"", "\"dtype\":{\"F32\":null}", 1),
            Rejection::ManifestMalformed,
        ),
        (
            payload.replacen("\"type\":\"mlp\"", "\"type\":\"\\u001b[2J\"", 1),
            Rejection::ManifestMalformed,
        ),
        (
            payload.replacen(
                "urn:tensorgate:policy:v1",
                "https://model_signing/signature/v1.0",
                1,
            ),
            Rejection::PredicateTypeUnsupported,
        ),
        (
            payload.replacen("in-toto.io/Statement/v1", "in-toto.io/Statement/v0.1", 1),
            Rejection::PredicateTypeUnsupported,
        ),
        (
            payload.replacen("\"sequence\"", "\"note\":1,\"sequence\"", 1),
            Rejection::ManifestUnknownField,
        ),
        (
            payload.replacen("\"sequence\"", "\"sequence\":9,\"sequence\"", 1),
            Rejection::JsonDuplicateKey,
        ),
        (
            payload.replacen("\"config.json\"", "\"../onfig.json\"", 2),
            Rejection::ManifestMalformed,
        ),
        (
            payload.replacen("\"config.json\"", "\"donfig.json\"", 1),
            Rejection::ManifestMalformed,
        ),
        (
            payload.replacen(REVISION, "main", 1),
            Rejection::ManifestMalformed,
        ),
    ];
    for (payload, expected) in cases {
        let signed = sign_payload(payload.as_bytes());
        assert_eq!(
            refusal(trust(1, &[1]).authenticate(&signed, &context())),
            expected,
            "{payload}"
        );
    }
}

/// Signs any payload, as a hostile holder of a trusted key could.
fn sign_payload(payload: &[u8]) -> SignedManifest {
    use base64::Engine;
    use ed25519_dalek::Signer;
    let base64 = base64::engine::general_purpose::STANDARD;
    let pae = [
        format!(
            "DSSEv1 {} {PAYLOAD_TYPE} {} ",
            PAYLOAD_TYPE.len(),
            payload.len()
        )
        .as_bytes(),
        payload,
    ]
    .concat();
    let signature = ed25519_dalek::SigningKey::from_bytes(&[1; 32])
        .sign(&pae)
        .to_bytes();
    let envelope = serde_json::json!({
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.encode(payload),
        "signatures": [{"sig": base64.encode(signature)}],
    });
    SignedManifest::parse(envelope.to_string().as_bytes(), &Limits::default()).unwrap()
}

#[test]
fn a_signature_does_not_excuse_code() {
    let mut fixture = Fixture::new();
    std::fs::write(fixture.path("modeling.py"), "import os").unwrap();
    let review = crate::lerobot::reviewed("modeling.py", b"import os");
    let mut rules = Rules::default();
    rules.content.reviewed_code = Code::Allow;
    let survey = Survey::new(&rules).with_reviewed_code(std::slice::from_ref(&review));
    let surveyed = survey.run(&directory(fixture.folder.path())).unwrap();
    fixture.manifest.files = surveyed.files;
    let open = |fixture: &Fixture, rules: &Rules| {
        let manifest = authenticate(&trust(1, &[1]), &fixture.signed()).unwrap();
        manifest.open(&directory(fixture.folder.path()), Proof::Tensors, rules)
    };
    let unreviewed = refusal(open(&fixture, &rules));
    assert_eq!(unreviewed, Rejection::CodeUnreviewed);
    fixture.manifest.reviewed_code = vec![review];
    assert_eq!(fixture.refusal(), Rejection::CodeUnreviewed, "by default");
    assert!(open(&fixture, &rules).is_ok());
}
