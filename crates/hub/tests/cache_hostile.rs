//! Caches that somebody else wrote, or writes meanwhile, each with the exact refusal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;
#[path = "common/made.rs"]
mod made;

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use common::{ID, WEIGHTS, assert_identical};
use made::{COMMIT, Made, assert_absent, assert_refused, assert_unusable, etag};
use tensorgate_hub::*;
use tensorgate_verify::{FilePath, Rejection};

/// With the commit's listing, and where only the blobs' names speak.
fn both() -> [Made; 2] {
    [Made::listed(), Made::new()]
}

#[test]
fn what_is_made_by_hand_is_imported_when_it_is_right() {
    for made in both() {
        let imported = made.import_at("main").unwrap();
        assert_identical(&imported.path);
        assert_eq!(imported.left_out.len(), common::LEFT_OUT.len());
    }
}

#[test]
fn one_bit_in_a_blob_is_digest_mismatch() {
    for path in [WEIGHTS, "config.json", "tokenizer/vocab.txt"] {
        for made in both() {
            let mut bytes = common::file(path);
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(made.blob(path), bytes).unwrap();
            assert_refused(&made, Rejection::DigestMismatch, path);
        }
    }
}

#[test]
fn a_blob_of_another_size_is_refused_before_it_is_read() {
    for path in [WEIGHTS, "config.json"] {
        let size = common::file(path).len() as u64;
        for len in [0, size - 1, size + 1, 1 << 42] {
            let made = Made::listed();
            let blob = File::options().write(true).open(made.blob(path)).unwrap();
            blob.set_len(len).unwrap();
            let error = made.import().unwrap_err();
            let said = format!("{len} bytes are in the cache, {size} are listed");
            assert!(error.to_string().ends_with(&said), "{error}");
            assert_refused(&made, Rejection::SizeMismatch, path);
        }
    }
}

/// Four terabytes that no disk holds.
#[test]
fn a_sparse_blob_is_larger_than_anything_that_is_taken() {
    for (path, limit) in [(WEIGHTS, 64 << 30), ("config.json", 16 << 20)] {
        let made = Made::new();
        let blob = File::options().write(true).open(made.blob(path)).unwrap();
        blob.set_len(1 << 42).unwrap();
        let error = made.import().unwrap_err();
        let FetchError::TooLarge {
            value, limit: said, ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!((value, said), (1 << 42, limit));
    }
}

#[test]
fn a_link_out_of_the_cache_is_file_not_regular() {
    let secret = "{\"type\": \"mlp\"}";
    for made in both() {
        fs::write(made.dir.path().join("secret"), secret).unwrap();
        let inside = made.blob("config.json");
        for target in [
            "../../../../secret",
            made.dir.path().join("secret").to_str().unwrap(),
            inside.to_str().unwrap(),
            "/proc/self/root/etc/hostname",
            "/dev/zero",
        ] {
            made.link_to("config.json", target);
            assert_refused(&made, Rejection::FileNotRegular, "config.json");
        }
    }
}

#[test]
fn a_blob_that_leads_out_of_the_cache_is_file_not_regular() {
    for made in both() {
        fs::write(made.dir.path().join("secret"), common::file(WEIGHTS)).unwrap();
        for target in ["../../../secret", "/proc/self/fd/0"] {
            fs::remove_file(made.blob(WEIGHTS)).unwrap();
            symlink(target, made.blob(WEIGHTS)).unwrap();
            assert_refused(&made, Rejection::FileNotRegular, WEIGHTS);
        }
    }
}

#[test]
fn links_in_a_circle_are_file_not_regular() {
    for made in both() {
        made.link_to("config.json", "config.json");
        assert_refused(&made, Rejection::FileNotRegular, "config.json");
        let made = Made::new();
        let blob = made.blob("config.json");
        fs::remove_file(&blob).unwrap();
        symlink(
            made.entry("config.json").strip_prefix(made.root()).unwrap(),
            &blob,
        )
        .unwrap();
        symlink(
            format!("../snapshots/{COMMIT}/config.json"),
            made.repo("blobs/a"),
        )
        .unwrap();
        fs::remove_file(&blob).unwrap();
        symlink("a", &blob).unwrap();
        assert_refused(&made, Rejection::FileNotRegular, "config.json");
    }
}

#[test]
fn what_is_no_file_is_file_not_regular_and_nobody_waits_for_it() {
    let fifo = |path: &Path| {
        let made = Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    };
    let directory = |path: &Path| fs::create_dir(path).unwrap();
    let socket = |path: &Path| {
        // A socket's address is short, so it is made elsewhere.
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let short = dir.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&short).unwrap());
        fs::rename(short, path).unwrap();
    };
    let kinds: [&dyn Fn(&Path); 3] = [&fifo, &directory, &socket];
    for put in kinds {
        for made in both() {
            fs::remove_file(made.blob("config.json")).unwrap();
            put(&made.blob("config.json"));
            assert_refused(&made, Rejection::FileNotRegular, "config.json");
        }
        let made = Made::listed();
        fs::remove_file(made.entry("config.json")).unwrap();
        put(&made.entry("config.json"));
        assert_refused(&made, Rejection::FileNotRegular, "config.json");
    }
    let made = Made::new();
    fifo(&made.entry("pipe.json"));
    assert_refused(&made, Rejection::FileNotRegular, "pipe.json");
}

