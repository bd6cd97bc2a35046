//! What a signer may say: strict, though the signature is good.

use serde_json::{Value, json};
use tensorgate_verify::{Rejection, Result};

use crate::support::*;

/// A statement about two files, whose text each test changes.
fn good() -> Value {
    statement(&resources(&Policy::new()))
}

#[track_caller]
fn changed(change: impl FnOnce(&mut Value), code: Rejection, subject: &str) {
    let mut statement = good();
    change(&mut statement);
    refused(signed(&statement), code, subject);
}

fn serialization(statement: &mut Value) -> &mut Value {
    &mut statement["predicate"]["serialization"]
}

#[test]
fn names_of_models_keys_beside_and_paths_ignored_mean_nothing() {
    let mut statement = good();
    statement["subject"][0]["name"] = json!("model");
    statement["subject"][0]["annotations"] = json!({"any": "thing"});
    statement["subject"][0]["digest"]["sha512"] = json!("00");
    statement["predicate"]["resources"][0]["annotations"] = json!({"any": "thing"});
    serialization(&mut statement)["ignore_paths"] = json!([".git", "../x", "config.json"]);
    let policy = Policy::new();
    assert!(
        policy
            .open(&signed(&statement).unwrap())
            .unwrap()
            .remarks
            .is_empty()
    );
}

#[test]
fn other_statements_are_refused() {
    let other = Rejection::PredicateTypeUnsupported;
    changed(
        |s| s["predicateType"] = json!("urn:tensorgate:policy:v1"),
        other,
        "predicateType",
    );
    changed(
        |s| s["_type"] = json!("https://in-toto.io/Statement/v0.1"),
        other,
        "predicateType",
    );
    let legacy = json!("https://model_signing/Digests/v0.1");
    changed(
        |s| s["predicateType"] = legacy,
        Rejection::OmsUnsupported,
        "predicateType",
    );
    let malformed = Rejection::ManifestMalformed;
    refused(signed(&json!([])), malformed, "statement");
    refused(signed_bytes(b"\xff"), malformed, "statement");
}

#[test]
fn unknown_fields_are_refused() {
    let unsupported = Rejection::OmsUnsupported;
    changed(|s| s["extra"] = json!(1), unsupported, "extra");
    let change = |s: &mut Value| s["predicate"]["extra"] = json!(1);
    changed(change, unsupported, "predicate.extra");
    let change = |s: &mut Value| serialization(s)["extra"] = json!(1);
    changed(change, unsupported, "predicate.serialization.extra");
}

