//! Answers that no Hub gives: each is refused, or given up when the limit that it meets is over.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use common::raw::{LISTING, TOKEN, assert_malformed, end_of, end_of_file, serve, whole};
use tensorgate_hub::FetchError;
use tensorgate_verify::Rejection;

const SHORT: Duration = Duration::from_millis(400);

/// A byte now and then, for ever.
fn trickle(stream: &mut TcpStream) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")?;
    loop {
        stream.write_all(b" ")?;
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn only_the_whole_as_it_is_will_do() {
    for (head, what) in [
        (
            "206 Partial Content\r\nContent-Length: 2\r\nContent-Range: bytes 0-1/2\r\n\r\n{}",
            "status 206",
        ),
        ("204 No Content\r\n\r\n", "status 204"),
        (
            "200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
            "encoded as \"gzip\"",
        ),
    ] {
        let error = end_of_file(head, |_| {}).await;
        assert_malformed(&error, what);
    }
}

#[tokio::test]
async fn a_token_that_is_said_back_is_not_shown() {
    let error = end_of(&serve(|_, stream| {
        write!(
            stream,
            "HTTP/1.1 403 Forbidden\r\nX-Error-Message: bad Bearer {TOKEN}\r\nX-Request-Id: {TOKEN}\r\nContent-Length: 0\r\n\r\n"
        )
    }), |_| {})
    .await;
    assert!(matches!(error, FetchError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("bad Bearer …"), "{error}");
    assert!(!format!("{error} {error:?}").contains(TOKEN));

    let row = LISTING.replace("README.md", &format!("../{TOKEN}"));
    let error = end_of(&serve(move |_, stream| whole(stream, &row)), |_| {}).await;
    assert_eq!(error.rejection(), Some(Rejection::FileNameUnsafe));
    assert!(!format!("{error} {error:?}").contains(TOKEN), "{error}");
}

#[tokio::test]
async fn the_limit_that_is_over_is_the_one_that_is_named() {
    let slow = serve(|_, stream| trickle(stream));
    let error = end_of(&slow, |limits| limits.window = SHORT).await;
    assert_given_up(&error, "it comes too slowly", "0.4 s");
    let error = end_of(&slow, |limits| limits.grace = SHORT).await;
    assert_given_up(&error, "the answer is not complete", "0.4 s");
    let error = end_of(&slow, |limits| limits.listing = SHORT).await;
    assert_given_up(&error, "the listing is not complete", "0.4 s");

    let file = serve(|request, stream| match request.contains("/tree/") {
        true => whole(stream, &LISTING.replace("\"size\":2", "\"size\":1000000")),
        false => trickle(stream),
    });
    let error = end_of(&file, |limits| {
        (limits.grace, limits.slowest) = (SHORT, 1 << 20);
    });
    assert_given_up(
        &error.await,
        "the time for a file of its size is over",
        "0.4 s",
    );
    let error = end_of(&file, |limits| {
        (limits.files, limits.slowest) = (SHORT, 1 << 20);
    });
    assert_given_up(&error.await, "the time for all files is over", "0.4 s");

    let silent = serve(|_, _| loop_for_ever());
    let error = end_of(&silent, |limits| {
        (limits.connect, limits.stall) = (SHORT, SHORT);
    });
    assert_given_up(&error.await, "no answer came", "0.8 s");
}

/// Heads that do not end are an end to the request.
#[tokio::test]
async fn an_endless_head_is_given_up() {
    let endpoint = serve(|_, stream| {
        loop {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
    });
    let error = end_of(&endpoint, |limits| limits.grace = SHORT).await;
    assert_given_up(&error, "the answer is not complete", "0.4 s");
    let endpoint = serve(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            stream.write_all(b"X-Header: y\r\n")?;
        }
    });
    let error = end_of(&endpoint, |_| {}).await;
    assert_malformed(&error, "message head is too large");
}

#[tokio::test]
async fn what_follows_a_body_without_end_is_given_up() {
    let endpoint = serve(|request, stream| {
        if request.contains("/tree/") {
            return whole(stream, LISTING);
        }
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n"
        )?;
        loop {
            stream.write_all(b"X-Trailer: y\r\n")?;
        }
    });
    let error = end_of(&endpoint, |_| {}).await;
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
}

fn loop_for_ever() -> std::io::Result<()> {
    loop {
        std::thread::park();
    }
}

fn assert_given_up(error: &FetchError, what: &str, after: &str) {
    assert!(matches!(error, FetchError::TimedOut { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(what) && text.contains(after), "{text}");
}
