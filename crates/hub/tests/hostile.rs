//! Hubs that do what they should not, each with the exact refusal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use common::{ID, Set, WEIGHTS};
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, Place, Port, TestHub};
use tensorgate_verify::Rejection;

/// What a fetch ends with when the hub has this fault.
async fn end_of(fault: Fault) -> (Set, FetchError) {
    let set = Set::new();
    set.hub.inject(fault);
    let error = set.fetch().await.unwrap_err();
    (set, error)
}

async fn refusal_of(fault: Fault) -> Option<Rejection> {
    end_of(fault).await.1.rejection()
}

#[tokio::test]
async fn one_bit_less_is_digest_mismatch() {
    for path in [WEIGHTS, "config.json"] {
        let fault = Fault::ByteFlipped {
            path: path.into(),
            at: 9,
        };
        let (set, error) = end_of(fault).await;
        assert_eq!(
            error.rejection(),
            Some(Rejection::DigestMismatch),
            "{error}"
        );
        assert!(error.to_string().contains(path), "{error}");
        set.assert_absent(path);
        assert!(!set.said.all().contains("trying again"));
    }
}

#[tokio::test]
async fn bytes_that_nobody_listed_are_size_mismatch() {
    for (path, bytes) in [(WEIGHTS, 1), ("config.json", 1), (WEIGHTS, u64::MAX / 2)] {
        let fault = Fault::SurplusBytes {
            path: path.into(),
            bytes,
        };
        let (set, error) = end_of(fault).await;
        assert_eq!(error.rejection(), Some(Rejection::SizeMismatch), "{error}");
        set.assert_absent(path);
    }
}

/// Its length says that the body is whole.
#[tokio::test]
async fn fewer_bytes_than_listed_are_size_mismatch() {
    for (path, bytes) in [(WEIGHTS, 0), (WEIGHTS, 1000), ("config.json", 1)] {
        let path = path.to_owned();
        let (set, error) = end_of(Fault::BodyShort {
            path: path.clone(),
            bytes,
        })
        .await;
        assert_eq!(error.rejection(), Some(Rejection::SizeMismatch), "{error}");
        set.assert_absent(&path);
    }
}

#[tokio::test]
async fn a_broken_connection_is_no_verdict() {
    let set = Set::new();
    set.hub.inject(Fault::ConnectionCut {
        path: WEIGHTS.into(),
        after: 1000,
    });
    // With a second attempt it would go on from there.
    let mut config = set.config(None);
    config.limits.retries = 0;
    let error = set.fetch_with(&config).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert_eq!(error.rejection(), None);
    assert!(!set.place_of(WEIGHTS).exists());
    // What was complete is kept for the next time.
    set.hub.clear_faults();
    set.hub.clear_requests();
    set.fetch().await.unwrap();
    let again =
        |r: &tensorgate_testhub::Request| r.target.contains("/resolve/") && r.method == "GET";
    assert!(
        set.hub
            .requests_at(Port::Hub)
            .iter()
            .filter(|r| again(r))
            .count()
            < 5
    );
}

#[tokio::test]
async fn an_unsafe_name_anywhere_refuses_the_whole() {
    for path in [
        "../x",
        "/etc/x",
        "a/../../x",
        "a\\b",
        "a//b",
        ".git/config",
        "a\nb",
        "x/\u{202e}y",
    ] {
        let (set, error) = end_of(Fault::ListedPath { path: path.into() }).await;
        assert_eq!(
            error.rejection(),
            Some(Rejection::FileNameUnsafe),
            "{path:?}: {error}"
        );
        let resolved = |r: &tensorgate_testhub::Request| r.target.contains("/resolve/");
        assert!(!set.hub.requests().iter().any(resolved));
    }
}

#[tokio::test]
async fn names_that_could_be_one_file_refuse_the_whole() {
    for path in ["Config.JSON", "config.json", "config.json/x", "TOKENIZER"] {
        let refusal = refusal_of(Fault::ListedPath { path: path.into() }).await;
        assert_eq!(refusal, Some(Rejection::FileNameCollision), "{path:?}");
    }
}

#[tokio::test]
async fn what_the_commit_does_not_have_is_not_fetched() {
    // Of a plain file, git's id binds the content; of an LFS file, the pointer's does, and that
    // is known before anything is fetched.
    let (plain, lfs) = ("config.json", WEIGHTS);
    let oid = "0".repeat(40);
    for (fault, expected, resolved) in [
        (
            Fault::ListedOid {
                path: plain.into(),
                oid: oid.clone(),
            },
            Rejection::DigestMismatch,
            true,
        ),
        (
            Fault::ListedSize {
                path: plain.into(),
                size: 3,
            },
            Rejection::SizeMismatch,
            true,
        ),
        (
            Fault::ListedSize {
                path: plain.into(),
                size: 99,
            },
            Rejection::SizeMismatch,
            true,
        ),
        (
            Fault::ListedOid {
                path: lfs.into(),
                oid,
            },
            Rejection::DigestMismatch,
            false,
        ),
        (
            Fault::ListedSize {
                path: lfs.into(),
                size: 3,
            },
            Rejection::DigestMismatch,
            false,
        ),
        (
            Fault::ListedSha256 {
                path: lfs.into(),
                sha256: "0".repeat(64),
            },
            Rejection::DigestMismatch,
            false,
        ),
    ] {
        let (set, error) = end_of(fault.clone()).await;
        assert_eq!(error.rejection(), Some(expected), "{fault:?}: {error}");
        let requests = set.hub.requests();
        let asked = requests.iter().any(|r| r.target.contains("/resolve/"));
        assert_eq!(asked, resolved, "{fault:?}");
    }
}

