//! Any bytes, any single flipped bit.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use tensorgate_oms::{Anchor, Bundle};
use tensorgate_verify::{Limits, Rejection};

use crate::support::*;

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let payload = statement(&resources(&Policy::new())).to_string();
    bundle(payload.as_bytes(), &Key::p256(7))
        .to_string()
        .into_bytes()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        Bundle::parse(&bytes, &Limits::default()).unwrap_err();
        signed_bytes(&bytes).unwrap_err();
    }

    #[test]
    fn any_certificate_is_refused(der in proptest::collection::vec(any::<u8>(), 0..512)) {
        let text = pem("CERTIFICATE", &der);
        Anchor::root_certificate(&text).unwrap_err();
        Anchor::public_key(&pem("PUBLIC KEY", &der)).unwrap_err();
    }

    #[test]
    fn no_flipped_bit_changes_what_was_signed(at in any::<prop::sample::Index>(), bit in 0..8) {
        let (mut bytes, key) = (GOOD.clone(), Key::p256(7));
        let before = authenticate_bytes(&bytes, &[key.anchor()], now()).unwrap().digest();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        if let Ok(statement) = authenticate_bytes(&bytes, &[key.anchor()], now()) {
            prop_assert_eq!(statement.digest(), before);
        }
    }

    #[test]
    fn any_list_of_a_signer_is_read_or_refused(
        names in proptest::collection::vec("[a-b.:/0-9]{0,8}", 0..6),
        size in prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from)],
    ) {
        let list: Vec<Value> = names.iter().map(|name| resource(name, &sha256(b""))).collect();
        let mut statement = statement(&list);
        let serialization = &mut statement["predicate"]["serialization"];
        if !size.is_null() {
            serialization["method"] = json!("shards");
            serialization["shard_size"] = size;
        }
        match signed(&statement) {
            Ok(statement) => prop_assert!(Policy::new().open(&statement).is_err()),
            Err(error) => prop_assert!(matches!(
                error.rejection(),
                Some(Rejection::ManifestMalformed | Rejection::FileNameUnsafe)
            )),
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|l| str::from_utf8(l).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