#[test]
fn a_file_of_the_commit_that_the_snapshot_lacks_is_file_missing() {
    let made = Made::listed();
    fs::remove_file(made.entry("config.json")).unwrap();
    assert_refused(&made, Rejection::FileMissing, "config.json");
    for made in both() {
        fs::remove_file(made.blob("config.json")).unwrap();
        assert_refused(&made, Rejection::FileMissing, "config.json");
    }
    // What no policy needs may be missing.
    let made = Made::listed();
    for path in common::LEFT_OUT {
        fs::remove_file(made.entry(path)).unwrap();
    }
    assert_identical(&made.import().unwrap().path);
}

#[test]
fn a_snapshot_that_leads_to_another_commit_is_digest_mismatch() {
    for made in both() {
        let other = format!("snapshots/{}/config.json", "f".repeat(40));
        made.write(&other, "{\"type\": \"act\"}");
        let name = etag("config.json", &common::file("config.json"));
        fs::remove_file(made.blob("config.json")).unwrap();
        symlink(format!("../{other}"), made.repo(&format!("blobs/{name}"))).unwrap();
        assert_refused(&made, Rejection::DigestMismatch, "config.json");
    }
    let made = Made::listed();
    made.link_to("config.json", &format!("../{}/config.json", "f".repeat(40)));
    made.write(
        &format!("snapshots/{}/config.json", "f".repeat(40)),
        "{\"type\": \"act\"}",
    );
    assert_refused(&made, Rejection::DigestMismatch, "config.json");
}

/// A xet hash has the form of a sha256 and is none; other names have not even that.
#[test]
fn a_file_that_nothing_vouches_for_needs_a_manifest() {
    let xet = "ab".repeat(32);
    for target in [
        format!("../../../blobs/ab/{xet}"),
        format!("../../../models--robots--run/blobs/{xet}"),
        "../../blobs/W%2F%22weak%22".to_owned(),
        format!("../../blobs/{}-3", "a".repeat(32)),
        format!("../../blobs/{}", "AB".repeat(20)),
        format!("../../blobs/../../blobs/ab/{xet}"),
        format!("../../blobs/./{xet}"),
        "model.bin".to_owned(),
    ] {
        let made = Made::new();
        fs::create_dir_all(made.root().join("blobs/ab")).unwrap();
        fs::create_dir_all(made.root().join("models--robots--run/blobs")).unwrap();
        let place = made.entry(&target);
        fs::write(&place, common::file(WEIGHTS)).unwrap();
        made.link_to(WEIGHTS, &target);
        let error = made.import().unwrap_err();
        assert!(
            matches!(error, FetchError::NoDigest { .. }),
            "{target}: {error}"
        );
        assert_eq!(error.rejection(), None);
        assert_absent(&made, WEIGHTS);
    }
}

