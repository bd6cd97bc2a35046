//! A Hub that does what it should: what is fetched, how often it is asked, who sees the token.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::process::Command;

use common::{ID, LEFT_OUT, Set, WEIGHTS, assert_identical, config, names};
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, Place, Port};

#[tokio::test]
async fn a_commit_arrives_bit_for_bit() {
    let set = Set::new();
    let fetched = set.fetch().await.unwrap();
    assert_identical(&fetched.path);
    assert_eq!(fetched.revision.as_str(), set.commit);
    assert_eq!(names(&fetched.left_out), LEFT_OUT);
    assert!(!fetched.from_store);
    let wanted = common::files();
    let wanted: Vec<_> = wanted
        .iter()
        .filter(|(name, _)| !LEFT_OUT.contains(name))
        .collect();
    let bytes: usize = wanted.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(fetched.bytes, bytes as u64);
    let expected: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
    assert_eq!(names(fetched.files.iter().map(|file| &file.path)), expected);
}

#[tokio::test]
async fn the_token_goes_to_the_hub_and_not_to_the_cdn() {
    let set = Set::serving(|repository| repository.gated("hf_secret"));
    set.fetch_as(Some("hf_secret")).await.unwrap();
    let (hub, cdn) = (
        set.hub.requests_at(Port::Hub),
        set.hub.requests_at(Port::Cdn),
    );
    assert!(
        !hub.is_empty()
            && hub
                .iter()
                .all(|request| request.token() == Some("hf_secret"))
    );
    assert!(!cdn.is_empty() && cdn.iter().all(|request| request.authorization.is_none()));
    let agents = hub
        .iter()
        .chain(&cdn)
        .map(|request| request.user_agent.as_deref());
    assert!(
        agents
            .flatten()
            .all(|agent| agent.starts_with("tensorgate/"))
    );
}

#[tokio::test]
async fn no_more_is_asked_than_there_is_to_know() {
    let set = Set::new();
    let hub = Hub::new(&set.config(None)).unwrap();
    let target = set.target();
    fetch(&set.store, Some(&hub), Request::new(&target), &Silent)
        .await
        .unwrap();
    let asked = |part: &str| {
        let requests = set.hub.requests_at(Port::Hub);
        requests
            .iter()
            .filter(|request| request.target.contains(part))
            .count()
    };
    // Seven files and two directories, three rows on a page; five files, one of them at the CDN.
    assert_eq!(asked("/tree/"), 3);
    assert_eq!(asked("/resolve/"), 5);
    assert_eq!(set.hub.requests_at(Port::Hub).len(), 8);
    assert_eq!(set.hub.requests_at(Port::Cdn).len(), 1);
    assert_eq!(hub.requests(), 9);
}

#[tokio::test]
async fn a_hit_asks_nothing_and_reads_everything() {
    let set = Set::new();
    drop(set.fetch().await.unwrap());
    set.hub.clear_requests();
    for offline in [false, true] {
        let fetched = match offline {
            false => set.fetch().await.unwrap(),
            true => set.fetch_offline().await.unwrap(),
        };
        assert!(fetched.from_store);
        assert_eq!(fetched.bytes, 0);
        assert_eq!(names(&fetched.left_out), LEFT_OUT);
        assert_identical(&fetched.path);
    }
    assert_eq!(set.hub.requests(), []);
}

#[tokio::test]
async fn a_damaged_file_is_fetched_again_and_no_other() {
    let set = Set::new();
    let path = set.fetch().await.unwrap().path.join("config.json");
    fs::write(&path, b"{\"type\": \"bad\"}").unwrap();
    set.hub.clear_requests();
    let fetched = set.fetch().await.unwrap();
    assert_identical(&fetched.path);
    assert!(!fetched.from_store);
    assert!(set.said.all().contains("\"config.json\" is damaged"));
    let resolved: Vec<_> = set.hub.requests();
    let resolved: Vec<_> = resolved
        .iter()
        .filter(|r| r.target.contains("/resolve/"))
        .collect();
    assert!(
        resolved.iter().all(|r| r.target.ends_with("/config.json")),
        "{resolved:?}"
    );
}

#[tokio::test]
async fn offline_is_a_mode_and_never_a_guess() {
    let set = Set::new();
    let error = set.fetch_offline().await.unwrap_err();
    assert!(matches!(&error, FetchError::Offline { damaged, .. } if damaged.is_empty()));
    assert_eq!(error.rejection(), None);

    let path = set.fetch().await.unwrap().path;
    fs::write(path.join("config.json"), b"{\"type\": \"bad\"}").unwrap();
    let error = set.fetch_offline().await.unwrap_err();
    assert!(
        error.to_string().contains("(\"config.json\" is damaged)"),
        "{error}"
    );
    assert!(!set.said.all().contains("fetched again"));

    let branch = format!("{ID}@main").parse().unwrap();
    let error = fetch(&set.store, None, Request::new(&branch), &Silent)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }), "{error}");
}

