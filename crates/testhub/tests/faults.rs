//! Each fault shows as it says, and nowhere else. Named by what a client must refuse.
#![cfg(test)] // so that clippy takes the helpers for tests, too

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{ID, file};
use serde_json::Value;
use tensorgate_testhub::{CDN_SIGNATURE, Error, Fault, Place, Repository, TestHub};

const PLAIN: &str = "vocab.txt";
const LFS: &str = "model.safetensors";

#[test]
fn a_flipped_byte_leaves_size_and_headers() {
    for path in [PLAIN, LFS] {
        let (hub, _) = common::hub();
        let honest = fetch(&hub, path, None);
        hub.inject(Fault::ByteFlipped {
            path: path.into(),
            at: 262_150,
        });
        let flipped = fetch(&hub, path, None);
        assert_eq!(flipped.header("etag"), honest.header("etag"));
        let different: Vec<_> = (0..honest.body.len())
            .filter(|index| honest.body[*index] != flipped.body[*index])
            .collect();
        assert_eq!(
            (different, flipped.body.len()),
            (vec![262_150], honest.body.len()),
            "{path}"
        );
        let part = fetch(&hub, path, Some("bytes=262149-262151"));
        assert_eq!(part.body, flipped.body[262_149..262_152], "{path}");
    }
}

#[test]
fn a_cut_closes_the_connection_early() {
    for path in [PLAIN, LFS] {
        for after in [0, 1000, 270_000] {
            let (hub, _) = common::hub();
            hub.inject(Fault::ConnectionCut {
                path: path.into(),
                after,
            });
            let cut = fetch(&hub, path, None);
            assert_eq!(cut.length(), file(path).len(), "{path}");
            assert_eq!(cut.body, file(path)[..after as usize], "{path} {after}");
            // The count is of each answer's own bytes, so a client that resumes gets on.
            let resumed = fetch(&hub, path, Some("bytes=299000-"));
            let rest = &file(path)[299_000..];
            assert_eq!(
                resumed.body,
                rest[..rest.len().min(after as usize)],
                "{path} {after}"
            );
        }
    }
}