#[test]
fn a_name_stands_for_a_whole_commit_id_or_for_nothing() {
    let made = Made::listed();
    for (text, what) in [
        ("", "no commit id"),
        (&COMMIT[..39], "no commit id"),
        (&format!("{COMMIT}\n"), "no commit id"),
        (&COMMIT.to_uppercase(), "no commit id"),
        (&"../".repeat(13), "no commit id"),
        (&COMMIT.repeat(2), "more than 41 bytes"),
    ] {
        made.write("refs/main", text);
        assert_unusable(&made, "main", "refs/main", what);
    }
    assert_unusable(&made, "v1", "refs/v1", "the cache knows no such name");
    fs::remove_file(made.repo("refs/main")).unwrap();
    fs::write(made.dir.path().join("id"), COMMIT).unwrap();
    symlink("../../../id", made.repo("refs/main")).unwrap();
    assert_unusable(&made, "main", "refs/main", "symbolic links");
    fs::remove_file(made.repo("refs/main")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(made.repo("refs/main"))
            .status()
            .unwrap()
            .success()
    );
    assert_unusable(&made, "main", "refs/main", "no file");
    made.write("refs/refs/pr/1", COMMIT);
    assert_identical(&made.import_at("refs/pr/1").unwrap().path);
    // A commit that the cache does not have.
    made.write("refs/next", "f".repeat(40));
    assert_unusable(
        &made,
        "next",
        &format!("snapshots/{}", "f".repeat(40)),
        "No such file",
    );
}

#[test]
fn names_in_a_snapshot_are_those_that_a_listing_may_have() {
    for name in [
        &b"a\nb.json"[..],
        b"x\xff.json",
        b"-rf.json",
        b"a\\b.json",
        b"x\xe2\x80\xae.json",
    ] {
        let made = Made::new();
        let place = made.entry("config.json");
        let place = place.with_file_name(std::ffi::OsStr::from_bytes(name));
        symlink("../../blobs/x", place).unwrap();
        let error = made.import().unwrap_err();
        assert_eq!(
            error.rejection(),
            Some(Rejection::FileNameUnsafe),
            "{error}"
        );
        assert_absent(&made, "config.json");
    }
    let made = Made::new();
    let name = etag("config.json", &common::file("config.json"));
    made.link("CONFIG.json", &name);
    let error = made.import().unwrap_err();
    assert_eq!(
        error.rejection(),
        Some(Rejection::FileNameCollision),
        "{error}"
    );
    let made = Made::new();
    made.link(&["d"; 17].join("/"), &name);
    let error = made.import().unwrap_err();
    assert_eq!(
        error.rejection(),
        Some(Rejection::FileNameUnsafe),
        "{error}"
    );
}

#[test]
fn a_snapshot_has_no_more_entries_than_a_manifest_may() {
    let made = Made::new();
    for n in 0..10_000 {
        fs::write(made.entry(&format!("{n}")), "").unwrap();
    }
    let error = made.import().unwrap_err();
    assert!(
        matches!(error, FetchError::TooLarge { limit: 10_000, .. }),
        "{error}"
    );
}

