//! What a trust policy says beside its keys: scope, expiry, freshness, the past.

use std::fmt::Debug;
use std::io;

use crate::support::*;
use jiff::Timestamp;
use tensorgate_verify::*;

/// Keys 1 to `count`, of which the first has this beside it, and `more` after all of them.
pub(crate) fn with(count: u8, threshold: usize, beside_first: &str, more: &str) -> TrustPolicy {
    let mut text = String::new();
    for seed in 1..=count {
        let beside = if seed == 1 { beside_first } else { "" };
        let all = trust_text(threshold, &[seed]);
        let entry = all.split_once("[[keys]]").unwrap().1;
        text.push_str(&format!("[[keys]]{entry}{beside}\n"));
    }
    let text = format!("threshold = {threshold}\n{text}{more}");
    TrustPolicy::parse(&text, |_| panic!("keys are inline")).unwrap()
}

pub(crate) fn at(now: &str) -> Context<'static> {
    Context::new(now.parse().unwrap())
}

pub(crate) fn codes(result: Result<impl Debug>) -> Vec<&'static str> {
    match result.unwrap_err() {
        Error::Rejected(all) => all.iter().map(|one| one.rejection.code()).collect(),
        error => panic!("no verdict: {error}"),
    }
}

#[test]
fn a_key_counts_until_its_time_is_over() {
    let signed = Fixture::new().signed();
    let until = "not_after = '2026-12-01T00:00:00Z'";
    let one = with(1, 1, until, "");
    let evidence = |now| one.authenticate(&signed, &at(now));
    assert!(evidence("2026-11-30T23:59:59Z").is_ok());
    assert_eq!(
        codes(evidence("2026-12-01T00:00:00Z")),
        ["key-expired", "threshold-not-met"]
    );
    // A second signer is enough, and then its word lasts as long as the manifest.
    let two = with(2, 1, until, "");
    let both = sign(&Fixture::new().manifest, &[1, 2]);
    let verified = two
        .authenticate(&both, &at("2026-12-02T00:00:00Z"))
        .unwrap();
    assert_eq!(verified.evidence().signers.len(), 1);
    assert_eq!(verified.evidence().ignored_signatures, 1);
}

#[test]
fn a_proof_says_when_it_ends() {
    let manifest = Fixture::new().manifest;
    let both = sign(&manifest, &[1, 2]);
    let until = |trust: &TrustPolicy| {
        let verified = trust.authenticate(&both, &context()).unwrap();
        verified.evidence().until.to_string()
    };
    let key = "not_after = '2026-12-01T00:00:00Z'";
    assert_eq!(until(&with(2, 1, "", "")), manifest.expires.to_string());
    assert_eq!(until(&with(2, 2, key, "")), "2026-12-01T00:00:00Z");
    assert_eq!(until(&with(2, 1, key, "")), manifest.expires.to_string());
    let age = "[freshness]\nmax_age_days = 30";
    assert_eq!(until(&with(2, 1, "", age)), "2026-12-01T00:00:00Z");
    let warn = "[freshness]\nexpires = 'warn'";
    assert_eq!(until(&with(2, 1, "", warn)), Timestamp::MAX.to_string());
}

#[test]
fn a_key_speaks_for_its_repositories() {
    let signed = Fixture::new().signed();
    for globs in ["['acme/*']", "['x/y', '*/walk']"] {
        let trust = with(1, 1, &format!("repos = {globs}"), "");
        assert!(trust.authenticate(&signed, &context()).is_ok());
    }
    let other = with(2, 1, "repos = ['acme/swim', 'acm/*']", "");
    let found = other.authenticate(&signed, &context());
    assert_eq!(codes(found), ["key-out-of-scope", "threshold-not-met"]);
    let both = sign(&Fixture::new().manifest, &[1, 2]);
    let verified = other.authenticate(&both, &context()).unwrap();
    assert_eq!(verified.evidence().signers[0].name, "key 2");
    let two = with(2, 2, "repos = ['acme/swim']", "");
    let found = two.authenticate(&both, &context());
    assert_eq!(codes(found), ["key-out-of-scope", "threshold-not-met"]);
}

#[test]
fn expiry_is_denied_or_told() {
    let signed = Fixture::new().signed();
    let late = at("2027-11-01T00:00:00Z");
    let found = with(1, 1, "", "").authenticate(&signed, &late);
    assert_eq!(codes(found), ["manifest-expired"]);
    let warn = with(1, 1, "", "[freshness]\nexpires = 'warn'");
    let verified = warn.authenticate(&signed, &late).unwrap();
    let [notice] = verified.evidence().notices.as_slice() else {
        panic!("one notice")
    };
    assert_eq!(notice.rejection, Rejection::ManifestExpired);
}

