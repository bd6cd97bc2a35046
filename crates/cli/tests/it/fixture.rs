//! A Hub on loopback that serves the policy of a workshop.

use tensorgate_testhub::{Repository, TestHub};

use crate::support::{Run, Workshop, weights};

/// A Hub with `acme/walk`: the files at the first commit, the manifest of them at the second.
pub(crate) struct Fixture {
    pub(crate) workshop: Workshop,
    pub(crate) hub: TestHub,
    pub(crate) files: String,
    pub(crate) signed: String,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::of(Workshop::new(), &weights())
    }

    /// With these weights.
    pub(crate) fn of(workshop: Workshop, weights: &[u8]) -> Self {
        workshop.keygen("release");
        workshop.trust(1, &["release"]);
        workshop.policy("walk");
        workshop.write("walk/model.safetensors", weights);
        workshop.write("walk/run.exe", "MZ");
        let walk = Repository::new("acme/walk").unwrap();
        let walk = walk.commit_dir(workshop.path("walk")).unwrap();
        let files = walk.commits()[0].clone();
        workshop.remove("walk/run.exe");
        workshop.sign(&["--revision", &files]).expect(0);
        let walk = walk.commit_dir(workshop.path("walk")).unwrap();
        let signed = walk.commits()[1].clone();
        let hub = TestHub::start().unwrap();
        hub.serve(walk);
        Self {
            workshop,
            hub,
            files,
            signed,
        }
    }

    pub(crate) fn fetch(&self, revision: &str, options: &[&str]) -> Run {
        let target = format!("acme/walk@{revision}");
        let usual = ["fetch", &target, "--endpoint", self.hub.endpoint()];
        self.workshop.run(usual.iter().chain(options))
    }

    /// With the manifest from the Hub.
    pub(crate) fn fetch_signed(&self, options: &[&str]) -> Run {
        let manifest = format!("acme/walk@{}", self.signed);
        let usual = ["--manifest", &manifest, "--trust", "trust.toml"];
        self.fetch(&self.files, &[&usual, options].concat())
    }
}
