//! Where redirects lead, and where the token goes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use common::faults::{end_with, redirect};
use common::raw::{TOKEN, assert_malformed, end_of_file};
use common::{ID, Set, WEIGHTS, assert_identical};
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, Place, Port, TestHub};

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
        ("X-Location: /a", "redirected to nowhere"),
        ("Location: /\u{fc}", "redirected to nowhere"),
        ("Location: /\t", "redirected too often"),
        ("Location: http://[", "redirected to nowhere"),
        ("Location: javascript:alert(1)", "neither http nor https"),
        ("Location: file:///etc/passwd", "neither http nor https"),
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
