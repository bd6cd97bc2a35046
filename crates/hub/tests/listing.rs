//! Listings that no commit has, each with the refusal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::io::Write;

use common::raw::{assert_malformed, serve, whole};
use common::rows::{COMMIT, EMPTY, directory, file, listing_at, listing_of, page, refusal_of};
use common::{ID, Set};
use tensorgate_hub::*;
use tensorgate_testhub::Fault;
use tensorgate_verify::Rejection;

/// Each page, whatever is asked for, has one file and says that this is the next.
fn with_next(link: &'static str) -> String {
    serve(move |_, stream| {
        let body = page(&[file("a.json")]);
        let (len, link) = (body.len(), link);
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nLink: {link}\r\nContent-Length: {len}\r\n\r\n{body}"
        )
    })
}

#[tokio::test]
async fn an_empty_file_is_one() {
    let listing = listing_of(page(&[file("a.json")])).await.unwrap();
    assert_eq!(listing.files[0].size, 0);
    assert!(listing_of("[]").await.unwrap().files.is_empty());
}

#[tokio::test]
async fn a_next_page_that_was_read_already_ends_it() {
    for own in [
        "<?recursive=true>; rel=next",
        "<?recursive=true#x>; rel=next",
    ] {
        let error = listing_at(&with_next(own), |_| {}).await.unwrap_err();
        assert_malformed(&error, "its own next page");
    }

    // Two pages that name one another.
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = asked.clone();
    let endpoint = serve(move |request, stream| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let next = if request.contains("cursor=b") {
            "a"
        } else {
            "b"
        };
        let body = page(&[file(&format!("{n}.json"))]);
        let len = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nLink: <?cursor={next}>; rel=\"next\"\r\n\
             Content-Length: {len}\r\n\r\n{body}"
        )
    });
    let error = listing_at(&endpoint, |_| {}).await.unwrap_err();
    assert_malformed(&error, "its own next page");
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_next_page_is_of_the_same_place() {
    for (link, what) in [
        ("<http://evil.example/x>; rel=\"next\"", "elsewhere"),
        ("<//evil.example/x>; rel=\"next\"", "elsewhere"),
        ("<https://127.0.0.1/x>; rel=\"next\"", "elsewhere"),
        ("<file:///etc/passwd>; rel=\"next\"", "elsewhere"),
        (
            "</api/models/robots/walk/tree/main>; rel=\"next\"",
            "elsewhere",
        ),
        ("<../tree/main?a=b>; rel=\"next\"", "elsewhere"),
        (
            "</api/models/robots/walk/tree/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb>; rel=\"next\"",
            "elsewhere",
        ),
        ("<http://[>; rel=\"next\"", "its next page: invalid"),
        ("?cursor=b; rel=\"next\"", "unclear"),
        ("<?cursor=b>; rel=\"NEXT\"", "unclear"),
        ("<?cursor=b>; rel=next, <?cursor=c>; rel=next", "unclear"),
        (
            "<?cursor=b>; rel=next\r\nLink: <?cursor=c>; rel=next",
            "unclear",
        ),
        ("<?cursor=\u{fc}>; rel=next", "unclear"),
    ] {
        let error = listing_at(&with_next(link), |_| {}).await.unwrap_err();
        assert_malformed(&error, what);
    }
    // With a name or password, at the right place.
    for user in ["me@", "me:hunter2@", ":hunter2@"] {
        let set = Set::new();
        let place = set.hub.endpoint().replace("://", &format!("://{user}"));
        let url = format!("{place}/api/models/{ID}/tree/{}?cursor=3", set.commit);
        set.hub.inject(Fault::NextLink { url });
        let error = set.fetch().await.unwrap_err();
        assert_malformed(&error, "elsewhere");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn what_grows_from_page_to_page_ends() {
    // Every cursor is new, and longer.
    let growing = serve(|request, stream| {
        let asked = request.split_whitespace().nth(1).unwrap().to_owned();
        let body = page(&[file(&format!("{}.json", asked.len()))]);
        let len = body.len();
        let more = "x".repeat(3000);
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nLink: <{asked}{more}>; rel=\"next\"\r\n\
             Content-Length: {len}\r\n\r\n{body}"
        )
    });
    let error = listing_at(&growing, |_| {}).await.unwrap_err();
    assert_malformed(&error, "an address of more than 8000 bytes");

    let empty = serve(|_, stream| {
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nLink: <?b>; rel=next\r\n\
             Content-Length: 2\r\n\r\n[]"
        )
    });
    let error = listing_at(&empty, |_| {}).await.unwrap_err();
    assert_malformed(&error, "it follows an empty page");
}

