//! Networks that cut, stall, trickle, change and repeat: over real TCP, byte by byte, between the
//! fetcher and both ports of a Hub.
//!
//! Whatever becomes of a connection, a fetch ends in the right bytes or in an error, nothing wrong
//! ever has a place, and the next fetch on a good line gets everything and leaves nothing else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;
#[path = "common/signing.rs"]
mod signing;

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::ops::Range;
use std::time::Duration;

use common::raw::{LISTING, serve, whole};
use common::{ID, Set, WEIGHTS, config};
use tensorgate_hub::*;
use tensorgate_store::Store;
use tensorgate_testhub::{Flaw, Port, Repository, TestHub, Wire};
use tensorgate_verify::{Manifest, Rejection, Verified};

/// A Hub behind a wire for each of its ports.
struct Line {
    set: Set,
    hub: Wire,
    cdn: Wire,
    files: Vec<(&'static str, Vec<u8>)>,
    /// What was signed, where it was.
    manifest: Option<Verified<Manifest>>,
}

impl Line {
    fn with(files: Vec<(&'static str, Vec<u8>)>) -> Self {
        let (hub, cdn) = (Wire::new().unwrap(), Wire::new().unwrap());
        let builder = TestHub::builder()
            .seen_as(Port::Hub, hub.url())
            .seen_as(Port::Cdn, cdn.url());
        let repository = Repository::new(ID).unwrap();
        let set = Set::at(builder, repository.commit_files(files.clone()).unwrap());
        hub.lead_to(set.hub.address(Port::Hub));
        cdn.lead_to(set.hub.address(Port::Cdn));
        Self {
            set,
            hub,
            cdn,
            files,
            manifest: None,
        }
    }

    /// Somebody trusted signed these files: no listing can hide one.
    fn signed(mut self) -> Self {
        let folder = self.set.dir.path().join("published");
        fs::create_dir(&folder).unwrap();
        for (path, bytes) in &self.files {
            fs::write(folder.join(path), bytes).unwrap();
        }
        self.manifest = Some(signing::manifest(&folder, ID, &self.set.commit));
        self
    }

    /// A listing of two pages and four files, one of them at the CDN: 3,000 bytes in all.
    fn small() -> Self {
        let noise = (0..200_u32).map(|n| (n * 89 % 251) as u8).collect();
        Self::with(vec![
            ("README.md", b"# walk\n".to_vec()),
            ("config.json", b"{\"type\": \"mlp\"}".to_vec()),
            (WEIGHTS, noise),
            ("tokenizer/vocab.txt", b"a b c\n".to_vec()),
        ])
    }

    /// Weights of 600,000 bytes: more than two of the server's chunks.
    fn large() -> Self {
        let noise = (0..600_001_u32).map(|n| (n * 89 % 251) as u8).collect();
        Self::with(vec![(WEIGHTS, noise)])
    }

    /// One file at a time, so that what passes where is the same each time.
    fn config(&self, retries: u32) -> Config {
        let mut config = self.set.config(None);
        (config.limits.concurrent, config.limits.retries) = (1, retries);
        // Nobody speaks TLS here; to read the system's certificates takes longer than a fetch.
        config.roots = Some(Roots::default());
        config
    }

    async fn fetch(&self, config: &Config, store: &Store) -> Result<Fetched, FetchError> {
        let (hub, target) = (Hub::new(config).unwrap(), self.set.target());
        let request = match &self.manifest {
            Some(manifest) => Request::signed(&target, manifest),
            None => Request::new(&target),
        };
        fetch(store, Some(&hub), request, &Silent).await
    }

    /// What an honest exchange has on each wire: its connections, with the bytes of the answers.
    async fn length(&self) -> [u64; 2] {
        let begun = [&self.hub, &self.cdn].map(|wire| wire.carried().len());
        let (_dir, store) = new_store();
        drop(self.fetch(&self.config(0), &store).await.unwrap());
        let carried = [self.hub.carried(), self.cdn.carried()];
        assert_eq!(carried[0].len(), begun[0] + 1, "{carried:?}");
        [carried[0][begun[0]], carried[1][begun[1]]]
    }

    /// Fetches over whatever the wires are now. What there is afterwards is right, and on a good
    /// line it becomes all there is to have, and nothing else.
    async fn outcome(&self, config: &Config) -> Result<(), FetchError> {
        let (_dir, store) = new_store();
        let outcome = self.fetch(config, &store).await.map(drop);
        self.assert_right(&store, outcome.is_ok());
        self.hub.mend();
        self.cdn.mend();
        if outcome.is_err() {
            drop(self.fetch(&self.config(0), &store).await.unwrap());
            self.assert_right(&store, true);
        }
        outcome
    }

    /// Every file that has its place is right; if the fetch is over, all have, and nothing else
    /// is there.
    fn assert_right(&self, store: &Store, over: bool) {
        let below = store.path().join("quarantine/model").join(ID);
        let directory = below.join(&self.set.commit);
        let mut there = 0;
        for (path, bytes) in &self.files {
            match fs::read(directory.join(path)) {
                Ok(found) => assert!(found == *bytes, "{path}"),
                Err(_) => assert!(!over, "{path} is missing"),
            }
            there += usize::from(directory.join(path).exists());
        }
        assert_eq!(files_below(&directory), there, "a file that nobody listed");
        if over {
            let part = below.join(format!("{}.part", self.set.commit));
            assert_eq!(files_below(&part), 0, "parts of files that are complete");
        }
    }
}

fn files_below(directory: &std::path::Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let count = |entry: fs::DirEntry| match entry.path() {
        path if path.is_dir() => files_below(&path),
        _ => 1,
    };
    entries.map(|entry| count(entry.unwrap())).sum()
}

/// In memory where that can be: it is made some thousand times, and its disk is not what is tried.
fn new_store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
}

/// Each of the first bytes, which are of heads, and then some of all.
fn places(length: u64) -> impl Iterator<Item = u64> {
    (0..length).filter(|place| *place < 300 || place % 7 == 0)
}

#[tokio::test]
async fn a_connection_that_ends_behind_any_byte_of_the_hubs_is_made_good() {
    let line = Line::small();
    let [hub, _] = line.length().await;
    let config = line.config(1);
    for after in places(hub) {
        line.hub.spoil_once(Flaw::Closed { after });
        line.outcome(&config).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_ends_behind_any_byte_of_the_cdns_is_made_good() {
    let line = Line::small();
    let [_, cdn] = line.length().await;
    let config = line.config(1);
    for after in 0..cdn {
        line.cdn.spoil_once(Flaw::Closed { after });
        line.outcome(&config).await.unwrap();
    }
}

#[tokio::test]
async fn a_reset_at_any_byte_is_made_good() {
    let line = Line::small();
    let [hub, cdn] = line.length().await;
    let config = line.config(1);
    for after in (0..hub).step_by(11) {
        line.hub.spoil_once(Flaw::Reset { after });
        line.outcome(&config).await.unwrap();
    }
    for after in (0..cdn).step_by(5) {
        line.cdn.spoil_once(Flaw::Reset { after });
        line.outcome(&config).await.unwrap();
    }
}

/// Nothing is tried again here, so that each cut is an error, and what is kept is seen: but for
/// one behind the end of an answer, after which the next request has a connection of its own.
#[tokio::test]
async fn a_line_that_is_always_cut_is_an_error_and_no_verdict() {
    let line = Line::small();
    let [hub, cdn] = line.length().await;
    let config = line.config(0);
    let (mut cut, mut passed) = (0, 0);
    for (wire, length, step) in [(&line.hub, hub, 23), (&line.cdn, cdn, 13)] {
        for after in (0..length).step_by(step) {
            for flaw in [
                Flaw::Closed { after },
                Flaw::Reset { after },
                Flaw::HalfClosed { after },
            ] {
                wire.spoil(flaw);
                match line.outcome(&config).await {
                    Ok(()) => passed += 1,
                    Err(FetchError::Unreachable { .. }) => cut += 1,
                    Err(error) => panic!("{flaw:?}: {error:?}"),
                }
            }
        }
    }
    assert!(cut > 10 * passed, "{cut} were cut, {passed} passed");
}

/// On both sides of each chunk of the server's, 256 KiB, and of the file's end.
#[tokio::test]
async fn cuts_around_the_chunks_of_a_large_file_are_made_good() {
    let line = Line::large();
    let [_, length] = line.length().await;
    let head = length - 600_001;
    let config = line.config(3);
    for edge in [0, 1 << 18, 2 << 18, 600_001] {
        for after in (head + edge).saturating_sub(3)..(head + edge + 3).min(length) {
            for flaw in [Flaw::Closed { after }, Flaw::Reset { after }] {
                line.cdn.spoil_once(flaw);
                line.outcome(&config).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_line_that_is_cut_again_and_again_brings_a_file_piece_by_piece() {
    let line = Line::large();
    for _cut in 0..10 {
        line.cdn.spoil_once(Flaw::Reset { after: 60_000 });
    }
    let (_dir, store) = new_store();
    drop(line.fetch(&line.config(3), &store).await.unwrap());
    line.assert_right(&store, true);
    let carried: u64 = line.cdn.carried().iter().sum();
    assert!(
        carried < 2 * 600_001,
        "{carried} bytes for a file of 600,001"
    );
}

#[tokio::test]
async fn what_stalls_anywhere_is_given_up() {
    let line = Line::small();
    let [hub, cdn] = line.length().await;
    let mut config = line.config(0);
    (config.limits.stall, config.limits.connect) = (SHORT, SHORT);
    let timed_out = |outcome: Result<(), FetchError>| {
        let error = outcome.unwrap_err();
        assert!(matches!(error, FetchError::TimedOut { .. }), "{error:?}");
    };
    for after in [0, 1, 17, hub / 2, hub - 1] {
        line.hub.spoil(Flaw::Stalled { after });
        timed_out(line.outcome(&config).await);
    }
    for after in [0, 200, cdn - 1] {
        line.cdn.spoil(Flaw::Stalled { after });
        timed_out(line.outcome(&config).await);
    }
    // The second connection goes on, and has more time for it.
    let config = line.config(1);
    line.cdn.spoil_once(Flaw::Stalled { after: cdn - 1 });
    line.outcome(&config).await.unwrap();
}

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_trickle_is_given_up_or_not_as_it_is_too_slow_or_not() {
    let line = Line::large();
    let mut config = line.config(0);
    (config.limits.window, config.limits.slowest) = (SHORT, 1 << 20);
    let pause = Duration::from_millis(10);
    // 100 KB/s where 1 MiB/s is the least.
    line.cdn.spoil(Flaw::Trickled { bytes: 1000, pause });
    let error = line.outcome(&config).await.unwrap_err();
    assert!(error.to_string().contains("it comes too slowly"), "{error}");
    config.limits.slowest = 1000;
    let bytes = 16 << 10;
    line.cdn.spoil(Flaw::Trickled { bytes, pause });
    line.outcome(&config).await.unwrap();
    // Heads, too, come byte by byte.
    let line = Line::small();
    let (bytes, pause) = (1, Duration::from_micros(1));
    line.hub.spoil(Flaw::Trickled { bytes, pause });
    line.outcome(&line.config(0)).await.unwrap();
}

/// A server may wait for the end of the client's side before it answers.
#[tokio::test]
async fn whoever_ends_the_clients_side_early_changes_nothing() {
    let server = serve(|request, stream| {
        std::io::copy(stream, &mut std::io::sink())?;
        match request.contains("/tree/") {
            true => whole(stream, LISTING),
            false => whole(stream, "{}"),
        }
    });
    let wire = Wire::new().unwrap();
    wire.lead_to(server.strip_prefix("http://").unwrap().parse().unwrap());
    wire.spoil(Flaw::RequestEnds);
    let mut config = config(wire.url(), None);
    config.limits.retries = 0;
    let (hub, (_dir, store)) = (Hub::new(&config).unwrap(), new_store());
    let target = format!("{ID}@{}", "a".repeat(40)).parse().unwrap();
    let fetched = fetch(&store, Some(&hub), Request::new(&target), &Silent).await;
    let readme = fetched.unwrap().path.join("README.md");
    assert_eq!(fs::read(readme).unwrap(), b"{}");
}

#[tokio::test]
async fn one_bit_of_the_hubs_answers_is_noticed_or_means_nothing() {
    // Without a file at the CDN there is no address in these answers that a bit could change.
    let line = Line::with(vec![
        ("README.md", b"# walk\n".to_vec()),
        ("config.json", b"{\"type\": \"mlp\"}".to_vec()),
    ])
    .signed();
    let begun = line.hub.carried().len();
    line.outcome(&line.config(0)).await.unwrap();
    let length = line.hub.carried()[begun];
    let noticed = flipped(&line, &line.hub, 0..length).await;
    assert!(noticed > 100, "of {length} bits, {noticed} were noticed");
}

#[tokio::test]
async fn one_bit_of_the_cdns_answers_is_noticed_or_means_nothing() {
    let line = Line::small();
    let [_, length] = line.length().await;
    let noticed = flipped(&line, &line.cdn, 0..length).await;
    assert!(noticed >= 200, "of {length} bits, {noticed} were noticed");
}

/// How many of these flips are errors; of all, what is there afterwards is right.
async fn flipped(line: &Line, wire: &Wire, places: Range<u64>) -> usize {
    let mut config = line.config(0);
    (config.limits.stall, config.limits.connect) = (SHORT, SHORT);
    let mut noticed = 0;
    for at in places {
        wire.spoil(Flaw::Flipped { at });
        noticed += usize::from(line.outcome(&config).await.is_err());
    }
    noticed
}

#[tokio::test]
async fn what_comes_twice_is_noticed_or_means_nothing() {
    let line = Line::small();
    let [hub, cdn] = line.length().await;
    let mut config = line.config(0);
    (config.limits.stall, config.limits.connect) = (SHORT, SHORT);
    let mut refused = 0;
    for (wire, length) in [(&line.hub, hub), (&line.cdn, cdn)] {
        for at in (10..length).step_by(29) {
            wire.spoil(Flaw::Repeated { at, bytes: 10 });
            refused += usize::from(line.outcome(&config).await.is_err());
        }
    }
    assert!(refused > 20, "{refused}");
}

#[tokio::test]
async fn a_server_that_is_reached_late_is_waited_for() {
    let line = Line::small();
    line.hub.spoil(Flaw::Delayed { by: SHORT });
    line.cdn.spoil(Flaw::Delayed { by: SHORT });
    line.outcome(&line.config(0)).await.unwrap();
    let mut config = line.config(0);
    (config.limits.stall, config.limits.connect) = (SHORT / 4, SHORT / 4);
    line.hub.spoil(Flaw::Delayed { by: SHORT * 4 });
    let error = line.outcome(&config).await.unwrap_err();
    assert!(matches!(error, FetchError::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_listening_is_an_error_that_says_so() {
    let line = Line::small();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let config = config(&format!("http://{nobody}"), None);
    let (_dir, store) = new_store();
    let error = line.fetch(&config, &store).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&nobody.to_string()), "{text}");
    assert!(text.contains("onnection refused"), "{text}");
    assert!(error.hint().unwrap().contains("endpoint"));
    line.assert_right(&store, false);
    // Where the Hub answers and the CDN does not, what is plain is there already.
    line.cdn.lead_to(nobody);
    let (_dir, store) = new_store();
    let error = line.fetch(&line.config(0), &store).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    line.assert_right(&store, false);
}

#[tokio::test]
async fn ipv6_works_from_end_to_end() {
    let builder = || TestHub::builder().host(Ipv6Addr::LOCALHOST);
    let set = Set::built(builder(), |repository| repository.gated("hf_secret"));
    assert!(set.hub.endpoint().starts_with("http://[::1]:"));
    let fetched = set.fetch_as(Some("hf_secret")).await.unwrap();
    common::assert_identical(&fetched.path);
    let cdn = set.hub.requests_at(Port::Cdn);
    assert!(!cdn.is_empty() && cdn.iter().all(|request| request.authorization.is_none()));
    // A Hub of one family and a CDN of the other.
    for (hub, cdn) in [(true, false), (false, true)] {
        let at = |six| match six {
            true => Wire::at(Ipv6Addr::LOCALHOST).unwrap(),
            false => Wire::new().unwrap(),
        };
        let (hub, cdn) = (at(hub), at(cdn));
        let seen = builder().seen_as(Port::Hub, hub.url());
        let set = Set::built(seen.seen_as(Port::Cdn, cdn.url()), |repository| repository);
        hub.lead_to(set.hub.address(Port::Hub));
        cdn.lead_to(set.hub.address(Port::Cdn));
        common::assert_identical(&set.fetch().await.unwrap().path);
        assert!(!cdn.carried().is_empty());
    }
}

/// The pages of a listing come in another order than they have: each names the one before it.
#[tokio::test]
async fn pages_in_another_order_are_all_there_or_refused() {
    let set = Set::new();
    let pages = pages(&set).await;
    assert_eq!(pages.len(), 3);
    let backwards: Vec<_> = pages.iter().rev().cloned().collect();
    let fetched = fetch_pages(&set, backwards).await.unwrap();
    common::assert_identical(&fetched.path);
    drop(fetched);
    // One page is answered with another one, so that one is twice and one is not at all.
    for (page, by) in [(0, 2), (1, 0), (2, 1)] {
        let mut mixed = pages.clone();
        mixed[page] = pages[by].clone();
        let error = fetch_pages(&set, mixed).await.unwrap_err();
        let expected = Some(Rejection::FileNameCollision);
        assert_eq!(error.rejection(), expected, "{page} by {by}: {error}");
    }
}

/// The rows of each page of the Hub's listing.
async fn pages(set: &Set) -> Vec<String> {
    let url = format!("{}/api/models/{ID}/tree/{}", set.hub.endpoint(), set.commit);
    let client = reqwest::Client::new();
    let mut pages = Vec::new();
    for cursor in [0, 3, 6] {
        let page = format!("{url}?recursive=true&limit=3&cursor={cursor}");
        let page = client.get(page).send().await.unwrap();
        pages.push(page.text().await.unwrap());
    }
    pages
}

/// From a Hub that lists these pages and sends readers of files to the honest one.
async fn fetch_pages(set: &Set, pages: Vec<String>) -> Result<Fetched, FetchError> {
    use std::io::Write as _;
    let files = set.hub.endpoint().to_owned();
    let endpoint = serve(move |request, stream| {
        let target = request.split(' ').nth(1).unwrap();
        if !target.contains("/tree/") {
            return write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: {files}{target}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            );
        }
        let page = target
            .rsplit_once("page=")
            .map_or(0, |(_, page)| page.parse().unwrap());
        let (path, _) = target.split_once('?').unwrap();
        if page + 1 == pages.len() {
            return whole(stream, &pages[page]);
        }
        let (body, next) = (&pages[page], page + 1);
        let len = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nLink: <{path}?page={next}>; rel=\"next\"\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{body}"
        )
    });
    let hub = Hub::new(&config(&endpoint, None)).unwrap();
    let store = Store::open(tempfile::tempdir_in(set.dir.path()).unwrap().keep()).unwrap();
    let target = set.target();
    fetch(&store, Some(&hub), Request::new(&target), &Silent).await
}
