//! What one file may cost: bytes, attempts and requests, whatever a server does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{ID, Notes, config};
use tensorgate_hub::*;
use tensorgate_store::Store;
use tensorgate_testhub::{Port, Repository, TestHub};
use tensorgate_verify::Rejection;

/// A README of ten bytes.
const BYTES: &str = "0123456789";
const LISTING: &str = r#"[{"type":"file","oid":"OID","size":10,"path":"README.md"}]"#;
const OID: &str = "ad471007bd7f5983d273b9584e5629230150fd54";

/// A server that answers the requests for the file one after the other, the last answer for all
/// that follow, and closes the connection each time.
struct Raw {
    endpoint: String,
    /// The `Range` of each request for the file.
    ranges: Arc<Mutex<Vec<String>>>,
    dir: tempfile::TempDir,
    said: Notes,
}

/// What is sent, and for how long the connection stays open behind it.
type Sent = (&'static str, Duration);

const AT_ONCE: Duration = Duration::ZERO;
/// Longer than any limit here: whoever waits for the end of the body does not get it.
const LONG: Duration = Duration::from_secs(60);

impl Raw {
    fn new(answers: &[Sent]) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", socket.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let (asked, answers) = (Arc::clone(&ranges), answers.to_vec());
        std::thread::spawn(move || {
            for stream in socket.incoming() {
                let (stream, asked, answers) =
                    (stream.unwrap(), Arc::clone(&asked), answers.clone());
                // Whoever gives up closes the connection.
                std::thread::spawn(move || drop(answer(stream, &asked, &answers)));
            }
        });
        let dir = tempfile::tempdir().unwrap();
        Self {
            endpoint,
            ranges,
            dir,
            said: Notes::default(),
        }
    }

    async fn fetch(&self, limit: impl FnOnce(&mut FetchLimits)) -> Result<Fetched, FetchError> {
        let mut config = config(&self.endpoint, None);
        limit(&mut config.limits);
        let hub = Hub::new(&config).unwrap();
        let store = Store::open(self.dir.path().join("store")).unwrap();
        let target = format!("{ID}@{}", "a".repeat(40)).parse().unwrap();
        fetch(&store, Some(&hub), Request::new(&target), &self.said).await
    }

    fn ranges(&self) -> Vec<String> {
        self.ranges.lock().unwrap().clone()
    }

    /// The bytes of the one part.
    fn part(&self) -> Option<Vec<u8>> {
        let below = self.dir.path().join("store/quarantine/model").join(ID);
        let parts = below.join(format!("{}.part", "a".repeat(40)));
        let mut parts = fs::read_dir(parts).unwrap();
        parts
            .next()
            .map(|part| fs::read(part.unwrap().path()).unwrap())
    }
}

fn answer(
    mut stream: TcpStream,
    asked: &Mutex<Vec<String>>,
    answers: &[Sent],
) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    let lines = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty());
    let head: Vec<String> = lines.collect();
    if head.first().is_some_and(|line| line.contains("/tree/")) {
        let listing = LISTING.replace("OID", OID);
        let len = listing.len();
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{listing}"
        );
    }
    let range = head.iter().find_map(|line| line.strip_prefix("range: "));
    let number = {
        let mut asked = asked.lock().unwrap();
        asked.push(range.unwrap_or_default().to_owned());
        asked.len() - 1
    };
    let (sent, open) = answers[number.min(answers.len() - 1)];
    write!(stream, "HTTP/1.1 {sent}")?;
    std::thread::sleep(open);
    Ok(())
}

/// The first four bytes, and the connection is cut.
const CUT: Sent = ("200 OK\r\nContent-Length: 10\r\n\r\n0123", AT_ONCE);

fn assert_rejected(error: &FetchError, rejection: Rejection, detail: &str) {
    assert_eq!(error.rejection(), Some(rejection), "{error:?}");
    assert!(error.to_string().contains(detail), "{error}");
}

/// Nobody waits for a body that is announced as too long or too short.
#[tokio::test]
async fn another_length_is_size_mismatch_before_any_byte() {
    for head in [
        "200 OK\r\nContent-Length: 9\r\n\r\n",
        "200 OK\r\nContent-Length: 11\r\n\r\n",
        "200 OK\r\nContent-Length: 0\r\n\r\n",
        "200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n",
    ] {
        let raw = Raw::new(&[(head, LONG)]);
        let error = raw.fetch(|limits| limits.stall = LONG).await.unwrap_err();
        assert_rejected(&error, Rejection::SizeMismatch, "announced, 10 are missing");
        assert_eq!((raw.ranges().len(), raw.part()), (1, None));
    }
    for (head, part) in [
        (
            "206 Partial Content\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 10\r\n\r\n",
            None,
        ),
        (
            "206 Partial Content\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 5\r\n\r\n",
            None,
        ),
        // The whole would be ten. Of what came before, nothing is known to be wrong.
        (
            "200 OK\r\nContent-Length: 6\r\n\r\n",
            Some(b"0123".to_vec()),
        ),
    ] {
        let raw = Raw::new(&[CUT, (head, LONG)]);
        let error = raw.fetch(|limits| limits.stall = LONG).await.unwrap_err();
        assert_rejected(&error, Rejection::SizeMismatch, "are missing");
        assert_eq!(raw.ranges(), ["", "bytes=4-"]);
        // From a server that knows no parts, the next fetch asks for the whole.
        assert_eq!(raw.part(), part);
    }
}

