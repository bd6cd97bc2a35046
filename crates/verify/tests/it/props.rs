//! What holds of any input: nothing panics, no bit can change, no signature counts twice.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::str::FromStr;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::support::*;
use tensorgate_verify::*;

/// What is done to genuine bytes: one is exchanged, one comes in, a piece goes, a piece comes twice.
#[derive(Clone, Debug)]
enum Edit {
    Exchange(Index, u8),
    Insert(Index, u8),
    Remove(Index, usize),
    Repeat(Index, usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    // Bytes that mean something in JSON, TOML and names come up as often as all others together.
    let byte = || {
        prop_oneof![
            any::<u8>(),
            prop::sample::select(b"{}[]\",:\\0123456789eE-+.'=#/\n ".to_vec())
        ]
    };
    let edit = prop_oneof![
        (any::<Index>(), byte()).prop_map(|(at, byte)| Edit::Exchange(at, byte)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        (any::<Index>(), 1_usize..20).prop_map(|(at, len)| Edit::Remove(at, len)),
        (any::<Index>(), 1_usize..60).prop_map(|(at, len)| Edit::Repeat(at, len)),
    ];
    prop::collection::vec(edit, 1..5)
}

fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let len = bytes.len().max(1);
        match edit {
            Edit::Exchange(at, byte) => bytes[at.index(len)] = *byte,
            Edit::Insert(at, byte) => bytes.insert(at.index(len), *byte),
            Edit::Remove(at, count) => {
                let (at, len) = (at.index(len), bytes.len());
                bytes.drain(at..(at + count).min(len));
            }
            Edit::Repeat(at, count) => {
                let at = at.index(len);
                let piece = bytes[at..(at + count).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
        if bytes.is_empty() {
            bytes.push(b'{');
        }
    }
    bytes
}

/// Every parser of untrusted bytes.
fn parse_all(bytes: &[u8]) {
    let limits = Limits::default();
    drop(SignedManifest::parse(bytes, &limits).map(|signed| signed.untrusted(&limits)));
    drop(SignedRevocations::parse(bytes, &limits).map(|signed| signed.untrusted(&limits)));
    drop(Header::parse(bytes, bytes.len() as u64, &limits));
    let text = String::from_utf8_lossy(bytes);
    drop(TrustPolicy::parse(&text, |_| {
        Err(std::io::ErrorKind::NotFound.into())
    }));
    drop(PublicKey::from_pem(&text));
    drop(text.parse::<FilePath>());
}

/// A directory whose `name` has these bytes, before the whole audit.
fn survey_of(name: &str, bytes: &[u8]) -> Result<Vec<FileEntry>> {
    let fixture = fixture();
    fs::write(fixture.path(name), bytes).unwrap();
    survey(fixture.folder.path())
}

/// An envelope around any payload, as an attacker makes it.
fn enveloped(payload: &[u8], signatures: &[Vec<u8>]) -> Vec<u8> {
    let signatures = signatures
        .iter()
        .map(|sig| json!({"sig": STANDARD.encode(sig)}));
    let signatures: Vec<Value> = signatures.collect();
    let payload = STANDARD.encode(payload);
    json!({"payloadType": PAYLOAD_TYPE, "payload": payload, "signatures": signatures})
        .to_string()
        .into_bytes()
}

/// Small enough to be made for each input.
fn fixture() -> Fixture {
    Fixture::of(&[("actor.bias", 3), ("actor.weight", 6)])
}

/// One manifest, signed by keys 1 to 5.
static SIGNED: LazyLock<SignedManifest> =
    LazyLock::new(|| sign(&fixture().manifest, &[1, 2, 3, 4, 5]));

/// Payload and signatures of an envelope.
fn opened(signed: &SignedManifest) -> (Vec<u8>, Vec<Vec<u8>>) {
    let envelope: Value = serde_json::from_slice(&signed.to_bytes()).unwrap();
    let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let signatures = envelope["signatures"].as_array().unwrap();
    (
        decode(&envelope["payload"]),
        signatures.iter().map(|one| decode(&one["sig"])).collect(),
    )
}

fn authenticate(trust: &TrustPolicy, envelope: &[u8]) -> Result<Verified<Manifest>> {
    trust.authenticate(
        &SignedManifest::parse(envelope, trust.limits())?,
        &context(),
    )
}

fn flip(bytes: &mut [u8], bit: usize) {
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// Whatever can be read prints as what was read: one value, one spelling.
fn prints_as_read<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

#[test]
fn any_flipped_bit_of_a_signature_is_noticed() {
    let (payload, signatures) = opened(&SIGNED);
    let trust = trust(1, &[1]);
    assert!(authenticate(&trust, &enveloped(&payload, &signatures)).is_ok());
    for bit in 0..512 {
        let mut signature = signatures[0].clone();
        flip(&mut signature, bit);
        let found = authenticate(&trust, &enveloped(&payload, &[signature]));
        assert_eq!(refusal(found), Rejection::SignatureInvalid, "bit {bit}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_all(&bytes);
    }

    #[test]
    fn nearly_genuine_bytes_are_parsed_without_panic(edits in edits(), which in 0_usize..5) {
        let limits = Limits::default();
        let signed = &*SIGNED;
        let (payload, signatures) = opened(signed);
        let bytes = match which {
            0 => edited(signed.to_bytes(), &edits),
            1 => enveloped(&edited(payload, &edits), &signatures),
            2 => edited(trust_text(2, &[1, 2, 3]).into_bytes(), &edits),
            3 => edited(weights(&[("a", 3), ("b.c", 5)]), &edits),
            _ => {
                let list = Revocations::new(1, validity(), vec![Revocation::new(Revoked::Manifest(signed.digest()), "old")]);
                edited(SignedRevocations::sign(&list, &key(1), &limits).unwrap().to_bytes(), &edits)
            }
        };
        parse_all(&bytes);
    }

    #[test]
    fn any_configuration_is_judged_without_panic(edits in edits(), which in 0_usize..3) {
        let (name, text) = [
            ("config.json", r#"{"type": "act", "input_features": {"observation.state": {"type": "STATE", "shape": [2]}}, "vision_backbone": "resnet18", "use_peft": false}"#),
            ("policy_preprocessor.json", r#"{"name": "policy_preprocessor", "steps": [{"registry_name": "normalizer_processor", "config": {"eps": 1e-08, "features": {"action": {"type": "ACTION", "shape": [12]}}, "norm_map": {"ACTION": "MEAN_STD"}}, "state_file": "policy_preprocessor_step_3_normalizer_processor.safetensors"}]}"#),
            ("model.safetensors.index.json", r#"{"metadata": {"total_size": 36}, "weight_map": {"actor.bias": "model.safetensors", "actor.weight": "model.safetensors"}}"#),
        ][which];
        drop(survey_of(name, &edited(text.into(), &edits)));
    }

    #[test]
    fn any_flipped_bit_of_the_payload_is_noticed(at in any::<Index>()) {
        let (mut payload, signatures) = opened(&SIGNED);
        let bit = at.index(payload.len() * 8);
        flip(&mut payload, bit);
        let found = authenticate(&trust(1, &[1]), &enveloped(&payload, &signatures));
        prop_assert_eq!(refusal(found), Rejection::SignatureInvalid);
    }

    #[test]
    fn any_flipped_bit_of_a_file_is_noticed(at in any::<Index>(), which in 0_usize..3) {
        let fixture = fixture();
        let path = fixture.path(fixture.manifest.files[which].path.as_str());
        let mut bytes = fs::read(&path).unwrap();
        let bit = at.index(bytes.len() * 8);
        flip(&mut bytes, bit);
        fs::write(path, bytes).unwrap();
        prop_assert_eq!(fixture.refusal(), Rejection::DigestMismatch);
    }

    #[test]
    fn signatures_count_by_distinct_keys_however_they_lie(
        chosen in prop::collection::vec(0_usize..6, 0..12),
        threshold in 1_usize..=3,
    ) {
        // Keys 1 to 3 are trusted, 4 and 5 are strangers, and the last signature is junk.
        let (payload, mut signatures) = opened(&SIGNED);
        signatures.push(vec![7; 64]);
        let picked: Vec<Vec<u8>> = chosen.iter().map(|index| signatures[*index].clone()).collect();
        let distinct: BTreeSet<usize> = chosen.into_iter().filter(|index| *index < 3).collect();
        let found = authenticate(&trust(threshold, &[1, 2, 3]), &enveloped(&payload, &picked));
        match found {
            Ok(verified) => prop_assert_eq!(verified.evidence().signers.len(), distinct.len()),
            Err(_) => prop_assert!(distinct.len() < threshold),
        }
    }

    #[test]
    fn names_have_one_spelling(text in "[ -~]{0,80}|[a-z./ -]{1,20}|[0-9a-fA-F]{38,66}|[a-zA-Z0-9._-]{1,9}/[a-zA-Z0-9._-]{1,9}") {
        prints_as_read::<FilePath>(&text);
        prints_as_read::<RepoId>(&text);
        prints_as_read::<Revision>(&text);
        prints_as_read::<Sha256>(&text);
        prints_as_read::<Blake3>(&text);
        prints_as_read::<KeyId>(&text);
    }

    #[test]
    fn digests_are_read_as_printed(bytes in any::<[u8; 32]>()) {
        prop_assert_eq!(Sha256::from_bytes(bytes).to_string().parse(), Ok(Sha256::from_bytes(bytes)));
        prop_assert_eq!(Blake3::from_bytes(bytes).to_string().parse(), Ok(Blake3::from_bytes(bytes)));
        prop_assert_eq!(KeyId::from_bytes(bytes).to_string().parse(), Ok(KeyId::from_bytes(bytes)));
    }

    #[test]
    fn a_path_that_is_read_stays_below(text in "([a-zA-Z.~ -]{0,3}/){0,3}[a-zA-Z.~ -]{0,4}") {
        if text.parse::<FilePath>().is_ok() {
            let mut parts = std::path::Path::new(&text).components();
            prop_assert!(parts.all(|part| matches!(part, std::path::Component::Normal(_))));
        }
    }
}
