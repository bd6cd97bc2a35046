//! Headers that no Hub sends, answers that are no HTTP, and what names Xet storage.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::io::Write;

use common::faults::{end_with, header};
use common::raw::{TOKEN, assert_malformed, end_of, end_of_file, serve};
use common::{ID, Set, WEIGHTS, assert_identical};
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, Place, Port};
use tensorgate_verify::Rejection;

/// Names and sizes come from the listing, digests from the bytes: these headers are not read.
#[tokio::test]
async fn what_headers_say_of_a_file_names_and_sizes_nothing() {
    let huge = "9".repeat(10_000);
    for (name, values) in [
        (
            "ETag",
            &["\"../../x\"", "/etc/passwd", "\"\u{fc}\"", "W/\"x\"", &huge][..],
        ),
        (
            "X-Linked-Etag",
            &["../../../../x", "/etc/passwd", "", &huge],
        ),
        (
            "X-Linked-Size",
            &["0", "-1", "NaN", "18446744073709551616", &huge],
        ),
        ("X-Xet-Hash", &["../../x", "\u{fc}", &huge]),
        ("Content-Disposition", &["attachment; filename=\"../../x\""]),
        (
            "Link",
            &["<http://evil.example/>; rel=\"xet-auth\"", "garbage"],
        ),
        ("Content-Range", &["bytes 0-1/2", "garbage"]),
        ("Set-Cookie", &["a=b"]),
    ] {
        for value in values {
            let set = Set::new();
            for place in [Place::Resolve, Place::Cdn] {
                set.hub.inject(header(place, name, *value));
                set.hub.inject(header(place, name, "again"));
            }
            let fetched = set.fetch_as(Some(TOKEN)).await;
            assert_identical(&fetched.unwrap_or_else(|e| panic!("{name}: {e}")).path);
            let quarantine = set.store.path().join("quarantine/model").join(ID);
            let names = std::fs::read_dir(quarantine)
                .unwrap()
                .map(|e| e.unwrap().file_name());
            let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            assert!(
                names.iter().all(|name| name.starts_with(&set.commit)),
                "{names:?}"
            );
        }
    }
}

#[tokio::test]
async fn whatever_the_endpoint_answers_is_of_the_commit() {
    let long = "b".repeat(100_000);
    for place in [Place::Tree, Place::Resolve] {
        for said in ["../../x", "\u{fc}", "", "main", &"b".repeat(40), &long] {
            // Beside the right one, where that is said, too.
            let (set, error) = end_with([header(place, "X-Repo-Commit", said)]).await;
            assert_eq!(
                error.rejection(),
                Some(Rejection::RevisionMismatch),
                "{said}"
            );
            assert!(error.to_string().len() < 1000, "{error}");
            assert_eq!(set.hub.requests_at(Port::Cdn), []);
        }
    }
    // Of a CDN, nobody asked.
    let set = Set::new();
    set.hub
        .inject(header(Place::Cdn, "X-Repo-Commit", "b".repeat(40)));
    set.fetch().await.unwrap();
    // What a branch stands for, and what that answer is of, are one.
    let set = Set::new();
    set.hub
        .inject(header(Place::Api, "X-Repo-Commit", "b".repeat(40)));
    let hub = Hub::new(&set.config(None)).unwrap();
    let target: Target = format!("{ID}@main").parse().unwrap();
    let error = hub
        .repository_of(&target)
        .resolve("main", &Silent)
        .await
        .unwrap_err();
    assert_eq!(error.rejection(), Some(Rejection::RevisionMismatch));
    set.hub.clear_faults();
    set.hub
        .inject(header(Place::Api, "X-Repo-Commit", set.commit.clone()));
    let pinned = hub
        .repository_of(&target)
        .resolve("main", &Silent)
        .await
        .unwrap();
    assert_eq!(pinned.as_str(), set.commit);
}

/// A client that could decompress would take the header for its own, and the test would see no
/// refusal: so this also holds that no crate here turns such a feature of `reqwest` on.
#[tokio::test]
async fn no_encoding_is_taken_however_it_is_said() {
    for encodings in [
        "gzip",
        "br",
        "deflate",
        "zstd",
        "identity, gzip",
        "identity\r\nContent-Encoding: br",
        "\u{fc}",
        "",
    ] {
        let head =
            format!("200 OK\r\nContent-Encoding: {encodings}\r\nContent-Length: 2\r\n\r\n{{}}");
        let error = end_of_file(&head, |_| {}).await;
        assert_malformed(&error, "which was not asked for");
    }
}