#[test]
fn a_stall_keeps_the_connection_open() {
    let (hub, _) = common::hub();
    hub.inject(Fault::BodyStalled {
        path: LFS.into(),
        after: 300_000,
    });
    let (head, mut socket) = open(&cdn_address(&hub), "GET", &cdn_target(LFS), None);
    assert!(head.contains("content-length: 600001"), "{head}");
    let mut body = vec![0; 300_000];
    socket.read_exact(&mut body).unwrap();
    assert_eq!(body, file(LFS)[..300_000]);
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let silence = socket.read(&mut [0]).unwrap_err();
    assert_eq!(silence.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_body_that_is_held_goes_on_once_the_faults_are_cleared() {
    for (path, address, target) in [
        (PLAIN, hub_address as fn(&TestHub) -> String, resolve(PLAIN)),
        (LFS, cdn_address, cdn_target(LFS)),
    ] {
        let (hub, _) = common::hub();
        let after = 270_000;
        hub.inject(Fault::BodyHeld {
            path: path.into(),
            after: after as u64,
        });
        let (_, mut socket) = open(&address(&hub), "GET", &target, None);
        let mut body = vec![0; after];
        socket.read_exact(&mut body).unwrap();
        let moment = Duration::from_millis(100);
        socket.set_read_timeout(Some(moment)).unwrap();
        let kind = socket.read(&mut [0]).unwrap_err().kind();
        assert!([ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&kind));
        socket.set_read_timeout(None).unwrap();
        hub.clear_faults();
        let mut rest = vec![0; file(path).len() - after];
        socket.read_exact(&mut rest).unwrap();
        assert_eq!([body, rest].concat(), file(path), "{path}");
    }
}

#[tokio::test]
async fn a_dropped_hub_has_closed_its_ports_and_connections() {
    let (hub, _) = common::hub();
    hub.inject(Fault::BodyStalled {
        path: PLAIN.into(),
        after: 10,
    });
    let address = hub_address(&hub);
    let (_, mut stalled) = open(&address, "GET", &resolve(PLAIN), None);
    drop(hub);
    let mut rest = Vec::new();
    stalled.read_to_end(&mut rest).unwrap();
    let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
    assert_eq!(
        TestHub::builder().port(port).start().unwrap().endpoint(),
        format!("http://{address}")
    );
}

#[test]
fn an_ignored_range_gets_the_whole_file() {
    let (hub, _) = common::hub();
    hub.inject(Fault::RangeIgnored { path: LFS.into() });
    let whole = fetch(&hub, LFS, Some("bytes=5-9"));
    assert_eq!((whole.status(), whole.body), (200, file(LFS)));
    assert_eq!(fetch(&hub, PLAIN, Some("bytes=5-9")).status(), 206);
}

#[test]
fn a_part_is_said_to_be_another() {
    let (hub, _) = common::hub();
    for path in [PLAIN, LFS] {
        for (value, header) in [("bytes 0-1/2", Some("bytes 0-1/2")), ("", None)] {
            hub.inject_once(Fault::ContentRange {
                path: path.into(),
                value: value.into(),
            });
            let part = fetch(&hub, path, Some("bytes=5-9"));
            assert_eq!(part.header("content-range"), header, "{path}");
            assert_eq!((part.status(), &*part.body), (206, &file(path)[5..10]));
        }
        let honest = fetch(&hub, path, Some("bytes=5-9"));
        let expected = format!("bytes 5-9/{}", file(path).len());
        assert_eq!(honest.header("content-range"), Some(&*expected), "{path}");
    }
}

#[test]
fn a_body_that_is_held_back_takes_its_time_and_is_whole() {
    let (hub, _) = common::hub();
    hub.inject(Fault::Throttled {
        path: LFS.into(),
        bytes_per_second: 1_000_000,
    });
    let began = Instant::now();
    assert_eq!(fetch(&hub, LFS, None).body, file(LFS));
    // All but the last of the fifty pieces of a second.
    assert!(began.elapsed() >= Duration::from_millis(580));
}

#[test]
fn a_short_body_ends_where_its_length_says() {
    let (hub, _) = common::hub();
    hub.inject(Fault::BodyShort {
        path: LFS.into(),
        bytes: 1000,
    });
    let short = fetch(&hub, LFS, None);
    assert_eq!(
        (short.length(), short.body),
        (1000, file(LFS)[..1000].to_vec())
    );
}

#[test]
fn a_redirect_leads_where_it_was_told() {
    let (hub, _) = common::hub();
    for path in [PLAIN, LFS] {
        hub.inject_once(Fault::Redirect {
            path: path.into(),
            url: "http://foreign.invalid/".into(),
        });
        let away = get(&hub, &resolve(path));
        assert_eq!(
            (away.status(), away.header("location")),
            (302, Some("http://foreign.invalid/"))
        );
    }
}

#[test]
fn surplus_bytes_follow_the_file() {
    let (hub, _) = common::hub();
    hub.inject(Fault::SurplusBytes {
        path: LFS.into(),
        bytes: 300_000,
    });
    let longer = fetch(&hub, LFS, None);
    assert_eq!(longer.length(), longer.body.len());
    let (body, surplus) = longer.body.split_at(file(LFS).len());
    assert_eq!((body, surplus), (&file(LFS)[..], &[0; 300_000][..]));
    let part = fetch(&hub, LFS, Some("bytes=600000-"));
    assert_eq!((part.status(), part.body.len()), (206, 300_001));
}

#[test]
fn a_body_without_end_does_not_end() {
    let (hub, _) = common::hub();
    hub.inject(Fault::SurplusBytes {
        path: "config.json".into(),
        bytes: u64::MAX / 2,
    });
    hub.inject(Fault::ConnectionCut {
        path: "config.json".into(),
        after: 3_000_000,
    });
    let endless = fetch(&hub, "config.json", None);
    assert_eq!(
        (endless.body.len(), endless.length()),
        (3_000_000, usize::MAX / 2 + 15)
    );
}

#[test]
fn an_error_status_comes_once_or_until_cleared() {
    let (hub, _) = common::hub();
    let url = resolve(PLAIN);
    hub.inject_once(Fault::Status {
        place: Place::Resolve,
        status: 503,
    });
    assert_eq!(
        [get(&hub, &url).status(), get(&hub, &url).status()],
        [503, 200]
    );
    hub.inject(Fault::Status {
        place: Place::Cdn,
        status: 500,
    });
    assert_eq!(get(&hub, &url).status(), 200);
    assert_eq!(
        [
            fetch(&hub, LFS, None).status(),
            fetch(&hub, LFS, None).status()
        ],
        [500, 500]
    );
    hub.clear_faults();
    assert_eq!(fetch(&hub, LFS, None).status(), 200);
}

#[test]
fn too_many_requests_says_when_to_come_back() {
    let (hub, _) = common::hub();
    hub.inject_once(Fault::TooManyRequests {
        place: Place::Tree,
        retry_after: 2,
    });
    let (tree, api) = (
        format!("/api/models/{ID}/tree/main"),
        format!("/api/models/{ID}"),
    );
    assert_eq!(get(&hub, &api).status(), 200);
    let limited = get(&hub, &tree);
    assert_eq!(
        (limited.status(), limited.header("retry-after")),
        (429, Some("2"))
    );
    assert_eq!(limited.header("ratelimit"), Some("\"resolvers\";r=0;t=2"));
    assert_eq!(get(&hub, &tree).status(), 200);
}

#[test]
fn a_hostile_path_is_listed_beside_the_files() {
    let (hub, _) = common::hub();
    hub.inject(Fault::ListedPath {
        path: "../../evil.txt".into(),
    });
    let rows = listing(&hub);
    assert_eq!(rows.last().unwrap()["path"], "../../evil.txt");
    assert_eq!(rows.len(), 13);
}

#[test]
fn listed_sizes_and_digests_are_as_asked() {
    let (hub, _) = common::hub();
    let (oid, sha256) = ("0".repeat(40), "1".repeat(64));
    hub.inject(Fault::ListedSize {
        path: PLAIN.into(),
        size: 7,
    });
    hub.inject(Fault::ListedOid {
        path: PLAIN.into(),
        oid: oid.clone(),
    });
    hub.inject(Fault::ListedSha256 {
        path: LFS.into(),
        sha256: sha256.clone(),
    });
    let rows = listing(&hub);
    let row = |path| rows.iter().find(|row| row["path"] == path).unwrap();
    assert_eq!(
        (&row(PLAIN)["size"], &row(PLAIN)["oid"]),
        (&Value::from(7), &Value::from(oid))
    );
    assert_eq!(row(LFS)["lfs"]["oid"], Value::from(sha256));
    assert_eq!(row(LFS)["size"], Value::from(file(LFS).len()));
    assert_eq!(fetch(&hub, PLAIN, None).body, file(PLAIN));
}

#[test]
fn a_next_link_leads_where_it_was_told() {
    let (hub, _) = common::hub();
    hub.inject(Fault::NextLink {
        url: "http://foreign.invalid/next".into(),
    });
    let page = get(&hub, &format!("/api/models/{ID}/tree/main?recursive=true"));
    assert_eq!(
        page.header("link"),
        Some("<http://foreign.invalid/next>; rel=\"next\"")
    );
}

#[test]
fn another_commit_is_named_for_plain_and_lfs_files() {
    let (hub, _) = common::hub();
    hub.inject(Fault::RepoCommit {
        commit: "b".repeat(40),
    });
    for path in [PLAIN, LFS] {
        let said = get(&hub, &resolve(path));
        assert_eq!(
            said.header("x-repo-commit"),
            Some(&*"b".repeat(40)),
            "{path}"
        );
    }
}

#[test]
fn a_xet_hash_is_named_by_both_ports_and_for_one_file() {
    let (hub, _) = common::hub();
    hub.inject(Fault::XetHash { path: LFS.into() });
    let hash = "ab".repeat(32);
    for answer in [get(&hub, &resolve(LFS)), fetch(&hub, LFS, None)] {
        assert_eq!(answer.header("x-xet-hash"), Some(&*hash));
    }
    assert_eq!(fetch(&hub, PLAIN, None).header("x-xet-hash"), None);
}

#[test]
fn a_fault_that_would_never_show_is_refused() {
    let (hub, _) = common::hub();
    let size = file(PLAIN).len() as u64;
    let flip = |path: &str, at| Fault::ByteFlipped {
        path: path.into(),
        at,
    };
    let cut = |after| Fault::ConnectionCut {
        path: PLAIN.into(),
        after,
    };
    for shows in [flip(PLAIN, size - 1), flip(LFS, 0), cut(0), cut(size)] {
        hub.require_effect(&shows).unwrap();
    }
    for never in [flip("none.txt", 0), flip(PLAIN, size), cut(size + 1)] {
        let error = hub.require_effect(&never).unwrap_err();
        assert!(matches!(error, Error::FaultNowhere { .. }), "{error}");
    }
}

#[test]
fn a_file_that_was_changed_after_its_commit_is_not_served_as_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, "{}").unwrap();
    let repository = Repository::new(ID).unwrap();
    let hub = TestHub::start().unwrap();
    hub.serve(repository.commit_dir(dir.path()).unwrap());
    assert_eq!(get(&hub, &resolve("config.json")).body, b"{}");
    std::fs::write(&path, "[]").unwrap();
    let answer = get(&hub, &resolve("config.json"));
    assert_eq!(answer.status(), 500);
    let said = String::from_utf8(answer.body).unwrap();
    assert!(
        said.contains("was changed after it was committed"),
        "{said}"
    );
}

