//! A store with releases and downloads, and what is removed from it.

use std::path::Path;

use tensorgate_store::{Fate, Found, Gc, Quarantine, Record, Recorded, Store, Swept, What};
use tensorgate_verify::{Blake3, Policy, RepoType, Sha256, Verified};

use super::{REVISION, policy_of};

pub(crate) struct Set {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
}

pub(crate) fn set() -> Set {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    Set { dir, store }
}

impl Set {
    pub(crate) fn policy(&self, repo: &str, sequence: u64) -> Verified<Policy> {
        let folder = self.dir.path().join(format!("{repo}-{sequence}"));
        policy_of(&folder, repo, sequence, 100_000)
    }

    pub(crate) fn admit(&self, repo: &str, sequence: u64) -> Sha256 {
        let policy = self.policy(repo, sequence);
        self.store.admit(&policy).unwrap();
        policy.evidence().manifest
    }

    pub(crate) fn accept(&self, repo: &str, sequence: u64) {
        let policy = self.policy(repo, sequence);
        self.store.record_accepted(policy.evidence()).unwrap();
    }

    pub(crate) fn has(&self, manifest: &Sha256) -> bool {
        self.store.policy(manifest).unwrap().is_some()
    }

    /// A finished download of all files, some of which are objects.
    pub(crate) fn download(&self, policy: &Verified<Policy>) -> Quarantine {
        let revision = REVISION.parse().unwrap();
        let repo = &policy.evidence().repo;
        let quarantine = self
            .store
            .quarantine(RepoType::Model, repo, &revision)
            .unwrap();
        let mut files = Vec::new();
        for file in policy.files() {
            let bytes = file.bytes();
            let mut incoming = quarantine.incoming().unwrap();
            incoming.write(bytes).unwrap();
            quarantine.place(incoming, file.path()).unwrap();
            let (path, size) = (file.path().clone(), bytes.len() as u64);
            files.push(Recorded::new(
                path,
                size,
                Sha256::of(bytes),
                Blake3::of(bytes),
            ));
        }
        quarantine
            .finish(&Record::new(files.clone(), Vec::new()))
            .unwrap();
        quarantine.share(&self.store, &files).unwrap();
        quarantine
    }
}

pub(crate) fn keeping(keep: usize) -> Gc {
    let mut how = Gc::default();
    how.keep = keep;
    how
}

pub(crate) fn gc(store: &Store, how: Gc) -> (Swept, Vec<Found>) {
    let mut found = Vec::new();
    let swept = store.gc(how, &mut |one| found.push(one.clone())).unwrap();
    (swept, found)
}

pub(crate) fn paths(found: &[Found], what: What, fate: Fate) -> Vec<&Path> {
    let of = found
        .iter()
        .filter(|found| (found.what, found.fate) == (what, fate));
    of.map(|found| found.path.as_path()).collect()
}
