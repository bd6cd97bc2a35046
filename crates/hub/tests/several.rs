//! Several files of a policy, of which one is not there or none comes for a while, and several
//! commits, of which a name means one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use common::faults::header;
use common::{ID, Set, WEIGHTS, assert_identical, files};
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, Place, Port, Repository};

/// However busy the machine is, something has gone wrong by then.
const HANGS: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(10);

/// Twelve files, half of them at the CDN.
fn twelve() -> Vec<(String, Vec<u8>)> {
    let lfs = |n| (format!("model-{n:05}-of-00006.safetensors"), vec![n; 5000]);
    let plain = |n| (format!("step_{n}_preprocessor.json"), vec![b' '; 3000]);
    (0..6).flat_map(|n| [lfs(n), plain(n)]).collect()
}

/// Files whose bytes are on their way: those at the CDN, and the plain ones.
fn on_their_way(set: &Set) -> usize {
    let is_body = |request: &&tensorgate_testhub::Request| match request.port {
        Port::Cdn => true,
        Port::Hub => request.target.ends_with(".json"),
    };
    set.hub.requests().iter().filter(is_body).count()
}

/// Goes on with a fetch, which has no end yet, until as many files are on their way, and for a
/// while after that.
async fn until<T>(fetching: &mut Pin<Box<impl Future<Output = T>>>, set: &Set, files: usize) {
    let since = Instant::now();
    while on_their_way(set) < files {
        assert!(since.elapsed() < HANGS, "{} came", on_their_way(set));
        assert!(tokio::time::timeout(MOMENT, &mut *fetching).await.is_err());
    }
    let while_ = tokio::time::timeout(20 * MOMENT, &mut *fetching);
    assert!(while_.await.is_err());
}

#[tokio::test]
async fn files_come_several_at_a_time_and_never_more_than_the_limit() {
    for concurrent in [1, 3, 12] {
        let repository = Repository::new(ID).unwrap();
        let set = Set::of(repository.commit_files(twelve()).unwrap());
        for (path, bytes) in twelve() {
            // Of some, something comes.
            let after = bytes.len() as u64 % 2000;
            set.hub.inject(Fault::BodyHeld { path, after });
        }
        let mut config = set.config(None);
        (config.limits.concurrent, config.limits.stall) = (concurrent, HANGS);
        let (hub, target) = (Hub::new(&config).unwrap(), set.target());
        let request = Request::new(&target);
        let mut fetching = Box::pin(fetch(&set.store, Some(&hub), request, &Silent));
        until(&mut fetching, &set, concurrent).await;
        // None has ended, and no other has begun.
        assert_eq!(on_their_way(&set), concurrent);
        set.hub.clear_faults();
        assert_eq!(fetching.await.unwrap().files.len(), 12);
        assert_eq!(on_their_way(&set), 12);
    }
}

/// The listing has it, and its address has a page that says 404.
#[tokio::test]
async fn a_listed_file_that_is_not_there_is_an_error_and_nothing_of_it_is_kept() {
    let mut set = Set::new();
    drop(set.fetch().await.unwrap());
    let before: Target = set.target();
    let repository = Repository::new(ID).unwrap().commit_files(files()).unwrap();
    let mut newer = files();
    newer.retain(|(path, _)| *path != WEIGHTS);
    newer.push((WEIGHTS, vec![3; 1000]));
    let repository = repository.commit_files(newer).unwrap();
    set.commit.clone_from(repository.commits().last().unwrap());
    set.hub.serve(repository);
    for (place, path, code, reason) in [
        (Place::Resolve, ".gitattributes", None, Reason::NotFound),
        (
            Place::Resolve,
            ".gitattributes",
            Some("EntryNotFound"),
            Reason::FileNotFound,
        ),
        (Place::Cdn, WEIGHTS, None, Reason::NotFromThere),
    ] {
        set.hub.inject(Fault::Status { place, status: 404 });
        if let Some(code) = code {
            set.hub.inject(header(place, "X-Error-Code", code));
        }
        let mut config = set.config(None);
        // No other file is on its way when this one ends all.
        config.limits.concurrent = 1;
        let error = set.fetch_with(&config).await.unwrap_err();
        let FetchError::Refused(refused) = &error else {
            unreachable!("{error:?}")
        };
        assert_eq!((refused.reason, refused.status), (reason, 404), "{error}");
        assert_eq!(error.rejection(), None);
        // It is asked for once: it will not be there the next moment.
        assert!(!set.said.all().contains("trying again"), "{path}");
        assert!(!set.place_of(path).exists(), "{path}");
        assert!(set.parts().is_empty(), "{path}");
        let ended = set.fetch_offline().await.unwrap_err();
        assert!(matches!(ended, FetchError::Offline { .. }), "{ended:?}");
        // What was there is there.
        let fetched = fetch(&set.store, None, Request::new(&before), &Silent).await;
        assert_identical(&fetched.unwrap().path);
        set.hub.clear_faults();
    }
    assert!(!set.fetch().await.unwrap().from_store);
}

/// What a branch was yesterday is not what it is.
#[tokio::test]
async fn a_branch_whose_hub_is_away_is_an_error_and_not_its_last_commit() {
    let set = Set::new();
    let branch: Target = format!("{ID}@main").parse().unwrap();
    let hub = Hub::new(&set.config(None)).unwrap();
    let fetched = fetch(&set.store, Some(&hub), Request::new(&branch), &Silent).await;
    assert_eq!(fetched.unwrap().revision.as_str(), set.commit);
    for status in [404, 500, 503] {
        let place = Place::Api;
        set.hub.inject(Fault::Status { place, status });
        let fetched = fetch(&set.store, Some(&hub), Request::new(&branch), &Silent).await;
        let error = fetched.unwrap_err();
        assert!(matches!(error, FetchError::Refused(_)), "{error:?}");
        set.hub.clear_faults();
    }
    let (
        target,
        Set {
            store,
            hub: away,
            dir,
            ..
        },
    ) = (set.target(), set);
    drop(away);
    let fetched = fetch(&store, Some(&hub), Request::new(&branch), &Silent).await;
    let error = fetched.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    // By its id the same commit is there, and nobody is asked.
    let fetched = fetch(&store, Some(&hub), Request::new(&target), &Silent).await;
    assert!(fetched.unwrap().from_store);
    drop(dir);
}