#[test]
fn an_old_signature_may_be_too_old() {
    let signed = Fixture::new().signed();
    let trust = with(1, 1, "", "[freshness]\nmax_age_days = 30");
    let judge = |now| trust.authenticate(&signed, &at(now));
    assert!(judge("2026-11-30T23:59:59Z").is_ok());
    assert_eq!(codes(judge("2026-12-01T00:00:00Z")), ["manifest-expired"]);
    let boundless = format!("[freshness]\nmax_age_days = {}", u32::MAX);
    let boundless = with(1, 1, "", &boundless).authenticate(&signed, &context());
    assert!(boundless.is_ok());
}

#[derive(Debug, Default)]
struct Past {
    last: Option<Accepted>,
    floor: Option<Timestamp>,
    ready: bool,
}

impl History for Past {
    fn last_accepted(&self, _: RepoType, _: &RepoId) -> io::Result<Option<Accepted>> {
        Ok(self.last)
    }

    fn clock_floor(&self) -> io::Result<Option<Timestamp>> {
        Ok(self.floor)
    }

    fn is_ready(&self) -> io::Result<bool> {
        Ok(self.ready)
    }

    fn is_revoked(&self, _: &Sha256) -> io::Result<bool> {
        Ok(false)
    }
}

/// A memory that says nothing of itself.
#[derive(Debug)]
struct Plain;

impl History for Plain {
    fn last_accepted(&self, _: RepoType, _: &RepoId) -> io::Result<Option<Accepted>> {
        Ok(None)
    }

    fn is_revoked(&self, _: &Sha256) -> io::Result<bool> {
        Ok(false)
    }
}

fn after<'a>(past: &'a Past, now: &str) -> Context<'a> {
    let mut context = Context::new(now.parse().unwrap());
    context.history = Some(past);
    context
}

#[test]
fn the_clock_never_goes_back_behind_what_was_accepted() {
    let signed = Fixture::new().signed();
    let trust = with(1, 1, "", "");
    let past = Past {
        floor: Some("2027-11-01T00:00:00Z".parse().unwrap()),
        ..Past::default()
    };
    // The clock was set back to before the manifest was issued, and the manifest is expired.
    for now in ["1970-01-01T00:00:00Z", "2026-12-01T00:00:00Z"] {
        let found = trust.authenticate(&signed, &after(&past, now));
        assert_eq!(codes(found), ["manifest-expired"]);
    }
    let past = Past {
        floor: Some("2026-11-20T00:00:00Z".parse().unwrap()),
        ..Past::default()
    };
    let set_back = after(&past, "1970-01-01T00:00:00Z");
    let verified = trust.authenticate(&signed, &set_back).unwrap();
    assert_eq!(Some(verified.evidence().now), past.floor);
}

#[test]
fn a_sequence_may_not_jump_too_far() {
    let signed = Fixture::new().signed();
    let last = |sequence| Past {
        last: Some(Accepted::new(sequence, Sha256::of(b"the release before"))),
        ..Past::default()
    };
    let judge = |past: &Past, jump: u64| {
        let trust = with(1, 1, "", &format!("[rollback]\nmax_jump = {jump}"));
        trust.authenticate(&signed, &after(past, "2026-11-23T12:00:00Z"))
    };
    assert!(judge(&last(2), 3).is_ok());
    assert_eq!(codes(judge(&last(1), 3)), ["manifest-fast-forward"]);
    assert_eq!(codes(judge(&last(6), 3)), ["manifest-rollback"]);
    assert!(
        judge(&Past::default(), 0).is_ok(),
        "the first one may be any"
    );
}

#[test]
fn a_memory_that_is_required_must_be_ready() {
    let signed = Fixture::new().signed();
    let trust = with(1, 1, "", "[rollback]\nrequire_state = true");
    let ready = Past {
        ready: true,
        ..Past::default()
    };
    let now = "2026-11-23T12:00:00Z";
    assert!(trust.authenticate(&signed, &after(&ready, now)).is_ok());
    let new = Past::default();
    let mut plain = context();
    plain.history = Some(&Plain);
    for context in [context(), after(&new, now), plain] {
        let error = trust.authenticate(&signed, &context).unwrap_err();
        assert_eq!(error.rejection(), None, "{error}");
        assert!(error.to_string().contains("requires one"), "{error}");
    }
}