#[test]
fn a_head_does_not_use_up_a_fault_of_the_body() {
    let (hub, _) = common::hub();
    hub.inject_once(Fault::ByteFlipped {
        path: PLAIN.into(),
        at: 0,
    });
    assert_eq!(
        exchange(&hub_address(&hub), "HEAD", &resolve(PLAIN), None).length(),
        300_000
    );
    assert_ne!(fetch(&hub, PLAIN, None).body, file(PLAIN));
    assert_eq!(fetch(&hub, PLAIN, None).body, file(PLAIN));
}

#[test]
fn the_command_line_forms_are_read() {
    let path = || "a@b/model.bin".to_owned();
    assert_eq!(
        "flip:a@b/model.bin@9".parse::<Fault>().unwrap(),
        Fault::ByteFlipped {
            path: path(),
            at: 9
        }
    );
    assert_eq!(
        "cut:x".parse::<Fault>().unwrap(),
        Fault::ConnectionCut {
            path: "x".into(),
            after: 1
        }
    );
    assert_eq!(
        "stall:x@0".parse::<Fault>().unwrap(),
        Fault::BodyStalled {
            path: "x".into(),
            after: 0
        }
    );
    assert_eq!(
        "surplus:x".parse::<Fault>().unwrap(),
        Fault::SurplusBytes {
            path: "x".into(),
            bytes: 1
        }
    );
    for wrong in ["flip", "melt:x", "flip:x@y", ""] {
        assert!(
            wrong
                .parse::<Fault>()
                .unwrap_err()
                .to_string()
                .contains(&format!("{wrong:?}"))
        );
    }
}

