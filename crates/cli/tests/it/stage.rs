//! A Hub on loopback whose branch `main` is a channel: each release moves it.

use std::cell::RefCell;
use std::fs;

use tensorgate_testhub::{Repository, TestHub};

use crate::support::{EXPIRES, Run, Workshop};

/// `acme/walk`: of each release the files at one commit, and the manifest of them at the next.
pub(crate) struct Stage {
    pub(crate) workshop: Workshop,
    pub(crate) hub: TestHub,
    walk: RefCell<Repository>,
}

/// The manifest of a channel, as an option of `fetch`.
pub(crate) const CHANNEL: [&str; 4] = ["--manifest", "acme/walk@main", "--trust", "trust.toml"];

impl Stage {
    /// With the first release.
    pub(crate) fn new() -> Self {
        let workshop = Workshop::new();
        workshop.keygen("release");
        workshop.trust(1, &["release"]);
        workshop.policy("walk");
        let stage = Self {
            workshop,
            hub: TestHub::start().unwrap(),
            walk: RefCell::new(Repository::new("acme/walk").unwrap()),
        };
        stage.release(1);
        stage
    }

    /// Publishes the files of a release, then its manifest; returns the commit of the files.
    pub(crate) fn release(&self, sequence: u64) -> String {
        let revision = self.prepare(sequence);
        self.publish();
        revision
    }

    /// The files of a release at a commit, and their manifest beside them here, not yet published.
    pub(crate) fn prepare(&self, sequence: u64) -> String {
        self.workshop
            .write("walk/README.md", format!("# walk {sequence}\n"));
        let revision = self.commit(&[]);
        self.sign(&revision, &["--sequence", &sequence.to_string()]);
        revision
    }

    pub(crate) fn sign(&self, revision: &str, options: &[&str]) {
        let usual = ["--revision", revision, "--replace"];
        self.workshop.sign(&[&usual, options].concat()).expect(0);
    }

    /// Moves `main` to the files that lie in `walk`, with the list of revocations if there is one.
    pub(crate) fn publish(&self) -> String {
        let list = "revocations.dsse.json";
        let manifest = "walk/policy.dsse.json";
        self.commit(&[(manifest, "policy.dsse.json"), (list, list)])
    }

    /// A commit of what lies in `walk` and, where it is there, of what is named: kept in memory, so
    /// that the files here may change.
    pub(crate) fn commit(&self, besides: &[(&str, &str)]) -> String {
        let policy = ["config.json", "README.md", "model.safetensors"];
        let policy = policy.map(|name| (format!("walk/{name}"), name.to_owned()));
        let besides = besides
            .iter()
            .map(|(at, name)| ((*at).to_owned(), (*name).to_owned()));
        let files: Vec<(String, Vec<u8>)> = policy
            .into_iter()
            .chain(besides)
            .filter_map(|(at, name)| Some((name, fs::read(self.workshop.path(at)).ok()?)))
            .collect();
        let walk = self.walk.borrow().clone().commit_files(files).unwrap();
        self.walk.replace(walk.clone());
        let commit = walk.commits().last().unwrap().clone();
        self.hub.serve(walk);
        commit
    }

    /// Serves the repository elsewhere, too.
    pub(crate) fn serve_at(&self, hub: &TestHub) {
        hub.serve(self.walk.borrow().clone());
    }

    /// Signs the next list of revocations, here; `publish` takes it along.
    pub(crate) fn revoke(&self, what: &[&str]) {
        let usual = [
            "trust",
            "revoke",
            "revocations.dsse.json",
            "--key",
            "release.key.pem",
        ];
        let expires = ["--expires", EXPIRES, "--reason", "stumbles"];
        let all = usual.iter().chain(&expires).chain(what);
        self.workshop.run(all).expect(0);
    }

    /// The digest of the manifest that lies in `walk`.
    pub(crate) fn manifest(&self) -> String {
        let run = self
            .workshop
            .run(["inspect", "walk/policy.dsse.json", "--json"]);
        let object = run.expect(0).json();
        object["manifest"]["digest"].as_str().unwrap().to_owned()
    }

    pub(crate) fn fetch(&self, target: &str, options: &[&str]) -> Run {
        let usual = ["fetch", target, "--endpoint", self.hub.endpoint()];
        self.workshop.run(usual.iter().chain(options))
    }

    /// From the channel.
    pub(crate) fn follow(&self, options: &[&str]) -> Run {
        self.fetch("acme/walk", &[&CHANNEL, options].concat())
    }

    /// The directories of all policies in the store.
    pub(crate) fn policies(&self) -> Vec<String> {
        let policies = fs::read_dir(self.workshop.path("store/policies")).unwrap();
        let path = |entry: fs::DirEntry| entry.path().display().to_string();
        policies.map(|entry| path(entry.unwrap())).collect()
    }

    /// What was asked of the Hub since the last time, without its query.
    pub(crate) fn asked(&self) -> Vec<String> {
        let requests = self.hub.requests();
        self.hub.clear_requests();
        let path = |target: &str| target.split('?').next().unwrap().to_owned();
        requests
            .iter()
            .map(|request| path(&request.target))
            .collect()
    }
}
