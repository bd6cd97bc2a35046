//! Envelopes, read before anybody vouches for them.

use crate::support::*;
use tensorgate_verify::*;

#[test]
fn envelopes_are_read_strictly() {
    let good = String::from_utf8(Fixture::new().signed().to_bytes()).unwrap();
    let cases = [
        (
            good.replacen('{', "{\"x\": 1, ", 1),
            Rejection::ManifestUnknownField,
        ),
        (
            good.replacen('{', "{\"payload\": \"\", ", 1),
            Rejection::JsonDuplicateKey,
        ),
        (
            good.replacen("in-toto+json", "other+json", 1),
            Rejection::PayloadTypeUnsupported,
        ),
        (
            good.replacen("\"sig\": \"", "\"sig\": \"A", 1),
            Rejection::ManifestMalformed,
        ),
        (
            good.replacen("\"payload\": \"", "\"payload\": \" ", 1),
            Rejection::ManifestMalformed,
        ),
        (
            good.replacen(&format!("\"{}\"", key(1).public().id()), "null", 1),
            Rejection::ManifestMalformed,
        ),
        (format!("{good}{{}}"), Rejection::ManifestMalformed),
        (as_array(&good), Rejection::ManifestMalformed),
        (String::new(), Rejection::ManifestMalformed),
        (" ".repeat((32 << 20) + 1), Rejection::ManifestTooLarge),
    ];
    for (text, expected) in cases {
        let found = refusal(SignedManifest::parse(text.as_bytes(), &Limits::default()));
        assert_eq!(found, expected, "{}", &text[..text.len().min(90)]);
    }
}

/// serde reads a struct from an array as well; a reader in another language does not.
fn as_array(envelope: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(envelope).unwrap();
    serde_json::json!([value["payloadType"], value["payload"], value["signatures"]]).to_string()
}

#[test]
fn an_envelope_has_few_signatures() {
    let mut signed = sign(&Fixture::new().manifest, &[1]);
    for seed in 2..=16 {
        signed
            .add_signature(&key(seed), &Limits::default())
            .unwrap();
    }
    let before = signed.to_bytes();
    assert_eq!(
        refusal(signed.add_signature(&key(17), &Limits::default())),
        Rejection::ManifestMalformed
    );
    assert_eq!(signed.to_bytes(), before);
}

#[test]
fn a_list_of_signatures_takes_no_memory_for_its_length() {
    let list = vec!["{\"sig\":\"\"}"; 2_000_000].join(",");
    let text =
        format!("{{\"payloadType\":\"{PAYLOAD_TYPE}\",\"payload\":\"\",\"signatures\":[{list}]}}");
    let before = peak_memory();
    assert_eq!(
        refusal(SignedManifest::parse(text.as_bytes(), &Limits::default())),
        Rejection::ManifestMalformed
    );
    assert!(
        peak_memory() - before < 256 << 20,
        "{} bytes more",
        peak_memory() - before
    );
}

/// VmHWM of this process in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    1024 * line
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
}

#[test]
fn what_an_attacker_writes_does_not_flood_the_log() {
    let text = format!("{{\"{}\": 1}}", "x".repeat(1 << 20));
    let error = SignedManifest::parse(text.as_bytes(), &Limits::default()).unwrap_err();
    assert!(
        error.to_string().len() < 2_000,
        "{} bytes",
        error.to_string().len()
    );
}