/// What is no answer of HTTP is none, and is not asked for again.
#[tokio::test]
async fn what_is_no_http_is_malformed() {
    let many = "X-Many: x\r\n".repeat(101);
    for (answer, what) in [
        (
            "200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            "content-length",
        ),
        ("200 OK\r\nContent-Length: 2, 3\r\n\r\n{}", "content-length"),
        ("200 OK\r\nContent-Length: -2\r\n\r\n{}", "content-length"),
        ("200 OK\r\nContent-Length: 0x2\r\n\r\n{}", "content-length"),
        (
            "200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
            "content-length",
        ),
        (
            "200 OK\r\nX-Fold: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
            "header",
        ),
        ("200 OK\r\nX Space: a\r\n\r\n{}", "header"),
        ("200 OK\r\nX-Space : a\r\n\r\n{}", "header"),
        ("200 OK\r\nX-Nul: a\0b\r\n\r\n{}", "header"),
        ("200 OK\r\nno colon\r\n\r\n{}", "header"),
        ("20 OK\r\n\r\n", "status"),
        ("2000 OK\r\n\r\n", "status"),
        (&format!("200 OK\r\n{many}\r\n"), "too large"),
    ] {
        let error = end_of_file(answer, |_| {}).await;
        assert!(
            matches!(error, FetchError::Malformed { .. }),
            "{answer:?}: {error:?}"
        );
        assert!(
            error.to_string().to_lowercase().contains(what),
            "{answer:?}: {error}"
        );
    }
    for (answer, what) in [
        ("{\"no\": \"status line\"}\r\n\r\n", "invalid HTTP"),
        ("HTTP/3.0 200 OK\r\n\r\n", "invalid HTTP version"),
        ("HTTP/0.9 200 OK\r\n\r\n", "invalid HTTP version"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "invalid HTTP"),
    ] {
        let endpoint = serve(move |_, stream| write!(stream, "{answer}"));
        let error = end_of(&endpoint, |_| {}).await;
        assert_malformed(&error, what);
    }
}

/// The length of chunks is what comes; what follows them is not read.
#[tokio::test]
async fn chunks_and_what_follows_them_are_taken_as_bytes_alone() {
    let surplus = Some(Rejection::SizeMismatch);
    for (rest, ends) in [
        ("2\r\n{}\r\n0\r\nX-Repo-Commit: b\r\n\r\n", Ok(2)),
        ("2;x=y\r\n{}\r\n0\r\n\r\n", Ok(2)),
        ("2\r\n{}\r\n3\r\n...\r\n0\r\n\r\n", Err(surplus)),
        ("zz\r\n{}\r\n0\r\n\r\n", Err(None)),
        ("ffffffffffffffffff\r\n{}", Err(None)),
    ] {
        let head =
            format!("200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{rest}");
        let endpoint = serve(move |request, stream| match request.contains("/tree/") {
            true => common::raw::whole(stream, common::raw::LISTING),
            false => write!(stream, "HTTP/1.1 {head}"),
        });
        let mut config = common::config(&endpoint, None);
        config.limits.retries = 0;
        let hub = Hub::new(&config).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = tensorgate_store::Store::open(dir.path().join("store")).unwrap();
        let target = format!("{ID}@{}", "a".repeat(40)).parse().unwrap();
        let ended = fetch(&store, Some(&hub), Request::new(&target), &Silent).await;
        let ended = ended.map(|fetched| fetched.bytes);
        assert_eq!(ended.map_err(|error| error.rejection()), ends, "{rest:?}");
    }
}

/// Content in Xet storage comes by plain HTTP; nobody is asked for a token of its own.
#[tokio::test]
async fn what_is_in_xet_storage_comes_by_plain_http() {
    let set = Set::new();
    for path in [WEIGHTS, "config.json"] {
        set.hub.inject(Fault::XetHash { path: path.into() });
    }
    let auth = format!(
        "<{}/api/models/{ID}/xet-read-token/x>; rel=\"xet-auth\"",
        set.hub.endpoint()
    );
    set.hub.inject(header(Place::Resolve, "Link", auth));
    assert_identical(&set.fetch_as(Some(TOKEN)).await.unwrap().path);
    assert_eq!(set.hub.requests().len(), 9);
    for request in set.hub.requests() {
        assert_eq!(request.method, "GET");
        let known = ["/tree/", "/resolve/", "Signature="];
        assert!(
            known.iter().any(|part| request.target.contains(part)),
            "{request:?}"
        );
        assert!(!request.target.contains("xet"), "{request:?}");
    }
}

#[tokio::test]
async fn what_is_given_to_xet_clients_alone_is_said() {
    for status in [400, 404, 406, 426] {
        let (_set, error) = end_with([
            Fault::Status {
                place: Place::Resolve,
                status,
            },
            header(Place::Resolve, "X-Xet-Hash", "ab".repeat(32)),
        ])
        .await;
        let FetchError::Refused(refused) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(refused.reason, Reason::XetOnly, "{error}");
        assert!(error.to_string().contains("Xet storage"), "{error}");
        assert!(error.hint().unwrap().contains("mirror"));
    }
}