#[test]
fn a_snapshot_or_directory_that_is_a_link_is_not_entered() {
    for made in both() {
        let snapshot = made.repo(&format!("snapshots/{COMMIT}"));
        let elsewhere = made.dir.path().join("elsewhere");
        fs::rename(&snapshot, &elsewhere).unwrap();
        symlink("../../../elsewhere", &snapshot).unwrap();
        assert_unusable(
            &made,
            COMMIT,
            &format!("snapshots/{COMMIT}"),
            "symbolic links",
        );
        fs::remove_file(&snapshot).unwrap();
        fs::rename(&elsewhere, made.repo("snapshots/other")).unwrap();
        symlink("other", &snapshot).unwrap();
        assert_unusable(
            &made,
            COMMIT,
            &format!("snapshots/{COMMIT}"),
            "symbolic links",
        );
    }
    let made = Made::new();
    fs::rename(made.entry("tokenizer"), made.dir.path().join("t")).unwrap();
    symlink("../../../../t", made.entry("tokenizer")).unwrap();
    // To the walk it is one file, of no kind that policies have.
    let imported = made.import().unwrap();
    assert!(!imported.path.join("tokenizer").exists());
    let whole = Made::listed();
    fs::rename(whole.entry("tokenizer"), whole.dir.path().join("t")).unwrap();
    symlink("../../../../t", whole.entry("tokenizer")).unwrap();
    assert_refused(&whole, Rejection::FileNotRegular, "tokenizer/vocab.txt");
}

#[test]
fn there_is_a_cache_or_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for (name, what) in [("none", "No such file"), ("file", "Not a directory")] {
        let error = Cache::open(dir.path().join(name)).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert!(error.hint().unwrap().contains("--cache DIR"));
    }
}

/// Others may write to a cache: its bytes are copied and never linked.
#[test]
fn who_writes_to_the_cache_changes_nothing_that_was_imported() {
    let made = Made::listed();
    let everybody = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    everybody(&made.root(), 0o777);
    everybody(&made.blob(WEIGHTS), 0o666);
    let path = made.import().unwrap().path;
    fs::write(made.blob(WEIGHTS), "changed").unwrap();
    assert_identical(&path);
    let mode = fs::metadata(path.join(WEIGHTS))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

/// Rewrites the blob of the weights when the copy has come this far.
struct Meddler<'a> {
    when: &'static str,
    blob: &'a Path,
    bytes: &'a [u8],
}

impl Meddler<'_> {
    fn meddle(&self, now: &str, path: &FilePath) {
        if now == self.when && path.as_str() == WEIGHTS {
            fs::write(self.blob, self.bytes).unwrap();
        }
    }
}

impl Progress for Meddler<'_> {
    fn file_started(&self, path: &FilePath, _: u64) {
        self.meddle("before it is opened", path);
    }

    fn file_advanced(&self, path: &FilePath, _: u64) {
        self.meddle("when its bytes were read", path);
    }

    fn file_finished(&self, path: &FilePath) {
        self.meddle("when it has its place", path);
    }
}

/// Whatever moment the copy falls into, it is the right file or none.
#[test]
fn a_blob_that_is_rewritten_meanwhile_is_right_or_refused() {
    let good = common::file(WEIGHTS);
    let mut bad = good.clone();
    bad[500_000] ^= 1;
    let (short, long) = (&good[1..], &[&good[..], b"x"].concat()[..]);
    let (digest, size) = (Rejection::DigestMismatch, Rejection::SizeMismatch);
    let (opened, read, placed) = (
        "before it is opened",
        "when its bytes were read",
        "when it has its place",
    );
    for (when, bytes, refusal) in [
        (opened, &*bad, Some(digest)),
        (opened, short, Some(size)),
        (opened, long, Some(size)),
        (read, &bad, None),
        (read, short, None),
        (read, long, Some(size)),
        (placed, &bad, None),
        (placed, short, None),
        (placed, long, None),
    ] {
        let made = Made::listed();
        let blob = &*made.blob(WEIGHTS);
        let meddler = Meddler { when, blob, bytes };
        let target = format!("{ID}@{COMMIT}").parse().unwrap();
        let cache = Cache::open(made.root()).unwrap();
        match import(&made.store, &cache, Request::new(&target), &meddler) {
            Ok(imported) => {
                assert_eq!(refusal, None, "{when}");
                assert_identical(&imported.path);
            }
            Err(error) => {
                assert_eq!(error.rejection(), refusal, "{when}: {error:?}");
                assert_absent(&made, WEIGHTS);
            }
        }
        // It was rewritten, and not only to be.
        assert_eq!(fs::read(blob).unwrap(), bytes, "{when}");
    }
}