#[tokio::test]
async fn more_rows_than_are_taken_are_counted_and_not_kept() {
    let rows: Vec<_> = (0..5).map(|n| file(&format!("{n}.json"))).collect();
    let body = page(&rows);
    // A fifth that is no row is not even looked at, where four are taken.
    let strange = page(&[&rows[..4], &["{}".to_owned()]].concat());
    let strange = serve(move |_, stream| whole(stream, &strange));
    let error = listing_at(&strange, |limits| limits.entries = 4).await;
    assert!(matches!(error, Err(FetchError::TooLarge { value: 5, .. })));
    let endpoint = serve(move |_, stream| whole(stream, &body));
    let at_most = |entries| listing_at(&endpoint, move |limits| limits.entries = entries);
    assert_eq!(at_most(5).await.unwrap().files.len(), 5);
    let error = at_most(4).await.unwrap_err();
    let FetchError::TooLarge { value, limit, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((value, limit), (5, 4));
    let error = listing_at(&endpoint, |limits| limits.listing_bytes = 100).await;
    assert!(matches!(
        error,
        Err(FetchError::TooLarge { limit: 100, .. })
    ));
}

#[tokio::test]
async fn rows_of_another_form_are_no_listing() {
    let row = |rest: &str| format!(r#"[{{"type":"file","path":"a.json",{rest}}}]"#);
    let oid = format!("\"oid\":\"{EMPTY}\"");
    for body in [
        row(&format!("{oid},\"size\":-1")),
        row(&format!("{oid},\"size\":1.5")),
        row(&format!("{oid},\"size\":1e3")),
        row(&format!("{oid},\"size\":18446744073709551616")),
        row(&format!("{oid},\"size\":\"1\"")),
        row(&format!("{oid},\"size\":null")),
        row(&oid),
        row(&format!("{oid},\"size\":1,\"size\":2")),
        row(&format!("{oid},{oid},\"size\":1")),
        row(&format!("{oid},\"size\":1,\"path\":\"b.json\"")),
        row(&format!("{oid},\"size\":1,\"type\":\"directory\"")),
        row(&format!("{oid},\"size\":1,\"lfs\":{{}}")),
        row(&format!("{oid},\"size\":1,\"lfs\":true")),
        row("\"size\":1"),
        row("\"oid\":7,\"size\":1"),
        row(&format!("\"oid\":\"{}\",\"size\":1", EMPTY.to_uppercase())),
        row(&format!("{oid},\"size\":1,\"x\":{}1", "[".repeat(100_000))),
        "[".repeat(100_000),
        "{}".into(),
        "null".into(),
        "".into(),
        "[] []".into(),
        "[1]".into(),
        "[[\"file\"]]".into(),
        "\u{feff}[]".into(),
    ] {
        let shown: String = body.chars().take(200).collect();
        let error = listing_of(body).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Malformed { .. }),
            "{shown}: {error:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused() {
    for kind in ["symlink", "submodule", "File", "", "commit"] {
        let row = file("a.json").replace("\"file\"", &format!("{kind:?}"));
        let (rejection, text) = refusal_of(page(&[row])).await;
        assert_eq!(rejection, Some(Rejection::FileNotRegular), "{text}");
    }
}

#[tokio::test]
async fn names_that_could_be_one_are_file_name_collision() {
    for [a, b] in [
        [file("a.json"), file("a.json")],
        [file("a.json"), file("A.JSON")],
        [file("a"), file("a/b.json")],
        [file("a"), directory("a", EMPTY)],
        [file("a"), directory("A/b", EMPTY)],
        [directory("a", EMPTY), directory("a", EMPTY)],
        [directory("a", EMPTY), directory("A", COMMIT)],
    ] {
        let (rejection, text) = refusal_of(page(&[a, b])).await;
        assert_eq!(rejection, Some(Rejection::FileNameCollision), "{text}");
    }
}

#[tokio::test]
async fn sizes_that_no_number_holds_are_too_large() {
    let huge = |path: &str| file(path).replace("\"size\":0", &format!("\"size\":{}", u64::MAX));
    let body = page(&[1, 2].map(|n| huge(&format!("model-0000{n}-of-00002.safetensors"))));
    let endpoint = serve(move |_, stream| whole(stream, &body));
    let error = common::raw::end_of(&endpoint, |limits| {
        (limits.file_bytes, limits.total_bytes) = (u64::MAX, u64::MAX - 1);
    });
    let error = error.await;
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

/// Between two pages the Hub serves another listing: the same file comes again.
#[tokio::test]
async fn a_listing_that_changes_between_two_pages_is_refused() {
    let endpoint = serve(|request, stream| {
        let first = !request.contains("cursor");
        let names = if first { ["a", "b"] } else { ["b", "c"] };
        let body = page(&names.map(|name| file(&format!("{name}.json"))));
        let link = if first {
            "Link: <?cursor=2>; rel=\"next\"\r\n"
        } else {
            ""
        };
        let len = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\n{link}Content-Length: {len}\r\n\r\n{body}"
        )
    });
    let error = listing_at(&endpoint, |_| {}).await.unwrap_err();
    assert_eq!(
        error.rejection(),
        Some(Rejection::FileNameCollision),
        "{error}"
    );
}
