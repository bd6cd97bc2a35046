//! Processes beside each other: whoever reads finds what is whole, whoever writes waits and says so,
//! and nobody waits for ever.

#![cfg(test)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{REVISION, another, inside, policy_of, repo};
use rustix::fs::{FlockOperation, flock};
use tensorgate_store::{Gc, PolicyDir, Record, Store, StoreError};
use tensorgate_verify::{Blake3, Directory, Limits, Policy, RepoType, SignedManifest, Verified};

const ROLE: &str = "TENSORGATE_TEST_ROLE";

fn walk(root: &Path, role: &str, sequence: u64) -> Verified<Policy> {
    policy_of(
        &root.join(format!("{role}-{sequence}")),
        "acme/walk",
        sequence,
        3_000,
    )
}

/// A directory that is held is whole, whatever the others do.
fn assert_whole(held: &PolicyDir) {
    let limits = Limits::default();
    let signed = SignedManifest::parse(&held.envelope(&limits).unwrap(), &limits).unwrap();
    let directory: Directory = held.directory().unwrap();
    for file in signed.untrusted(&limits).unwrap().files {
        let mut bytes = Vec::new();
        let untrusted = directory.open(&file.path).unwrap();
        untrusted.into_file().read_to_end(&mut bytes).unwrap();
        assert_eq!(Blake3::of(&bytes), file.blake3, "{:?}", file.path);
    }
}

/// What one process does: some rounds of the same.
fn act(root: &Path, role: &str, number: u64) {
    let store = Store::open(root.join("store")).unwrap();
    match role {
        // The even ones admit the same releases.
        "admits" => (1..=6).for_each(|sequence| {
            let sequence = sequence + 100 * (number % 2);
            let kept = store.admit(&walk(root, role, sequence)).unwrap();
            assert_whole(&kept);
        }),
        "records" => (1..=8).for_each(|sequence| {
            let policy = walk(root, role, sequence + number);
            match store.record_accepted(policy.evidence()) {
                Ok(()) | Err(StoreError::Superseded { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }),
        "reads" => (0..60).for_each(|_| {
            for stored in store.find(RepoType::Model, &repo("acme/walk")).unwrap() {
                // It may have been removed since.
                store
                    .policy(&stored.manifest)
                    .unwrap()
                    .iter()
                    .for_each(assert_whole);
            }
            store.state().accepted().unwrap();
            assert_eq!(store.check(&mut |_| {}).unwrap().damage, []);
        }),
        "downloads" => (0..8).for_each(|_| {
            let revision = REVISION.parse().unwrap();
            let quarantine = store.quarantine(RepoType::Model, &repo("acme/walk"), &revision);
            let quarantine = quarantine.unwrap();
            let mut incoming = quarantine.incoming().unwrap();
            incoming.write(b"{}").unwrap();
            quarantine
                .place(incoming, &"config.json".parse().unwrap())
                .unwrap();
            quarantine.finish(&Record::default()).unwrap();
            assert_eq!(quarantine.record().unwrap(), Some(Record::default()));
        }),
        _ => (0..25).for_each(|_| {
            let mut how = Gc::default();
            how.keep = 1;
            store.gc(how, &mut |_| {}).unwrap();
        }),
    }
}

#[test]
fn all_at_once_keep_what_is_held_and_lose_nothing() {
    let test = "all_at_once_keep_what_is_held_and_lose_nothing";
    if let Some(root) = inside() {
        let role = std::env::var(ROLE).unwrap();
        let (role, number) = role.split_once(' ').unwrap();
        return act(&root, role, number.parse().unwrap());
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let accepted = walk(dir.path(), "first", 1);
    store.admit(&accepted).unwrap();
    store.record_accepted(accepted.evidence()).unwrap();
    let roles = ["admits", "records", "reads", "downloads", "collects"];
    let beside: Vec<Child> = (0..3 * roles.len())
        .map(|number| {
            let role = format!("{} {}", roles[number % roles.len()], number);
            let mut child = another(test, dir.path());
            child.env(ROLE, role).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for child in beside {
        end(child);
    }
    let accepted = store
        .last_accepted(RepoType::Model, &repo("acme/walk"))
        .unwrap();
    // The highest of those that record.
    assert_eq!(accepted.unwrap().sequence, 8 + 11);
    let checked = store.check(&mut |_| {}).unwrap();
    assert_eq!(checked.damage, []);
    assert!(checked.policies >= 1);
}

/// Two that wait for each other would never end.
fn end(mut child: Child) {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return assert!(status.success(), "{status}");
        }
        if begun.elapsed() > Duration::from_secs(300) {
            child.kill().unwrap();
            panic!("a process still waits after 300 s");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Each thing that waits for a lock names it first, and goes on when it is given back.
#[test]
fn whoever_waits_says_so_and_goes_on() {
    type Act = fn(&Store, &Verified<Policy>) -> Result<(), StoreError>;
    let acts: [(&str, &str, Act); 4] = [
        ("admit", "lock", |store, walk| store.admit(walk).map(drop)),
        ("gc", "lock", |store, _| {
            store.gc(Gc::default(), &mut |_| {}).map(drop)
        }),
        ("quota", "lock", |store, _| store.set_quota(None)),
        ("record", "state/lock", |store, walk| {
            store.record_accepted(walk.evidence())
        }),
    ];
    if let Some(root) = inside() {
        let role = std::env::var(ROLE).unwrap();
        let (.., act) = acts.iter().find(|(name, ..)| *name == role).unwrap();
        let store = Store::open(root.join("store")).unwrap();
        let store = store.on_wait(|lock| println!("\nwaiting for {}", lock.display()));
        return act(&store, &walk(&root, "waits", 1)).unwrap();
    }
    for (role, lock, _) in acts {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let lock: PathBuf = store.path().join(lock);
        let held = fs::File::create(&lock).unwrap();
        flock(held.as_fd(), FlockOperation::LockExclusive).unwrap();
        let mut child = another("whoever_waits_says_so_and_goes_on", dir.path())
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let expected = format!("waiting for {}", lock.display());
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap() == expected), "{role}");
        drop(held);
        assert!(said.all(|line| line.is_ok()));
        end(child);
    }
}
