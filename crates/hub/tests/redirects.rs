//! Where redirects lead, where the token goes, and headers that no Hub sends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::io::Write;
use std::net::Ipv6Addr;

use common::raw::{assert_malformed, end_of, end_of_file, serve};
use common::{ID, Set, WEIGHTS, assert_identical};
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, Place, Port, TestHub};
use tensorgate_verify::Rejection;

const TOKEN: &str = "hf_secret";

fn header(place: Place, name: &str, value: impl Into<String>) -> Fault {
    Fault::Header {
        place,
        name: name.into(),
        value: value.into(),
    }
}

fn redirect(place: Place, to: impl Into<String>) -> [Fault; 2] {
    [
        Fault::Status { place, status: 302 },
        header(place, "Location", to),
    ]
}

async fn end_with(faults: impl IntoIterator<Item = Fault>) -> (Set, FetchError) {
    let set = Set::new();
    for fault in faults {
        set.hub.inject(fault);
    }
    let error = set.fetch_as(Some(TOKEN)).await.unwrap_err();
    (set, error)
}

#[tokio::test]
async fn an_endpoint_of_ipv6_is_one() {
    let builder = TestHub::builder().host(Ipv6Addr::LOCALHOST);
    let set = Set::built(builder, |repository| repository);
    assert!(set.hub.endpoint().starts_with("http://[::1]:"));
    assert_identical(&set.fetch_as(Some(TOKEN)).await.unwrap().path);
    let tokens = |port| {
        set.hub
            .requests_at(port)
            .iter()
            .filter(|r| r.token().is_some())
            .count()
    };
    assert_eq!(tokens(Port::Hub), set.hub.requests_at(Port::Hub).len());
    assert!(!set.hub.requests_at(Port::Cdn).is_empty());
    assert_eq!(tokens(Port::Cdn), 0);
}

/// Whoever sends us back to the endpoint does not do so in our name.
#[tokio::test]
async fn a_token_that_was_left_behind_stays_behind() {
    let set = Set::new();
    let back = format!(
        "{}/{ID}/resolve/{}/README.md?back",
        set.hub.endpoint(),
        set.commit
    );
    for fault in redirect(Place::Cdn, &back) {
        set.hub.inject(fault);
    }
    let error = set.fetch_as(Some(TOKEN)).await.unwrap_err();
    assert!(error.rejection().is_some(), "{error:?}");
    let hub = set.hub.requests_at(Port::Hub);
    let (back, ahead): (Vec<_>, Vec<_>) = hub.iter().partition(|r| r.target.contains("?back"));
    assert!(!back.is_empty() && back.iter().all(|r| r.authorization.is_none()));
    assert!(ahead.iter().all(|r| r.token() == Some(TOKEN)));
    assert!(
        set.hub
            .requests_at(Port::Cdn)
            .iter()
            .all(|r| r.authorization.is_none())
    );
}

#[tokio::test]
async fn a_token_goes_along_within_the_endpoint() {
    let set = Set::new();
    let moved = format!("/{ID}/resolve/{}/config.json?moved", set.commit);
    set.hub.inject_once(Fault::Redirect {
        path: "config.json".into(),
        url: moved,
    });
    assert_identical(&set.fetch_as(Some(TOKEN)).await.unwrap().path);
    let hub = set.hub.requests_at(Port::Hub);
    let moved: Vec<_> = hub
        .iter()
        .filter(|r| r.target.ends_with("?moved"))
        .collect();
    assert_eq!(moved.len(), 1);
    assert!(hub.iter().all(|r| r.token() == Some(TOKEN)));
}

#[tokio::test]
async fn a_token_does_not_follow_to_what_looks_like_the_endpoint() {
    let elsewhere = TestHub::start().unwrap();
    let port = elsewhere.address(Port::Hub).port();
    for url in [
        format!("http://127.0.0.1:{port}/x"),
        format!("http://localhost:{port}/x"),
        format!("http://LOCALHOST:{port}/x"),
        format!("http://127.0.0.1.:{port}/x"),
        format!("//127.1:{port}/x"),
        format!("http:\\\\127.0.0.1:{port}\\x"),
    ] {
        elsewhere.clear_requests();
        let fault = Fault::Redirect {
            path: WEIGHTS.into(),
            url: url.clone(),
        };
        let (_set, error) = end_with([fault]).await;
        assert!(matches!(error, FetchError::Refused(_)), "{url}: {error:?}");
        let requests = elsewhere.requests();
        assert_eq!(requests.len(), 1, "{url}");
        assert_eq!(requests[0].authorization, None, "{url}");
    }
}

#[tokio::test]
async fn a_listing_stays_at_the_endpoint() {
    let elsewhere = TestHub::start().unwrap();
    for to in [
        elsewhere.endpoint(),
        "https://127.0.0.1/",
        "http://localhost/",
    ] {
        let (_set, error) = end_with(redirect(Place::Tree, to)).await;
        assert_malformed(
            &error,
            "redirected to another origin, where no listing belongs",
        );
    }
    assert_eq!(elsewhere.requests(), []);
}

#[tokio::test]
async fn a_redirect_says_one_place_in_so_many_bytes() {
    let long = format!("/{}", "x".repeat(8000));
    for (location, what) in [
        ("Location: /a\r\nLocation: /b", "redirected to two places"),
        ("Location: /\u{fc}", "redirected to nowhere"),
        ("Location: /\t", "redirected too often"),
        ("Location: http://[", "redirected to nowhere"),
        ("Location: javascript:alert(1)", "neither http nor https"),
        ("Location: data:,x", "neither http nor https"),
        ("Location:", "redirected too often"),
        ("Location: //me:hunter2@127.0.0.1/", "a name or password"),
        (&format!("Location: {long}"), "more than 8000 bytes"),
    ] {
        let head =
            format!("302 Found\r\n{location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let error = end_of_file(&head, |_| {}).await;
        assert_malformed(&error, what);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn redirects_are_counted() {
    let set = Set::new();
    for fault in redirect(Place::Resolve, "?again") {
        set.hub.inject(fault);
    }
    let mut config = set.config(None);
    (config.limits.redirects, config.limits.concurrent) = (3, 1);
    let error = set.fetch_with(&config).await.unwrap_err();
    assert_malformed(&error, "redirected too often");
    let resolved = |r: &&tensorgate_testhub::Request| r.target.contains("/resolve/");
    assert_eq!(set.hub.requests().iter().filter(resolved).count(), 4);
}

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

#[tokio::test]
async fn no_encoding_is_taken_however_it_is_said() {
    for encodings in [
        "gzip",
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
