//! Directories of a listing, which must be what git makes of the files in them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::Set;
use common::rows::{EMPTY, directory, file, listing_of, page, refusal_of};
use tensorgate_hub::FetchError;
use tensorgate_testhub::{Fault, git};
use tensorgate_verify::Rejection;

/// The rows of a commit that git made, as the Hub's API shows them.
fn rows_of_git(dir: &Path, files: &[(&str, &str, bool)]) -> Vec<String> {
    let git = |arguments: &[&str]| git(dir, arguments, b"");
    git(&["init", "-q", "--object-format=sha1"]);
    for (path, text, program) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let mode = if *program { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    git(&["add", "-A"]);
    git(&["commit", "-qm", "x"]);
    let row = |line: &str| {
        let (head, path) = line.split_once('\t').unwrap();
        let words: Vec<_> = head.split_whitespace().collect();
        let (kind, size) = match words[1] {
            "tree" => ("directory", "0"),
            _ => ("file", words[3]),
        };
        let oid = words[2];
        format!(r#"{{"type":"{kind}","oid":"{oid}","size":{size},"path":"{path}"}}"#)
    };
    let listed = git(&["ls-tree", "-r", "-t", "-l", "HEAD"]);
    listed.lines().map(row).collect()
}

/// Names whose order git and a plain sort disagree on, programs, and directories in directories.
const TRICKY: [(&str, &str, bool); 9] = [
    ("README.md", "# x", false),
    ("d/a", "1", false),
    ("d/m-y", "2", true),
    ("d/m.x", "3", false),
    ("d/m/x.json", "4", true),
    ("d/m0", "5", false),
    ("d/deep/er/y.json", "6", false),
    ("tools/one.sh", "7", true),
    ("tools/two.sh", "8", true),
];

#[tokio::test]
async fn directories_of_git_are_agreed_with() {
    let dir = tempfile::tempdir().unwrap();
    let rows = rows_of_git(dir.path(), &TRICKY);
    let listing = listing_of(page(&rows)).await.unwrap();
    assert_eq!(listing.files.len(), TRICKY.len());

    // A directory of many, in which all but two are alike.
    for base in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..40).map(|n| format!("d/{n:02}.json")).collect();
        let files: Vec<_> = (0..40)
            .map(|n| (&*names[n], "x", [3, 30].contains(&n) != base))
            .collect();
        let rows = rows_of_git(dir.path(), &files);
        assert!(listing_of(page(&rows)).await.is_ok(), "{base}");
    }
}

#[tokio::test]
async fn what_is_hidden_added_or_changed_in_a_directory_is_digest_mismatch() {
    let dir = tempfile::tempdir().unwrap();
    let rows = rows_of_git(dir.path(), &TRICKY);
    let at = |part: &str| {
        let part = format!("\"path\":\"{part}\"");
        rows.iter().position(|row| row.contains(&part)).unwrap()
    };
    let without = |part: &str| {
        let mut rows = rows.clone();
        rows.remove(at(part));
        rows
    };
    let with = |row: String| [&rows[..], &[row]].concat();
    let changed = |part: &str| {
        let mut rows = rows.clone();
        let row = &mut rows[at(part)];
        let start = row.find("\"oid\":\"").unwrap() + 7;
        row.replace_range(start..start + 40, EMPTY);
        rows
    };
    for (rows, directory) in [
        (without("d/m.x"), "d"),
        (without("tools/one.sh"), "tools"),
        (without("d/deep/er/y.json"), "d/deep/er"),
        (with(file("d/evil.json")), "d"),
        (with(file("d/deep/evil.json")), "d/deep"),
        (with(directory("d/more", EMPTY)), "d"),
        (changed("d/a"), "d"),
        (changed("d/m"), "d"),
        (changed("tools"), "tools"),
    ] {
        let error = listing_of(page(&rows)).await.unwrap_err();
        let FetchError::Rejected {
            rejection,
            subject,
            detail,
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!(*rejection, Rejection::DigestMismatch, "{error}");
        assert_eq!(&**subject, directory, "{error}");
        assert!(detail.contains("does not make its id"), "{error}");
    }
    // A mirror that lists no directories, or not all of them, is as good as it was.
    let files: Vec<_> = rows
        .iter()
        .filter(|row| row.contains("\"file\""))
        .cloned()
        .collect();
    assert!(listing_of(page(&files)).await.is_ok());
    assert!(listing_of(page(&without("d/deep"))).await.is_ok());
}

#[tokio::test]
async fn a_search_for_modes_ends() {
    let rows: Vec<_> = (0..9_999)
        .map(|n| file(&format!("d/{n:05}.json")))
        .collect();
    let body = page(&[&rows[..], &[directory("d", EMPTY)]].concat());
    let (rejection, text) = refusal_of(body).await;
    assert_eq!(rejection, Some(Rejection::DigestMismatch), "{text}");
}

#[tokio::test]
async fn a_file_that_a_hub_hides_in_a_directory_is_missed() {
    let path = "tokenizer/vocab.txt".to_owned();
    for fault in [
        Fault::ListedWithout { path: path.clone() },
        Fault::ListedPath {
            path: "tokenizer/merges.txt".into(),
        },
        Fault::ListedOid {
            path,
            oid: EMPTY.into(),
        },
    ] {
        let set = Set::new();
        set.hub.inject(fault);
        let error = set.fetch().await.unwrap_err();
        assert_eq!(
            error.rejection(),
            Some(Rejection::DigestMismatch),
            "{error}"
        );
        assert!(error.to_string().contains("\"tokenizer\""), "{error}");
        let resolved = |r: &tensorgate_testhub::Request| r.target.contains("/resolve/");
        assert!(!set.hub.requests().iter().any(resolved));
    }
}

/// Its mode is in no listing, and is none that a file has.
#[tokio::test]
async fn a_link_that_is_listed_as_a_file_is_digest_mismatch() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("d/link.json")).unwrap();
    let rows = rows_of_git(dir.path(), &TRICKY);
    assert!(rows.iter().any(|row| row.contains("d/link.json")));
    let (rejection, text) = refusal_of(page(&rows)).await;
    assert_eq!(rejection, Some(Rejection::DigestMismatch), "{text}");
    assert!(text.contains("\"d\""), "{text}");
}
