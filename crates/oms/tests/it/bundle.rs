//! The envelope, and whose signature counts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tensorgate_oms::{Anchor, Bundle, EcPublicKey, EcSigningKey};
use tensorgate_verify::{Limits, Rejection, pae};

use crate::support::*;

/// A good bundle by key 7, whose text each test changes.
fn good() -> (Value, Key) {
    let key = Key::p256(7);
    let payload = statement(&resources(&Policy::new())).to_string();
    (bundle(payload.as_bytes(), &key), key)
}

#[track_caller]
fn changed(change: impl FnOnce(&mut Value), code: Rejection, subject: &str) {
    let (mut bundle, key) = good();
    change(&mut bundle);
    refused(authenticate(&bundle, &[key.anchor()]), code, subject);
}

#[test]
fn a_key_on_each_curve_signs_with_its_own_hash() {
    let payload = statement(&resources(&Policy::new())).to_string();
    for key in [Key::p256(7), Key::p384(7), Key::p521(7)] {
        let found = authenticate(&bundle(payload.as_bytes(), &key), &[key.anchor()]).unwrap();
        assert_eq!(found.signers()[0].key, key.public().id());
        assert_eq!(found.name(), "walk");
    }
}

#[test]
fn the_hint_is_the_hash_of_the_canonical_text_whatever_the_file_looks_like() {
    let pem = Key::p384(7).public_pem();
    let key = EcPublicKey::from_pem(&pem).unwrap();
    assert_eq!(key.hint(), sha256(pem.as_bytes()));
    let preceded = format!("Public-Key: (384 bit)\n    pub:\n        04:b2\n{pem}");
    assert_eq!(EcPublicKey::from_pem(&preceded).unwrap(), key);
    let dos = pem.replace('\n', "\r\n");
    assert_eq!(EcPublicKey::from_pem(&dos).unwrap().hint(), key.hint());
}

#[test]
fn only_the_operators_keys_count() {
    let (bundle, key) = good();
    let other = Key::p256(8);
    let code = Rejection::OmsSignatureInvalid;
    refused(authenticate(&bundle, &[]), code, "signatures");
    refused(authenticate(&bundle, &[other.anchor()]), code, "signatures");
    let all = [other.anchor(), key.anchor(), key.anchor()];
    assert_eq!(authenticate(&bundle, &all).unwrap().signers().len(), 1);
}

#[test]
fn a_key_that_the_bundle_brings_does_not_count() {
    let (mut bundle, key) = good();
    let thief = Key::p256(66);
    bundle["verificationMaterial"]["publicKey"] = json!({"hint": thief.public().hint()});
    refused(
        authenticate(&bundle, &[key.anchor()]),
        Rejection::OmsSignatureInvalid,
        "signatures",
    );
}

#[test]
fn what_bundles_before_1_1_0_say_of_the_key_is_compared() {
    let raw = STANDARD.encode(Key::p256(7).public_pem());
    let old = |details: &str| json!({"rawBytes": raw, "keyDetails": details});
    let (mut bundle, key) = good();
    bundle["verificationMaterial"] = json!({"publicKey": old("PKIX_ECDSA_P256_SHA_256")});
    bundle["dsseEnvelope"]["signatures"][0]["keyid"] = Value::Null;
    authenticate(&bundle, &[key.anchor()]).unwrap();

    let thief = STANDARD.encode(Key::p256(66).public_pem());
    for key in [
        old("PKIX_ECDSA_P384_SHA_384"),
        json!({"rawBytes": thief}),
        json!({"rawBytes": "junk"}),
    ] {
        let change = |bundle: &mut Value| bundle["verificationMaterial"]["publicKey"] = key;
        changed(change, Rejection::OmsSignatureInvalid, "signatures");
    }
    let change = |bundle: &mut Value| bundle["verificationMaterial"]["publicKey"] = json!({});
    changed(change, Rejection::ManifestMalformed, "publicKey");
}

#[test]
fn a_good_signature_counts_wherever_it_stands() {
    let garbage = json!({"sig": STANDARD.encode(b"garbage")});
    for at in [0, 1] {
        let (mut bundle, key) = good();
        let signatures = bundle["dsseEnvelope"]["signatures"].as_array_mut();
        signatures.unwrap().insert(at, garbage.clone());
        authenticate(&bundle, &[key.anchor()]).unwrap();
    }
    let change = |bundle: &mut Value| bundle["dsseEnvelope"]["signatures"] = json!([garbage]);
    changed(change, Rejection::OmsSignatureInvalid, "signatures");
}

#[test]
fn a_key_that_the_bundle_does_not_name_is_not_asked() {
    let (mut bundle, key) = good();
    let other = Key::p384(9);
    bundle["verificationMaterial"]["publicKey"] = json!({"hint": other.public().hint()});
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let sig = other.sign(&pae(&STANDARD.decode(payload).unwrap()));
    let sig = json!({"sig": STANDARD.encode(sig)});
    let signatures = bundle["dsseEnvelope"]["signatures"].as_array_mut();
    signatures.unwrap().push(sig);
    let anchors = [key.anchor(), other.anchor()];
    let found = authenticate(&bundle, &anchors).unwrap();
    assert_eq!(found.signers().len(), 1);
    assert_eq!(found.signers()[0].key, other.public().id());
}

