//! Making room: what a process has stays, for as long as it has it and lives.

#![cfg(test)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::{FlockOperation, flock};

use common::sweep::{gc, keeping, paths, set};
use common::{REVISION, another, inside, repo};
use tensorgate_store::{Fate, Store, What, hold};
use tensorgate_verify::RepoType;

#[test]
fn whoever_has_a_policy_keeps_it() {
    let set = set();
    let one = set.admit("acme/walk", 1);
    let held = set.store.policy(&one).unwrap().unwrap();
    let (swept, found) = gc(&set.store, keeping(0));
    assert_eq!((swept.policies, swept.objects, swept.in_use), (0, 0, 1));
    let place = PathBuf::from(format!("policies/{one}"));
    assert_eq!(paths(&found, What::Policy, Fate::InUse), [&*place]);

    // So does a handle that outlives it, and one that was opened by name.
    let directory = held.directory().unwrap();
    drop(held);
    assert_eq!(gc(&set.store, keeping(0)).0.in_use, 1);
    drop(directory);
    let handle = fs::File::open(set.store.path().join(&place)).unwrap();
    let directory = tensorgate_verify::Directory::new(handle.as_fd().try_clone_to_owned().unwrap());
    drop(handle);
    hold(&directory).unwrap();
    assert_eq!(gc(&set.store, keeping(0)).0.in_use, 1);
    drop(directory);
    let (swept, _) = gc(&set.store, keeping(0));
    assert_eq!((swept.policies, swept.objects, swept.in_use), (1, 3, 0));
    assert_eq!(
        fs::read_dir(set.store.path().join("objects"))
            .unwrap()
            .count(),
        0
    );
}

/// Another's `gc` has the directory alone while it looks, and may leave it.
#[test]
fn whoever_comes_while_another_looks_keeps_it_too() {
    let set = set();
    let one = set.admit("acme/walk", 1);
    let place = set.store.path().join(format!("policies/{one}"));
    let looks = fs::File::open(&place).unwrap();
    flock(&looks, FlockOperation::LockExclusive).unwrap();
    let directory = tensorgate_verify::Directory::new(fs::File::open(&place).unwrap().into());
    std::thread::scope(|scope| {
        scope.spawn(|| hold(&directory).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(50));
        flock(&looks, FlockOperation::Unlock).unwrap();
    });
    assert_eq!(gc(&set.store, keeping(0)).0.in_use, 1);
    assert!(set.has(&one));
}

/// Nobody can keep others from reading what they may read.
#[test]
fn whoever_has_a_directory_alone_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let alone = fs::File::open(dir.path()).unwrap();
    flock(&alone, FlockOperation::LockExclusive).unwrap();
    let directory = tensorgate_verify::Directory::new(fs::File::open(dir.path()).unwrap().into());
    hold(&directory).unwrap();
}

/// A process that holds a policy and dies, however it dies, holds it no more.
#[test]
fn whoever_has_died_keeps_nothing() {
    if let Some(path) = inside() {
        let store = Store::open(path).unwrap();
        let found = store.find(RepoType::Model, &repo("acme/walk")).unwrap();
        let _held = store.policy(&found[0].manifest).unwrap().unwrap();
        println!("\nheld");
        loop {
            std::thread::park();
        }
    }
    let set = set();
    let one = set.admit("acme/walk", 1);
    let mut holder = another("whoever_has_died_keeps_nothing", set.store.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(holder.stdout.take().unwrap());
    assert!(said.lines().any(|line| line.unwrap() == "held"));
    assert_eq!(gc(&set.store, keeping(0)).0.in_use, 1);
    assert!(set.has(&one));
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(gc(&set.store, keeping(0)).0.policies, 1);
    assert!(!set.has(&one));
}

#[test]
fn a_download_that_somebody_has_stays() {
    let set = set();
    let walk = set.policy("acme/walk", 1);
    let held = set.download(&walk);
    let (swept, found) = gc(&set.store, keeping(0));
    let place = format!("quarantine/model/acme/walk/{REVISION}");
    assert_eq!((swept.downloads, swept.in_use), (0, 1));
    assert_eq!(
        paths(&found, What::Download, Fate::InUse),
        [Path::new(&place)]
    );
    assert!(held.record().unwrap().is_some());
    drop(held);

    // Who reads the files by name has no lock, but may hold the directory.
    let handle = fs::File::open(set.store.path().join(&place)).unwrap();
    let directory = tensorgate_verify::Directory::new(handle.into());
    hold(&directory).unwrap();
    assert_eq!(gc(&set.store, keeping(0)).0.in_use, 1);
    drop(directory);
    assert_eq!(gc(&set.store, keeping(0)).0.downloads, 1);
    let left = set.store.path().join("quarantine/model/acme/walk");
    assert_eq!(fs::read_dir(left).unwrap().count(), 0);
    // The next download begins from nothing.
    assert!(set.download(&walk).record().unwrap().is_some());
}

#[test]
fn an_object_that_a_download_in_use_shares_frees_nothing_and_stays() {
    let set = set();
    let walk = set.policy("acme/walk", 1);
    set.store.admit(&walk).unwrap();
    let held = set.download(&walk);
    let (swept, _) = gc(&set.store, keeping(0));
    assert_eq!((swept.policies, swept.objects), (1, 0));
    drop(held);
    let (swept, _) = gc(&set.store, keeping(0));
    assert_eq!((swept.downloads, swept.objects), (1, 3));
}