#[tokio::test]
async fn a_part_comes_alone_as_it_is_and_says_what_it_is() {
    for (head, what) in [
        (
            "206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Range: bytes 4-9/10\r\n\r\n",
            "several parts",
        ),
        (
            "206 Partial Content\r\nContent-Type: Multipart/ByteRanges\r\n\r\n",
            "several parts",
        ),
        (
            "206 Partial Content\r\nContent-Range: bytes 4-9/10\r\nContent-Range: bytes 4-9/10\r\n\r\n",
            "does not say in one Content-Range",
        ),
        (
            "206 Partial Content\r\nContent-Length: 6\r\n\r\n456789",
            "does not say in one Content-Range",
        ),
        (
            "206 Partial Content\r\nContent-Range: bytes 3-9/10\r\n\r\n",
            "bytes 3 to 9 came, bytes=4- was asked for",
        ),
        (
            "206 Partial Content\r\nContent-Range: bytes 4-9/10\r\nContent-Encoding: gzip\r\n\r\n",
            "encoded as \"gzip\"",
        ),
    ] {
        let raw = Raw::new(&[CUT, (head, AT_ONCE)]);
        let error = raw.fetch(|_| {}).await.unwrap_err();
        assert!(matches!(error, FetchError::Malformed { .. }), "{error:?}");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(raw.ranges(), ["", "bytes=4-"], "{head}");
    }
}

#[tokio::test]
async fn a_body_that_says_where_it_ends_ends_at_the_listed_size() {
    for (sent, detail) in [
        (
            "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n0\r\n\r\n",
            "fewer bytes came than the 10 listed",
        ),
        (
            "200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
            "more bytes came than the 10 listed",
        ),
        (
            "200 OK\r\nConnection: close\r\n\r\n01234567890123456789",
            "more bytes came than the 10 listed",
        ),
    ] {
        let raw = Raw::new(&[(sent, AT_ONCE)]);
        let error = raw.fetch(|_| {}).await.unwrap_err();
        assert_rejected(&error, Rejection::SizeMismatch, detail);
        assert_eq!((raw.ranges().len(), raw.part()), (1, None));
    }
}

/// The end of a connection says nothing about the file.
#[tokio::test]
async fn a_body_that_ends_with_its_connection_may_have_been_cut() {
    let rest = "206 Partial Content\r\nContent-Range: bytes 4-9/10\r\n\r\n456789";
    for first in [
        "200 OK\r\nConnection: close\r\n\r\n0123",
        "200 OK\r\nContent-Length: 10\r\n\r\n0123",
        "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n",
    ] {
        let raw = Raw::new(&[(first, AT_ONCE), (rest, AT_ONCE)]);
        let fetched = raw.fetch(|_| {}).await.unwrap();
        let bytes = fs::read_to_string(fetched.path.join("README.md"));
        assert_eq!(bytes.unwrap(), BYTES);
        assert_eq!(raw.ranges(), ["", "bytes=4-"]);
    }
}

/// It would go on for as long as the file has bytes.
#[tokio::test]
async fn a_byte_now_and_then_is_no_progress() {
    let drip = |at: usize| {
        let range = format!("206 Partial Content\r\nContent-Range: bytes {at}-9/10\r\n");
        let sent = format!("{range}Content-Length: {}\r\n\r\n{at}", 10 - at);
        let sent: &'static str = sent.leak();
        (sent, Duration::from_millis(100))
    };
    let first = ("200 OK\r\nContent-Length: 10\r\n\r\n0", AT_ONCE);
    let answers: Vec<Sent> = std::iter::once(first).chain((1..10).map(drip)).collect();
    let raw = Raw::new(&answers);
    let error = raw.fetch(|_| {}).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    let asked = raw.ranges();
    assert!(asked.len() < 7, "{asked:?}");
    assert!(raw.said.all().contains("bytes of \"README.md\" are kept"));

    // With limits that such a link meets, the same file arrives.
    let raw = Raw::new(&answers);
    let fetched = raw.fetch(|limits| limits.slowest = 1).await.unwrap();
    assert_eq!(raw.ranges().len(), 10);
    let bytes = fs::read_to_string(fetched.path.join("README.md"));
    assert_eq!(bytes.unwrap(), BYTES);
}

/// Files of a policy, as many of each kind; each of them is LFS or plain by its name.
fn policy(each: usize) -> Vec<(String, Vec<u8>)> {
    let files = |n: usize| {
        [
            (
                format!("model-{n:05}-of-{each:05}.safetensors"),
                vec![n as u8; 1000],
            ),
            (format!("step_{n}_preprocessor.json"), b"{}".to_vec()),
        ]
    };
    (0..each).flat_map(files).collect()
}

#[tokio::test]
async fn a_cold_start_asks_the_hub_no_more_than_twice_a_file_and_three_times() {
    for each in [1, 6] {
        let hub = TestHub::start().unwrap();
        let repository = Repository::new(ID).unwrap();
        hub.serve(repository.commit_files(policy(each)).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let client = Hub::new(&config(hub.endpoint(), None)).unwrap();
        let target: Target = format!("{ID}@main").parse().unwrap();
        let fetched = fetch(&store, Some(&client), Request::new(&target), &Silent).await;
        let fetched = fetched.unwrap();
        let (n, revision) = (fetched.files.len(), fetched.revision.clone());
        assert_eq!(n, 2 * each);
        let asked = hub.requests_at(Port::Hub).len();
        assert!(asked <= 2 * n + 3, "{asked} for {n}");
        // What the branch is, the listing, each file.
        assert_eq!(asked, 2 + n);
        assert_eq!(hub.requests_at(Port::Cdn).len(), each);

        // Pinned and in the store, it asks nobody.
        drop(fetched);
        hub.clear_requests();
        let target: Target = format!("{ID}@{revision}").parse().unwrap();
        let fetched = fetch(&store, Some(&client), Request::new(&target), &Silent).await;
        assert!(fetched.unwrap().from_store);
        assert_eq!(hub.requests(), []);
    }
}