#[test]
fn equal_keys_are_refused() {
    let twice = good().to_string();
    let twice = twice.replacen(r#""digest":"#, r#""digest":"","digest":"#, 1);
    let result = signed_bytes(twice.as_bytes());
    refused(result, Rejection::JsonDuplicateKey, "digest");
}

#[test]
fn other_methods_and_hashes_are_refused() {
    let unsupported = Rejection::OmsUnsupported;
    changed(
        |s| serialization(s)["method"] = json!("tensors"),
        unsupported,
        "method",
    );
    changed(
        |s| serialization(s)["hash_type"] = json!("sha1"),
        unsupported,
        "hash_type",
    );
    changed(
        |s| serialization(s)["hash_type"] = json!("blake2"),
        unsupported,
        "hash_type",
    );
}

#[test]
fn the_root_is_that_of_the_list_in_its_order() {
    let mut reversed = resources(&Policy::new());
    reversed.reverse();
    let found = signed(&statement(&reversed)).unwrap();
    let remarks = Policy::new().open(&found).unwrap().remarks;
    assert_eq!(remarks.len(), 1, "{remarks:?}");

    let swap = |s: &mut Value| s["predicate"]["resources"] = json!(reversed);
    changed(swap, Rejection::ManifestMalformed, "subject");
}

#[test]
fn a_resource_is_listed_once() {
    let mut list = resources(&Policy::new());
    let wrong = resource("config.json", &sha256(b"wrong"));
    list.insert(0, wrong);
    refused(
        signed(&statement(&list)),
        Rejection::ManifestMalformed,
        "config.json",
    );
}

#[test]
fn resources_name_files_of_the_directory() {
    for name in [
        "/etc/passwd",
        "../config.json",
        "./config.json",
        "a//b",
        "a/",
        "",
        "a\u{0}b",
        ".git/config",
    ] {
        let list = [resource(name, &sha256(b""))];
        refused(signed(&statement(&list)), Rejection::FileNameUnsafe, name);
    }
}

#[test]
fn what_is_malformed_is_refused() {
    let malformed = Rejection::ManifestMalformed;
    changed(|s| s["subject"] = json!([]), malformed, "subject");
    let twice = json!([good()["subject"][0], good()["subject"][0]]);
    changed(|s| s["subject"] = twice, malformed, "statement");
    changed(
        |s| s["subject"][0]["name"] = json!(""),
        malformed,
        "subject",
    );
    changed(|s| *s = statement(&[]), malformed, "resources");
    changed(
        |s| serialization(s)["shard_size"] = json!(1),
        malformed,
        "shard_size",
    );
    changed(
        |s| serialization(s)["shard_size"] = Value::Null,
        malformed,
        "statement",
    );
    let upper = sha256(b"").to_uppercase();
    for (field, value) in [
        ("digest", json!(upper)),
        ("digest", json!("00")),
        ("algorithm", json!("blake3")),
    ] {
        let change = |s: &mut Value| s["predicate"]["resources"][0][field] = value;
        changed(change, malformed, "config.json");
    }
}

/// A statement about shards of 100 bytes.
fn shards(size: Value, list: &[(&str, &str)]) -> Result<tensorgate_oms::Statement> {
    let resource = |&(name, algorithm): &(&str, &str)| json!({"name": name, "algorithm": algorithm, "digest": sha256(name.as_bytes())});
    let list: Vec<Value> = list.iter().map(resource).collect();
    let mut statement = statement(&list);
    serialization(&mut statement)["method"] = json!("shards");
    serialization(&mut statement)["shard_size"] = size;
    signed(&statement)
}

#[test]
fn shards_cover_each_file_without_hole_or_overlap() {
    let accept = |names: &[&str]| {
        let list: Vec<_> = names.iter().map(|name| (*name, "sha256")).collect();
        shards(json!(100), &list)
    };
    accept(&["a:0:100", "a:100:150", "b:0:7"]).unwrap();
    accept(&["a:100:200", "a:0:100"]).unwrap();
    for names in [
        &["a:0:100", "a:200:300"][..],
        &["a:100:200"],
        &["a:0:50", "a:50:100"],
        &["a:0:101"],
        &["a:0:100", "a:50:150"],
        &["a:0:100", "a:0:100"],
        &["a:0:0"],
        &["a:0:100", "a:100:100"],
    ] {
        refused(accept(names), Rejection::ManifestMalformed, "a");
    }
    for name in [
        "a",
        "a:0",
        "a:x:1",
        "a:0:+1",
        "a:00:1",
        "a:0:18446744073709551616",
    ] {
        refused(accept(&[name]), Rejection::ManifestMalformed, name);
    }
    // The last two fields are the range; a name with a colon is none of ours.
    refused(accept(&["a:b:0:100"]), Rejection::FileNameUnsafe, "a:b");
    refused(accept(&[":0:100"]), Rejection::FileNameUnsafe, "");
}

#[test]
fn shards_as_older_releases_describe_them() {
    let list = [("a:0:100", "sha256-sharded-100")];
    shards(json!(100.0), &list).unwrap();
    refused(
        shards(json!(200), &list),
        Rejection::ManifestMalformed,
        "a:0:100",
    );
    for size in [json!(0), json!(-100), json!(100.5), json!(1e300)] {
        let result = shards(size, &[("a:0:100", "sha256")]);
        refused(result, Rejection::ManifestMalformed, "shard_size");
    }
}

#[test]
fn a_model_of_one_file_is_listed_alone() {
    signed(&statement(&[resource(".", &sha256(b""))])).unwrap();
    let list = [resource(".", &sha256(b"")), resource("a", &sha256(b""))];
    refused(signed(&statement(&list)), Rejection::ManifestMalformed, ".");
}