/// A raw answer: reqwest would hide where a body ended.
struct Raw {
    head: String,
    body: Vec<u8>,
}

impl Raw {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let line = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.map(str::trim_end)
    }

    fn length(&self) -> usize {
        self.header("content-length").unwrap().parse().unwrap()
    }
}

/// The file's own answer, from the port that serves its body.
fn fetch(hub: &TestHub, path: &str, range: Option<&str>) -> Raw {
    match path {
        LFS => exchange(&cdn_address(hub), "GET", &cdn_target(path), range),
        _ => exchange(&hub_address(hub), "GET", &resolve(path), range),
    }
}

fn get(hub: &TestHub, target: &str) -> Raw {
    exchange(&hub_address(hub), "GET", target, None)
}

fn listing(hub: &TestHub) -> Vec<Value> {
    let pages = ["", "&cursor=4", "&cursor=8", "&cursor=12"];
    let url = format!("/api/models/{ID}/tree/main?recursive=true");
    let page =
        |cursor| serde_json::from_slice::<Vec<Value>>(&get(hub, &format!("{url}{cursor}")).body);
    pages
        .into_iter()
        .flat_map(|cursor| page(cursor).unwrap())
        .collect()
}

fn resolve(path: &str) -> String {
    format!("/{ID}/resolve/main/{path}")
}

fn cdn_target(path: &str) -> String {
    let commit = &common::repository(ID).commits()[1];
    format!("/models/{ID}/{commit}/{path}?Signature={CDN_SIGNATURE}")
}

fn hub_address(hub: &TestHub) -> String {
    hub.endpoint().strip_prefix("http://").unwrap().to_owned()
}

fn cdn_address(hub: &TestHub) -> String {
    hub.cdn().strip_prefix("http://").unwrap().to_owned()
}

/// Reads `Content-Length` bytes, or as many as come before the connection ends.
fn exchange(address: &str, method: &str, target: &str, range: Option<&str>) -> Raw {
    let (head, socket) = open(address, method, target, range);
    let mut raw = Raw {
        head,
        body: Vec::new(),
    };
    if method != "HEAD" {
        socket
            .take(raw.length() as u64)
            .read_to_end(&mut raw.body)
            .unwrap();
    }
    raw
}

/// Sends a request and reads the head of the answer, no byte more.
fn open(address: &str, method: &str, target: &str, range: Option<&str>) -> (String, TcpStream) {
    let mut socket = TcpStream::connect(address).unwrap();
    let range = range.map_or_else(String::new, |range| format!("Range: {range}\r\n"));
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{range}\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    (String::from_utf8(head).unwrap(), socket)
}