#[test]
fn a_signature_is_over_type_length_and_payload_and_der() {
    let key = Key::p256(7);
    let payload = statement(&resources(&Policy::new())).to_string();
    let refuse = |signature: Vec<u8>| {
        let mut bundle = bundle(payload.as_bytes(), &key);
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = json!(STANDARD.encode(signature));
        let result = authenticate(&bundle, &[key.anchor()]);
        refused(result, Rejection::OmsSignatureInvalid, "signatures");
    };
    // Of the payload alone, and as releases before 1.0 did it.
    refuse(key.sign(payload.as_bytes()));
    let old = String::from_utf8(pae(payload.as_bytes())).unwrap();
    refuse(key.sign(old.replace("DSSEv1", "DSSEV1").as_bytes()));
    let mut longer = key.sign(&pae(payload.as_bytes()));
    longer.push(0);
    refuse(longer);
}

#[test]
fn other_methods_and_forms_are_named_and_refused() {
    let unsupported = Rejection::OmsUnsupported;
    let sigstore = json!({"certificate": {"rawBytes": ""}, "tlogEntries": [{}]});
    let change = |bundle: &mut Value| bundle["verificationMaterial"] = sigstore;
    changed(change, unsupported, "verificationMaterial");
    let change = |bundle: &mut Value| {
        bundle["verificationMaterial"]["tlogEntries"] = json!([{"logIndex": "1"}])
    };
    changed(change, unsupported, "verificationMaterial");
    let change = |bundle: &mut Value| bundle["mediaType"] = json!("application/json");
    changed(change, unsupported, "mediaType");
    let change = |bundle: &mut Value| bundle["dsseEnvelope"]["payloadType"] = json!("text/plain");
    changed(change, Rejection::PayloadTypeUnsupported, "payloadType");
}

#[test]
fn unknown_fields_are_refused() {
    let unsupported = Rejection::OmsUnsupported;
    changed(|b| b["extra"] = json!(1), unsupported, "extra");
    let change = |b: &mut Value| b["dsseEnvelope"]["extra"] = json!(1);
    changed(change, unsupported, "dsseEnvelope.extra");
    let change = |b: &mut Value| b["dsseEnvelope"]["signatures"][0]["cert"] = json!("");
    changed(change, unsupported, "dsseEnvelope.signatures.0.cert");
    let change = |b: &mut Value| b["verificationMaterial"]["timestampVerificationData"] = json!({});
    changed(
        change,
        unsupported,
        "verificationMaterial.timestampVerificationData",
    );
}

#[test]
fn what_is_malformed_is_refused() {
    let malformed = Rejection::ManifestMalformed;
    for (field, subject) in [
        ("mediaType", "bundle"),
        ("verificationMaterial", "bundle"),
        ("dsseEnvelope", "bundle"),
    ] {
        let change = |b: &mut Value| drop(b.as_object_mut().unwrap().remove(field));
        changed(change, malformed, subject);
    }
    let change = |b: &mut Value| b["verificationMaterial"] = json!({"tlogEntries": []});
    changed(change, malformed, "verificationMaterial");
    let both = json!({"publicKey": {"hint": ""}, "x509CertificateChain": {"certificates": []}});
    let change = |b: &mut Value| b["verificationMaterial"] = both;
    changed(change, malformed, "verificationMaterial");
    let none = json!({"x509CertificateChain": {"certificates": []}});
    let change = |b: &mut Value| b["verificationMaterial"] = none;
    changed(change, malformed, "x509CertificateChain");
    changed(
        |b| b["dsseEnvelope"]["payload"] = json!("e30"),
        malformed,
        "payload",
    );
    let change = |b: &mut Value| b["dsseEnvelope"]["signatures"][0]["sig"] = json!("*");
    changed(change, malformed, "sig");
    for count in [0, 17, 1025] {
        let many = vec![json!({"sig": ""}); count];
        let subject = if count > 1024 { "bundle" } else { "signatures" };
        changed(
            |b| b["dsseEnvelope"]["signatures"] = json!(many),
            malformed,
            subject,
        );
    }
    // Arrays and nulls in place of what is documented.
    for (field, value) in [("publicKey", json!([])), ("tlogEntries", Value::Null)] {
        let change = |b: &mut Value| b["verificationMaterial"][field] = value;
        changed(change, malformed, "bundle");
    }
}

#[test]
fn equal_keys_are_refused() {
    let (bundle, key) = good();
    let twice = bundle.to_string().replacen('{', r#"{"mediaType":"","#, 1);
    let result = authenticate_bytes(twice.as_bytes(), &[key.anchor()], now());
    refused(result, Rejection::JsonDuplicateKey, "mediaType");
}

#[test]
fn a_huge_bundle_is_not_read() {
    let mut limits = Limits::default();
    limits.manifest_bytes = 100;
    let result = Bundle::parse(&[b' '; 101], &limits);
    refused(result, Rejection::ManifestTooLarge, "bundle");
}

#[test]
fn other_keys_are_no_anchors_and_sign_nothing() {
    let policy = Policy::new();
    policy.openssl("genpkey -algorithm ed25519 -out ed.key");
    policy.openssl("pkey -in ed.key -pubout -out ed.pub");
    policy.openssl("ecparam -name secp256k1 -genkey -noout -out k1.key");
    policy.openssl("ec -in k1.key -pubout -out k1.pub");
    for name in ["ed", "k1"] {
        let public = Anchor::public_key(&policy.text(&format!("{name}.pub")));
        assert!(public.unwrap_err().to_string().contains("P-521"));
        EcSigningKey::from_pem(&policy.text(&format!("{name}.key"))).unwrap_err();
    }
    Anchor::public_key("").unwrap_err();
    Anchor::public_key(&Key::p256(7).private_pem()).unwrap_err();
    EcSigningKey::from_pem(&Key::p384(7).private_pem()).unwrap_err();
}