#[test]
fn other_evidence_needs_the_memory_that_is_required_too() {
    let trust = with(1, 1, "", "[rollback]\nrequire_state = true");
    let refuse = |context: &Context<'_>| trust.refuse_revoked(&[], Sha256::of(b"x"), &[], context);
    let error = refuse(&context()).unwrap_err();
    assert_eq!(error.rejection(), None, "{error}");
    let ready = Past {
        ready: true,
        ..Past::default()
    };
    assert!(refuse(&after(&ready, "2026-11-23T12:00:00Z")).is_ok());
}

#[test]
fn limits_of_the_trust_policy_hold() {
    let fixture = Fixture::new();
    let manifest = fixture.signed();
    for (limit, code) in [
        ("files = 2", "manifest-malformed"),
        ("tensors = 2", "tensor-too-many"),
        ("weights_bytes = 1000", "manifest-malformed"),
        ("small_file_bytes = 10", "json-too-large"),
    ] {
        let trust = with(1, 1, "", &format!("[limits]\n{limit}"));
        let found = trust.authenticate(&manifest, &context());
        assert_eq!(codes(found)[0], code, "{limit}");
    }
    // Each is the most that is taken, not the least that is refused.
    for limit in [
        "files = 4",
        "tensors = 3",
        "rank = 1",
        "tensor_name_bytes = 12",
    ] {
        let trust = with(1, 1, "", &format!("[limits]\n{limit}"));
        assert!(trust.authenticate(&manifest, &context()).is_ok(), "{limit}");
    }
    let weights = fixture
        .manifest
        .file(&"model.safetensors".parse().unwrap())
        .unwrap();
    let data = weights.tensors.as_ref().unwrap().last().unwrap().end;
    // 8 bytes are the length itself.
    let header = weights.size - data - 8;
    for (limit, passes) in [(header, true), (header - 1, false)] {
        let trust = with(1, 1, "", &format!("[limits]\nheader_bytes = {limit}"));
        let found = trust.authenticate(&manifest, &context());
        assert_eq!(found.is_ok(), passes, "{limit} of {header}");
    }
    for limit in ["rank = 0", "tensor_name_bytes = 11"] {
        let trust = with(1, 1, "", &format!("[limits]\n{limit}"));
        let found = codes(trust.authenticate(&manifest, &context()));
        assert!(found[0].starts_with("tensor-"), "{limit}: {found:?}");
    }
    let kinds = with(1, 1, "", "[content]\nkinds = ['config', 'weights']");
    let verified = kinds.authenticate(&manifest, &context()).unwrap();
    let directory = directory(fixture.folder.path());
    let found = verified.open(&directory, Proof::Tensors, kinds.rules());
    assert_eq!(codes(found)[0], "file-kind-forbidden");
}

#[test]
fn every_refusal_of_a_manifest_is_reported() {
    let fixture = Fixture::new();
    let signed = fixture.signed();
    let weights = fixture
        .manifest
        .file(&"model.safetensors".parse().unwrap())
        .unwrap();
    let tensors = weights.tensors.as_ref().unwrap();
    let revoked = [
        format!("manifest = '{}'", signed.digest()),
        format!("revision = '{REVISION}'"),
        format!("blake3 = '{}'", tensors[0].blake3),
        format!("blake3 = '{}'", tensors[1].blake3),
    ];
    let entries = revoked.map(|what| format!("[[revoked]]\n{what}\nreason = 'recalled'\n"));
    let trust = with(1, 1, "", &entries.concat());
    let (repo, other) = ("acme/swim".parse().unwrap(), "f".repeat(40));
    let revision = other.parse().unwrap();
    let past = Past {
        last: Some(Accepted::new(9, Sha256::of(b"a later one"))),
        ..Past::default()
    };
    let mut context = after(&past, "2028-01-01T00:00:00Z");
    (context.repo, context.revision) = (Some(&repo), Some(&revision));
    let all = [
        "manifest-revoked",
        "revision-revoked",
        "digest-revoked",
        "digest-revoked",
        "manifest-expired",
        "repo-mismatch",
        "revision-mismatch",
        "manifest-rollback",
    ];
    assert_eq!(codes(trust.authenticate(&signed, &context)), all);
    // That the past cannot be read does not make what was refused any better.
    context.history = Some(&Damaged);
    assert_eq!(codes(trust.authenticate(&signed, &context)), all[..7]);
}

#[derive(Debug)]
struct Damaged;

impl History for Damaged {
    fn last_accepted(&self, _: RepoType, _: &RepoId) -> io::Result<Option<Accepted>> {
        Err(io::Error::other("damaged"))
    }

    fn is_revoked(&self, _: &Sha256) -> io::Result<bool> {
        Ok(false)
    }
}