#[tokio::test]
async fn whatever_is_planted_in_quarantine_stops_no_download() {
    use std::os::unix::fs::symlink;
    let set = Set::new();
    let files = set.fetch().await.unwrap().path;
    let beside = |part: &str| files.with_file_name(format!("{}.{part}", set.commit));
    for part in ["json", "lock"] {
        fs::remove_file(beside(part)).unwrap();
    }
    fs::remove_dir(beside("part")).unwrap();
    fs::remove_file(files.join("config.json")).unwrap();
    fs::remove_file(files.join(WEIGHTS)).unwrap();
    fs::remove_dir_all(files.join("tokenizer")).unwrap();
    let outside = set.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for place in [beside("json"), beside("lock"), beside("part")] {
        symlink(&outside, place).unwrap();
    }
    symlink(&outside, files.join("tokenizer")).unwrap();
    symlink("/etc/hostname", files.join("config.json")).unwrap();
    fs::create_dir(files.join(WEIGHTS)).unwrap();
    let fetched = set.fetch().await.unwrap();
    assert_identical(&fetched.path);
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[tokio::test]
async fn strangers_in_quarantine_do_not_stay() {
    let set = Set::new();
    let path = set.fetch().await.unwrap().path;
    fs::write(path.join("run.py"), "").unwrap();
    let fetched = set.fetch_offline().await.unwrap();
    assert!(!fetched.path.join("run.py").exists());
}

#[tokio::test]
async fn a_branch_is_looked_up_once_and_pinned() {
    let set = Set::new();
    let hub = Hub::new(&set.config(None)).unwrap();
    let target = format!("{ID}@main").parse().unwrap();
    let request = Request::new(&target);
    let fetched = fetch(&set.store, Some(&hub), request, &set.said)
        .await
        .unwrap();
    assert_eq!(fetched.revision.as_str(), set.commit);
    let expected = format!("resolved main to {}, pinned", set.commit);
    assert!(set.said.all().contains(&expected), "{}", set.said.all());
    let unpinned = |request: &tensorgate_testhub::Request| request.target.contains("main");
    assert_eq!(set.hub.requests().iter().filter(|r| unpinned(r)).count(), 1);
}

#[tokio::test]
async fn a_dataset_has_places_of_its_own() {
    let set = Set::new();
    let repository = tensorgate_testhub::Repository::new("datasets/robots/walk").unwrap();
    let repository = repository.commit_files([("README.md", "# data")]).unwrap();
    let target = format!("datasets/{ID}@{}", repository.commits()[0])
        .parse()
        .unwrap();
    set.hub.serve(repository);
    let hub = Hub::new(&set.config(None)).unwrap();
    let fetched = fetch(&set.store, Some(&hub), Request::new(&target), &Silent)
        .await
        .unwrap();
    assert!(
        fetched
            .path
            .starts_with(set.store.path().join("quarantine/dataset"))
    );
    assert_eq!(fs::read(fetched.path.join("README.md")).unwrap(), b"# data");
}

#[tokio::test]
async fn a_manifest_elsewhere_is_read_up_to_a_limit() {
    let set = Set::new();
    let hub = Hub::new(&set.config(None)).unwrap();
    let target = set.target();
    let repository = hub.repository_of(&target);
    let (commit, path) = (set.commit.parse().unwrap(), "config.json".parse().unwrap());
    let bytes = repository
        .small_file(&commit, &path, 100, &Silent)
        .await
        .unwrap();
    assert_eq!(bytes, b"{\"type\": \"mlp\"}");
    let error = repository
        .small_file(&commit, &path, 14, &Silent)
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::TooLarge { limit: 14, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let set = Set::new();
    let path = WEIGHTS.to_owned();
    set.hub
        .inject_once(Fault::ConnectionCut { path, after: 1000 });
    set.hub.inject_once(Fault::Status {
        place: Place::Tree,
        status: 503,
    });
    set.hub.inject_once(Fault::TooManyRequests {
        place: Place::Resolve,
        retry_after: 1,
    });
    let fetched = set.fetch().await.unwrap();
    assert_identical(&fetched.path);
    assert_eq!(
        set.said.all().matches("trying again").count(),
        3,
        "{}",
        set.said.all()
    );
}

#[tokio::test]
async fn two_downloads_of_one_commit_follow_each_other() {
    let set = Set::new();
    let (first, second) = tokio::join!(
        async { set.fetch().await.map(|fetched| fetched.from_store) },
        async { set.fetch().await.map(|fetched| fetched.from_store) },
    );
    let mut from_store = [first.unwrap(), second.unwrap()];
    from_store.sort_unstable();
    assert_eq!(from_store, [false, true]);
    assert!(set.said.all().contains("waiting for it"));
}

/// This runs where there are tokens to be found.
#[tokio::test]
async fn a_token_that_nobody_gave_is_not_sent() {
    const ENDPOINT: &str = "TENSORGATE_TEST_ENDPOINT";
    if let Ok(endpoint) = std::env::var(ENDPOINT) {
        let hub = Hub::new(&config(&endpoint, None)).unwrap();
        let store = tempfile::tempdir().unwrap();
        let store = tensorgate_store::Store::open(store.path().join("store")).unwrap();
        let target = format!("{ID}@main").parse().unwrap();
        fetch(&store, Some(&hub), Request::new(&target), &Silent)
            .await
            .unwrap();
        return;
    }
    let set = Set::new();
    fs::write(set.dir.path().join("token"), "hf_stored").unwrap();
    let inside = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_token_that_nobody_gave_is_not_sent"]);
        command.env(ENDPOINT, set.hub.endpoint());
        command
    };
    let by_variable = inside().env("HF_TOKEN", "hf_variable").status().unwrap();
    let by_file = inside().env("HF_HOME", set.dir.path()).status().unwrap();
    assert!(by_variable.success() && by_file.success());
    let requests = set.hub.requests();
    assert!(requests.len() > 15 && requests.iter().all(|r| r.authorization.is_none()));
}

/// A service fetches on a thread of its choice.
#[test]
fn a_fetch_may_move_between_threads() {
    fn sendable<T: Send>(_: T) {}
    fn check(store: &tensorgate_store::Store, hub: &Hub, target: &Target) {
        sendable(fetch(store, Some(hub), Request::new(target), &Silent));
    }
    let _: fn(&tensorgate_store::Store, &Hub, &Target) = check;
}