#[tokio::test]
async fn digests_of_a_strange_form_are_no_digests() {
    for fault in [
        Fault::ListedOid {
            path: "config.json".into(),
            oid: "../../x".into(),
        },
        Fault::ListedSha256 {
            path: WEIGHTS.into(),
            sha256: "/etc/x".into(),
        },
    ] {
        let (_set, error) = end_of(fault).await;
        assert!(matches!(error, FetchError::Malformed { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_listing_does_not_leave_its_place_and_the_token_stays() {
    let elsewhere = TestHub::start().unwrap();
    let foreign = format!("{}/api/models/{ID}/tree/x", elsewhere.endpoint());
    for url in [
        &*foreign,
        "//evil.example/x",
        "/api/models/robots/run/tree/main",
        "file:///etc/x",
    ] {
        let set = Set::new();
        set.hub.inject(Fault::NextLink { url: url.into() });
        let error = set.fetch_as(Some("hf_secret")).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Malformed { .. }),
            "{url}: {error:?}"
        );
        assert!(
            error.to_string().contains("next page is elsewhere"),
            "{error}"
        );
    }
    assert_eq!(elsewhere.requests(), []);
}

#[tokio::test]
async fn bytes_of_another_commit_are_revision_mismatch() {
    let commit = "b".repeat(40);
    let fault = Fault::RepoCommit {
        commit: commit.clone(),
    };
    let (set, error) = end_of(fault).await;
    assert_eq!(
        error.rejection(),
        Some(Rejection::RevisionMismatch),
        "{error}"
    );
    assert!(error.to_string().contains(&commit), "{error}");
    // The redirect says so, and is not followed.
    assert_eq!(set.hub.requests_at(Port::Cdn), []);
}

#[tokio::test]
async fn what_the_disk_has_no_room_for_is_not_begun() {
    let set = Set::new();
    let (path, size) = ("README.md".into(), 1 << 60);
    set.hub.inject(Fault::ListedSize { path, size });
    let mut config = set.config(None);
    config.limits.small_file_bytes = u64::MAX;
    config.limits.total_bytes = u64::MAX;
    let (hub, target) = (Hub::new(&config).unwrap(), set.target());
    let request = Request::new(&target);
    let ended = fetch(&set.store, Some(&hub), request, &Silent).await;
    let error = ended.unwrap_err();
    assert!(
        matches!(&error, FetchError::Store(error) if error.is_disk_full()),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("free some space"));
    let resolved = |r: &tensorgate_testhub::Request| r.target.contains("/resolve/");
    assert!(!set.hub.requests().iter().any(resolved));
}

#[tokio::test]
async fn a_listing_ends() {
    let set = Set::new();
    let mut config = set.config(None);
    config.limits.pages = 2;
    let (hub, target) = (Hub::new(&config).unwrap(), set.target());
    let request = Request::new(&target);
    let error = fetch(&set.store, Some(&hub), request, &Silent)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("more than 2 pages"), "{error}");

    for shrink in [
        |limits: &mut FetchLimits| limits.entries = 8,
        |limits: &mut FetchLimits| limits.listing_bytes = 500,
        |limits: &mut FetchLimits| limits.small_file_bytes = 300_000,
        |limits: &mut FetchLimits| limits.file_bytes = 1_000_000,
        |limits: &mut FetchLimits| limits.total_bytes = 1_000_000,
    ] {
        let mut config = set.config(None);
        shrink(&mut config.limits);
        let hub = Hub::new(&config).unwrap();
        let error = fetch(&set.store, Some(&hub), request, &Silent)
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_hub_says_no_in_words_that_help() {
    let gated = Set::serving(|repository| repository.gated("hf_granted"));
    for (token, expected) in [
        (None, "then give a token"),
        (Some("hf_other"), "no access yet"),
    ] {
        let error = gated.fetch_as(token).await.unwrap_err();
        let FetchError::Refused(refused) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(refused.reason, Reason::Gated);
        assert!(
            error.hint().unwrap().contains(expected),
            "{:?}",
            error.hint()
        );
        assert!(
            error.to_string().starts_with("the repository is gated"),
            "{error}"
        );
    }

    let set = Set::new();
    let hub = Hub::new(&set.config(Some("hf_secret"))).unwrap();
    let nothing = "0".repeat(40);
    for (target, reason) in [
        (format!("robots/none@{nothing}"), Reason::RepoNotFound),
        ("robots/none@main".into(), Reason::RepoNotFound),
        (format!("{ID}@{nothing}"), Reason::RevisionNotFound),
        (format!("{ID}@none"), Reason::RevisionNotFound),
    ] {
        let parsed = target.parse().unwrap();
        let request = Request::new(&parsed);
        let error = fetch(&set.store, Some(&hub), request, &set.said)
            .await
            .unwrap_err();
        let FetchError::Refused(refused) = &error else {
            panic!("{target}: {error:?}")
        };
        assert_eq!(refused.reason, reason, "{target}");
        assert!(error.hint().is_some() && refused.request_id.is_some());
        assert_eq!(error.rejection(), None);
        assert!(!format!("{error} {error:?}").contains("hf_secret"));
    }
}

#[tokio::test]
async fn nothing_that_is_shown_opens_a_file() {
    let set = Set::new();
    set.hub.inject(Fault::Status {
        place: Place::Cdn,
        status: 500,
    });
    let error = set.fetch().await.unwrap_err();
    let shown = format!("{error} {error:?} {}", set.said.all());
    assert!(shown.contains(set.hub.cdn()), "{shown}");
    assert!(
        !shown.contains(tensorgate_testhub::CDN_SIGNATURE),
        "{shown}"
    );
}
