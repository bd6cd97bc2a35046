//! Listings of a cache that somebody else wrote, each with the exact refusal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;
#[path = "common/made.rs"]
mod made;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use common::WEIGHTS;
use made::{COMMIT, Made, assert_absent, assert_refused, assert_unusable, tree};
use serde_json::{Value, json};
use tensorgate_hub::*;
use tensorgate_verify::Rejection;

/// The listing of the cache, changed in one place.
fn listing(change: impl Fn(&str, &mut Value)) -> Made {
    let made = Made::new();
    let changed = tree(|path, mut row| {
        change(path, &mut row);
        row
    });
    made.write(&format!("trees/{COMMIT}.json"), changed.to_string());
    made
}

/// The listing of the cache, as somebody else wrote it.
fn listing_of(text: impl AsRef<[u8]>) -> Made {
    let made = Made::new();
    made.write(&format!("trees/{COMMIT}.json"), text);
    made
}

#[test]
fn a_listing_that_was_changed_is_noticed() {
    let set = |of: &'static str, key: &'static str, value: Value| {
        listing(move |path, row| {
            if path == of {
                row[key] = value.clone();
            }
        })
    };
    let (id, sha256) = ("a".repeat(40), "a".repeat(64));
    for (made, expected, path) in [
        (
            set("config.json", "blob_id", id.as_str().into()),
            Rejection::DigestMismatch,
            "config.json",
        ),
        (
            set("config.json", "size", 1.into()),
            Rejection::SizeMismatch,
            "config.json",
        ),
        (
            set(WEIGHTS, "blob_id", id.as_str().into()),
            Rejection::DigestMismatch,
            WEIGHTS,
        ),
        (
            set(WEIGHTS, "lfs_sha256", sha256.into()),
            Rejection::DigestMismatch,
            WEIGHTS,
        ),
        (
            set(WEIGHTS, "lfs_size", 1.into()),
            Rejection::DigestMismatch,
            WEIGHTS,
        ),
        (
            set(WEIGHTS, "size", 1.into()),
            Rejection::DigestMismatch,
            WEIGHTS,
        ),
        (
            set("config.json", "lfs_sha256", "a".repeat(64).into()),
            Rejection::DigestMismatch,
            "config.json",
        ),
    ] {
        assert_refused(&made, expected, path);
    }
    // As a plain file the weights are the text of their pointer.
    let made = listing(|path, row| {
        if path == WEIGHTS {
            row.as_object_mut().unwrap().remove("lfs_sha256");
        }
    });
    assert_refused(&made, Rejection::DigestMismatch, WEIGHTS);
    let no_id = "not 40 lower-case hexadecimal digits";
    for (key, value, what) in [
        ("size", json!(-1), "`-1`, expected u64"),
        ("size", json!("1"), "\"1\", expected u64"),
        ("size", json!(1.5), "`1.5`, expected u64"),
        ("blob_id", json!("../../x"), no_id),
        ("blob_id", json!("A".repeat(40)), no_id),
        ("blob_id", Value::Null, "null, expected a string"),
    ] {
        let made = set("config.json", key, value);
        assert_unusable(&made, COMMIT, &format!("trees/{COMMIT}.json"), what);
    }
    let huge = set(WEIGHTS, "size", u64::MAX.into());
    assert_refused(&huge, Rejection::DigestMismatch, WEIGHTS);
    let huge = set("config.json", "size", u64::MAX.into());
    let error = huge.import().unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::TooLarge {
                value: u64::MAX,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn an_unsafe_name_in_a_listing_refuses_the_whole() {
    for path in [
        "../../../evil.json",
        "/etc/x",
        "a//b",
        ".git/config",
        "a\\b",
        "x\u{202e}y",
        "",
    ] {
        let made = listing(|_, _| {});
        let mut changed = tree(|_, row| row);
        changed["files"][path] = json!({ "size": 0, "blob_id": "a".repeat(40) });
        made.write(&format!("trees/{COMMIT}.json"), changed.to_string());
        let error = made.import().unwrap_err();
        assert_eq!(
            error.rejection(),
            Some(Rejection::FileNameUnsafe),
            "{path:?}: {error}"
        );
        assert_absent(&made, "config.json");
    }
}

#[test]
fn twins_in_a_listing_are_file_name_collision() {
    for (path, twin) in [
        ("CONFIG.json", "config.json"),
        ("config.json/x", "config.json/x"),
    ] {
        let mut changed = tree(|_, row| row);
        changed["files"][path] = json!({ "size": 0, "blob_id": "a".repeat(40) });
        let made = listing_of(changed.to_string());
        let error = made.import().unwrap_err();
        assert_eq!(
            error.rejection(),
            Some(Rejection::FileNameCollision),
            "{error}"
        );
        assert!(error.to_string().contains(twin), "{error}");
    }
    let row = format!(r#"{{"size": 0, "blob_id": "{}"}}"#, "a".repeat(40));
    let twice =
        format!(r#"{{"format_version": 1, "files": {{"a.json": {row}, "a.json": {row}}}}}"#);
    let place = format!("trees/{COMMIT}.json");
    assert_unusable(&listing_of(twice), COMMIT, &place, "a.json");
}

#[test]
fn a_listing_that_cannot_be_read_is_not_passed_over() {
    let place = format!("trees/{COMMIT}.json");
    for (text, what) in [
        ("", "EOF"),
        ("{}", "format_version"),
        ("[]", "struct Tree"),
        (
            r#"{"format_version": 2, "files": {}}"#,
            "format 2 is not known",
        ),
        (r#"{"format_version": 1, "files": []}"#, "map"),
        (r#"{"format_version": 1, "files": {}} x"#, "trailing"),
        ("\u{feff}{}", "expected value"),
    ] {
        assert_unusable(&listing_of(text), COMMIT, &place, what);
    }
    assert_unusable(&listing_of([0xff]), COMMIT, &place, "expected value");
    assert_unusable(&listing_of("[".repeat(1000)), COMMIT, &place, "recursion");
    assert_unusable(
        &listing_of(vec![b' '; (8 << 20) + 1]),
        COMMIT,
        &place,
        "more than 8388608",
    );
    let many: serde_json::Map<_, _> = (0..10_001)
        .map(|n| {
            (
                format!("{n}"),
                json!({ "size": 0, "blob_id": "a".repeat(40) }),
            )
        })
        .collect();
    let many = json!({ "format_version": 1, "files": many });
    let error = listing_of(many.to_string()).import().unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::TooLarge {
                value: 10_001,
                limit: 10_000,
                ..
            }
        ),
        "{error}"
    );
    let made = Made::new();
    fs::create_dir(made.repo("trees")).unwrap();
    symlink("../refs/main", made.repo(&place)).unwrap();
    assert_unusable(&made, COMMIT, &place, "symbolic links");
    fs::remove_file(made.repo(&place)).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(made.repo(&place))
            .status()
            .unwrap()
            .success()
    );
    assert_unusable(&made, COMMIT, &place, "no file");
}
