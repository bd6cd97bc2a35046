//! What a Hub says when it says no, and when it says to wait.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends"
)]

mod common;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::raw::{TOKEN, end_of, serve, whole};
use common::{ID, Notes, Set, config};
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, Place};

/// What a Hub that always answers this is taken to say.
async fn refused(head: &str) -> Refused {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
    let endpoint = serve(move |_, stream| write!(stream, "{head}"));
    match end_of(&endpoint, |_| {}).await {
        FetchError::Refused(refused) => *refused,
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn every_no_has_its_reason_its_words_and_a_way_out() {
    for (head, reason, says, hint) in [
        (
            "401 x\r\nX-Error-Code: RepoNotFound",
            Reason::RepoNotFound,
            "no such repository, or it is private",
            "needs a token",
        ),
        (
            "404 x\r\nX-Error-Code: RepoNotFound",
            Reason::RepoNotFound,
            "no such repository",
            "check the id",
        ),
        (
            "401 x\r\nX-Error-Code: GatedRepo",
            Reason::Gated,
            "is gated",
            "ask for access",
        ),
        (
            "403 x\r\nX-Error-Code: GatedRepo",
            Reason::Gated,
            "is gated",
            "no access yet",
        ),
        (
            "404 x\r\nX-Error-Code: RevisionNotFound",
            Reason::RevisionNotFound,
            "no such revision",
            "squashing",
        ),
        (
            "403 x\r\nX-Error-Code: DisabledRepo",
            Reason::Disabled,
            "is disabled",
            "owner",
        ),
        (
            "403 x\r\nX-Error-Message: Access to this resource is disabled.",
            Reason::Disabled,
            "is disabled",
            "owner",
        ),
        (
            "401 x",
            Reason::Unauthorized,
            "authentication",
            "give a token",
        ),
        ("403 x", Reason::Forbidden, "forbidden", "may read"),
        ("404 x", Reason::NotFound, "not found", "check the endpoint"),
        ("410 x", Reason::NotFound, "not found", "check the endpoint"),
        (
            "407 x",
            Reason::ProxyAuthentication,
            "the proxy",
            "HTTP_PROXY",
        ),
        ("429 x", Reason::RateLimited, "rate-limited", "mirror"),
        ("451 x", Reason::Legal, "legal reasons", "support"),
        (
            "404 x\r\nX-Xet-Hash: x",
            Reason::XetOnly,
            "Xet storage",
            "mirror",
        ),
        ("500 x", Reason::Unavailable, "unavailable", "later"),
        ("503 x", Reason::Unavailable, "unavailable", "later"),
    ] {
        let refused = refused(&format!("{head}\r\nX-Request-Id: Root=1-2")).await;
        assert_eq!(refused.reason, reason, "{head}");
        let error = FetchError::from(refused.clone());
        let text = error.to_string();
        assert!(text.contains(says), "{text}");
        assert!(text.contains("request \"Root=1-2\""), "{text}");
        assert!(
            text.contains(&format!("({} at http://", refused.status)),
            "{text}"
        );
        assert!(
            error.hint().unwrap().contains(hint),
            "{head}: {:?}",
            error.hint()
        );
        assert_eq!(error.rejection(), None);
    }
    let file = refused("404 x\r\nX-Error-Code: EntryNotFound").await;
    assert_eq!(file.reason, Reason::FileNotFound);
    let other = refused("418 x").await;
    assert_eq!((other.reason, other.status), (Reason::Other, 418));
}

#[tokio::test]
async fn the_words_of_a_hub_are_cut_and_escaped() {
    let long = "x".repeat(5000);
    for (message, shown) in [
        (&*long, format!("\"{}\"", "x".repeat(200))),
        ("a\tb", "\"a\\tb\"".into()),
        ("say \"no\"", "\"say \\\"no\\\"\"".into()),
    ] {
        let text = refused(&format!("403 x\r\nX-Error-Message: {message}"))
            .await
            .to_string();
        assert!(text.contains(&shown), "{text}");
        assert!(text.len() < 500, "{text}");
    }
    // What is not ASCII is not shown at all.
    let refused = refused("403 x\r\nX-Error-Message: \u{202e}[31m\r\nX-Request-Id: \u{e9}").await;
    assert_eq!((refused.message, refused.request_id), (None, None));
}

/// Whatever a stranger puts into an answer, an error is a few lines.
#[tokio::test]
async fn no_error_is_longer_than_a_person_reads() {
    let long = "\\u001b[31mx".repeat(100_000);
    let path = format!("../{}", "x".repeat(1_000_000));
    let row = |kind: &str, size: &str, path: &str| {
        let oid = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        format!(r#"[{{"type":"{kind}","oid":"{oid}","size":{size},"path":"{path}"}}]"#)
    };
    for body in [
        row("file", "0", &path),
        row("file", &format!("\"{long}\""), "a"),
        row(&long, "0", "a"),
        row("file", "0", "a").replace("\"oid\":\"", &format!("\"oid\":\"{long}")),
        format!("{{\"{long}\":1}}"),
        format!("\"{long}\""),
    ] {
        let endpoint = serve(move |_, stream| whole(stream, &body));
        let error = end_of(&endpoint, |_| {}).await;
        let text = format!("{error} {:?}", error.hint());
        assert!(text.len() < 2000, "{} {:.100}", text.len(), text);
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}

#[tokio::test]
async fn a_token_in_disguise_is_not_shown_either() {
    // `Bearer hf_secret` and `x:hf_secret` in base64, and digits.
    for said in [
        "QmVhcmVyIGhmX3NlY3JldA==",
        "eDpoZl9zZWNyZXQ=",
        "hf%5Fsecret",
        "68665f736563726574",
    ] {
        let head = format!("403 x\r\nX-Error-Message: bad {said}\r\nX-Request-Id: {said}");
        let error = FetchError::from(refused(&head).await);
        assert!(!format!("{error} {error:?}").contains(said), "{error}");
    }
    assert_eq!(TOKEN, "hf_secret");
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_said_in_seconds_and_as_an_instant() {
    for (header, seconds) in [
        ("Retry-After: 240", 240),
        (
            "Date: Thu, 26 Nov 2026 03:00:00 GMT\r\nRetry-After: Thu, 26 Nov 2026 03:05:00 GMT",
            300,
        ),
        ("RateLimit: \"api\";r=9;t=1, \"resolvers\";r=0;t=155", 155),
        ("RateLimit: limit=100, remaining=0, reset=99", 99),
        ("RateLimit-Reset: 77", 77),
    ] {
        let refused = refused(&format!("429 x\r\n{header}")).await;
        assert_eq!(
            refused.retry_after,
            Some(Duration::from_secs(seconds)),
            "{header}"
        );
        let at = refused.retry_at.unwrap();
        let left = at.as_second() - jiff::Timestamp::now().as_second();
        let seconds_left = i64::try_from(seconds).unwrap();
        assert!((seconds_left - 60..=seconds_left).contains(&left), "{left}");
        let expected = format!("come back in {seconds} s, at {at}");
        assert!(refused.to_string().contains(&expected), "{refused}");
    }
    // What no calendar has is a number alone; what is no time was not said.
    let absurd = refused("429 x\r\nRetry-After: 18446744073709551615").await;
    assert_eq!(
        (absurd.retry_after, absurd.retry_at),
        (Some(Duration::from_secs(u64::MAX)), None)
    );
    for header in [
        "Retry-After: -1",
        "Retry-After: NaN",
        "RateLimit: \"x\";r=0;t=-1",
    ] {
        let refused = refused(&format!("429 x\r\n{header}")).await;
        assert_eq!(
            (refused.retry_after, refused.retry_at),
            (None, None),
            "{header}"
        );
    }
    // A server in trouble may say it, too; other answers do not make anybody wait.
    let busy = refused("503 x\r\nRetry-After: 300").await;
    assert_eq!(busy.retry_after, Some(Duration::from_secs(300)));
    assert!(
        busy.to_string().contains("come back in 300 s, at 20"),
        "{busy}"
    );
    assert_eq!(refused("404 x\r\nRetry-After: 5").await.retry_after, None);
}

#[tokio::test]
async fn a_short_wait_is_obeyed_and_not_to_the_second() {
    let (asked, count) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let seen = Arc::clone(&count);
    let endpoint = serve(
        move |_, stream| match seen.fetch_add(1, Ordering::Relaxed) {
            0 => write!(
                stream,
                "HTTP/1.1 429 x\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            ),
            _ => whole(stream, "[]"),
        },
    );
    let (hub, said) = (
        Hub::new(&config(&endpoint, None)).unwrap(),
        Notes::default(),
    );
    let target: Target = format!("{ID}@main").parse().unwrap();
    let revision = "a".repeat(40).parse().unwrap();
    let listing = hub
        .repository_of(&target)
        .listing(&revision, &said)
        .await
        .unwrap();
    assert!(listing.files.is_empty());
    assert_eq!(count.load(Ordering::Relaxed), 2);
    // An eighth later than asked, at least: others were told the same second.
    assert!(
        asked.elapsed() >= Duration::from_millis(1125),
        "{:?}",
        asked.elapsed()
    );
    assert!(said.all().contains("trying again in 1."), "{}", said.all());
}

#[tokio::test]
async fn a_wait_beyond_the_limit_ends_the_fetch_for_both_kinds_of_requests() {
    for place in [Place::Tree, Place::Resolve] {
        let set = Set::new();
        set.hub.inject(Fault::TooManyRequests {
            place,
            retry_after: 61,
        });
        let error = set.fetch().await.unwrap_err();
        assert!(
            error.to_string().contains("come back in 61 s, at 20"),
            "{error}"
        );
        assert!(
            matches!(&error, FetchError::Refused(no) if no.reason == Reason::RateLimited),
            "{error:?}"
        );
        assert_eq!(error.rejection(), None);
        assert!(!set.said.all().contains("trying again"));
    }
}

#[tokio::test]
async fn what_a_cdn_refuses_is_not_in_the_hubs_words() {
    for status in [400, 401, 403, 404, 410, 416] {
        let set = Set::new();
        for (name, value) in [
            ("X-Error-Code", "GatedRepo"),
            ("X-Error-Message", "Access to this resource is disabled."),
        ] {
            set.hub.inject(Fault::Header {
                place: Place::Cdn,
                name: name.into(),
                value: value.into(),
            });
        }
        let place = Place::Cdn;
        set.hub.inject(Fault::Status { place, status });
        let error = set.fetch().await.unwrap_err();
        let FetchError::Refused(refused) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(
            (refused.reason, refused.status),
            (Reason::NotFromThere, status)
        );
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("fetch it again") && !hint.contains("token"),
            "{hint}"
        );
        let text = error.to_string();
        assert!(!text.contains("Signature"), "{text}");
    }
}

/// Requests for files and when they came, since the first.
type Asked = std::sync::Mutex<Vec<(Instant, String)>>;

/// A Hub of `count` files `{}`, each answered after a while, with what `head` says for the n-th.
fn hub_of(count: usize, head: fn(usize) -> Option<&'static str>) -> (String, Arc<Asked>) {
    const OID: &str = "9e26dfeeb6e641a33dae4961196235bdb965b21b";
    let row = |n| {
        format!(
            r#"{{"type":"file","oid":"{OID}","size":2,"path":"model-{n:05}-of-00012.safetensors"}}"#
        )
    };
    let listing = format!("[{}]", (1..=count).map(row).collect::<Vec<_>>().join(","));
    let asked = Arc::new(Asked::default());
    let log = Arc::clone(&asked);
    let endpoint = serve(move |request, stream| {
        if request.contains("/tree/") {
            return whole(stream, &listing);
        }
        let number = {
            let mut log = log.lock().unwrap();
            log.push((Instant::now(), request.to_owned()));
            log.len() - 1
        };
        if let Some(head) = head(number) {
            return write!(stream, "HTTP/1.1 {head}");
        }
        std::thread::sleep(Duration::from_millis(300));
        whole(stream, "{}")
    });
    (endpoint, asked)
}

/// How many files are asked for within two seconds after the first that was, and how often it is said
/// that the others wait.
async fn asked_within_two_seconds(endpoint: &str, asked: &Asked) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let store = tensorgate_store::Store::open(dir.path().join("store")).unwrap();
    let hub = Hub::new(&config(endpoint, None)).unwrap();
    let target = format!("{ID}@{}", "a".repeat(40)).parse().unwrap();
    let said = Notes::default();
    let fetched = fetch(&store, Some(&hub), Request::new(&target), &said).await;
    assert_eq!(fetched.unwrap().files.len(), 12);
    let asked = asked.lock().unwrap();
    let soon = asked
        .iter()
        .filter(|(when, _)| *when - asked[0].0 < Duration::from_secs(2));
    (
        soon.count(),
        said.all().matches("wants not to be asked").count(),
    )
}

#[tokio::test]
async fn what_one_file_is_told_to_wait_all_wait() {
    let (endpoint, asked) = hub_of(12, |number| {
        let head = "429 x\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        (number == 0).then_some(head)
    });
    // Four were on their way together; nobody else asks before the two seconds are over.
    let (soon, told) = asked_within_two_seconds(&endpoint, &asked).await;
    assert!(soon <= 4, "{soon}");
    assert_eq!(told, 1);
}

#[tokio::test]
async fn a_limit_that_is_spent_is_waited_for_before_it_is_refused() {
    let (endpoint, asked) = hub_of(12, |number| {
        let head = "200 x\r\nRateLimit: \"resolvers\";r=0;t=2\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
        (number == 0).then_some(head)
    });
    let (soon, told) = asked_within_two_seconds(&endpoint, &asked).await;
    assert!(soon <= 4, "{soon}");
    assert_eq!(told, 1);
}

#[tokio::test]
async fn a_limit_that_is_spent_for_long_is_left_to_the_hub_to_refuse() {
    let (endpoint, asked) = hub_of(12, |number| {
        let head = "200 x\r\nRateLimit: \"resolvers\";r=0;t=3600\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
        (number == 0).then_some(head)
    });
    assert_eq!(asked_within_two_seconds(&endpoint, &asked).await.1, 0);
}
