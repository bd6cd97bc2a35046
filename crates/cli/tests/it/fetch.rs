//! From a Hub on loopback into quarantine, and with a signature out of it.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tensorgate_testhub::{Fault, Place, Port, Repository, TestHub};

use crate::support::{REVISION, Run, Workshop, weights};

/// A Hub with `acme/walk`: the files at the first commit, the manifest of them at the second.
struct Fixture {
    workshop: Workshop,
    hub: TestHub,
    files: String,
    signed: String,
}

impl Fixture {
    fn new() -> Self {
        let workshop = Workshop::new();
        workshop.keygen("release");
        workshop.trust(1, &["release"]);
        workshop.policy("walk");
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

    fn fetch(&self, revision: &str, options: &[&str]) -> Run {
        let target = format!("acme/walk@{revision}");
        let usual = ["fetch", &target, "--endpoint", self.hub.endpoint()];
        self.workshop.run(usual.iter().chain(options))
    }

    /// With the manifest from the Hub.
    fn fetch_signed(&self, options: &[&str]) -> Run {
        let manifest = format!("acme/walk@{}", self.signed);
        let usual = ["--manifest", &manifest, "--trust", "trust.toml"];
        self.fetch(&self.files, &[&usual, options].concat())
    }
}

#[test]
fn without_a_manifest_files_stay_in_quarantine() {
    let fixture = Fixture::new();
    let run = fixture.fetch(&fixture.files, &[]);
    run.expect(0).says("fetched: ").says(", untrusted\n");
    run.says("left out   run.exe: no file of a policy has this name\n");
    run.says("fetching 3 files, ")
        .says("  model.safetensors, 4,");
    let path = Path::new(run.stdout.trim_end());
    let quarantine = fixture.workshop.path("store/quarantine");
    assert!(path.starts_with(quarantine), "{path:?}");
    assert_eq!(
        std::fs::read(path.join("model.safetensors")).unwrap(),
        weights()
    );
    assert!(!path.join("run.exe").exists());
    assert!(
        !fixture
            .workshop
            .path("store/policies")
            .read_dir()
            .unwrap()
            .any(|_| true)
    );
}

#[test]
fn json_says_what_came_and_that_nothing_is_proven() {
    let fixture = Fixture::new();
    let object = fixture.fetch("main", &["--json"]).json();
    assert_eq!(
        (&object["verdict"], &object["evidence"]),
        (&"fetched".into(), &Value::Null)
    );
    assert_eq!(object["asked"], "acme/walk@main");
    assert_eq!(object["revision"], fixture.signed);
    assert_eq!(object["subject"], format!("acme/walk@{}", fixture.signed));
    assert_eq!(object["from_store"], false);
    let files = object["files"].as_array().unwrap();
    assert_eq!(files.len(), 4);
    assert_eq!(files[2]["path"], "model.safetensors");
    assert_eq!(files[2]["size"], weights().len());
    assert_eq!(object["left_out"], serde_json::json!([]));
    assert!(Path::new(object["path"].as_str().unwrap()).is_dir());
}

#[test]
fn a_branch_is_resolved_shown_and_pinned() {
    let fixture = Fixture::new();
    let run = fixture.fetch("main", &[]);
    run.expect(0).says(&format!(
        "note: resolved main to {}, pinned\n",
        fixture.signed
    ));
    assert!(run.stdout.contains(&fixture.signed));
}

#[test]
fn a_second_fetch_reads_again_and_asks_nobody() {
    let fixture = Fixture::new();
    let path = fixture.fetch(&fixture.files, &[]).expect(0).stdout.clone();
    fixture.hub.clear_requests();
    let run = fixture.fetch(&fixture.files, &["--offline"]);
    run.expect(0).says("all in the store, read again");
    fixture
        .fetch(&fixture.files, &[])
        .expect(0)
        .says("all in the store, read again");
    assert_eq!(fixture.hub.requests().len(), 0);
    // What was damaged since is not passed off as fetched.
    std::fs::write(Path::new(path.trim_end()).join("README.md"), "# WALK\n").unwrap();
    fixture
        .fetch(&fixture.files, &["--offline"])
        .could_not_check("\"README.md\" is damaged");
    fixture
        .fetch(&fixture.files, &[])
        .expect(0)
        .says("received now");
}

#[test]
fn what_was_signed_is_verified_and_kept() {
    let fixture = Fixture::new();
    let run = fixture.fetch_signed(&[]);
    run.expect(0)
        .says("verified: ")
        .says("signed by  \"release\", key ");
    run.says("left out   run.exe: not in the manifest");
    let path = Path::new(run.stdout.trim_end());
    assert!(
        path.starts_with(fixture.workshop.path("store/policies")),
        "{path:?}"
    );
    fixture
        .workshop
        .run([
            "verify".as_ref(),
            path.as_os_str(),
            "--trust".as_ref(),
            "trust.toml".as_ref(),
        ])
        .expect(0);
    let object = fixture.fetch_signed(&["--json"]).json();
    assert_eq!(object["verdict"], "verified");
    assert_eq!(object["path"], path.to_str().unwrap());
    let manifest = object["evidence"]["manifest"].as_str().unwrap();
    assert_eq!(path.file_name().unwrap(), manifest);
    assert_eq!(object["evidence"]["signers"][0]["name"], "release");
    assert_eq!(object["evidence"]["revision"], Value::Null);
    assert_eq!(object["evidence"]["repo"]["revision"], fixture.files);
}

#[test]
fn the_manifest_may_lie_on_this_machine() {
    let fixture = Fixture::new();
    let options = [
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
    ];
    fixture
        .fetch(&fixture.files, &options)
        .expect(0)
        .says("verified: ");
    fixture
        .fetch(&fixture.files, &[&options[..], &["--offline"]].concat())
        .expect(0);
}

#[test]
fn bytes_that_are_not_the_listed_ones_are_refused() {
    let fixture = Fixture::new();
    let path = || "model.safetensors".to_owned();
    fixture.hub.inject(Fault::ByteFlipped {
        path: path(),
        at: 200,
    });
    fixture
        .fetch(&fixture.files, &[])
        .rejected("digest-mismatch", "model.safetensors");
    let object = fixture.fetch_signed(&["--json"]);
    assert_eq!(object.expect(1).json()["code"], "digest-mismatch");
    fixture.hub.clear_faults();
    fixture.hub.inject(Fault::SurplusBytes {
        path: path(),
        bytes: 9,
    });
    fixture
        .fetch(&fixture.files, &[])
        .rejected("size-mismatch", "model.safetensors");
    assert!(
        !fixture
            .workshop
            .path("store/policies")
            .read_dir()
            .unwrap()
            .any(|_| true)
    );
}

#[test]
fn an_unsafe_name_refuses_the_whole_listing() {
    let fixture = Fixture::new();
    fixture.hub.inject(Fault::ListedPath {
        path: "../../x".into(),
    });
    fixture
        .fetch(&fixture.files, &[])
        .rejected("file-name-unsafe", "../../x");
}

#[test]
fn only_what_was_asked_for_is_signed_for() {
    let fixture = Fixture::new();
    let options = [
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
    ];
    // The manifest is of the first commit.
    fixture
        .fetch(&fixture.signed, &options)
        .rejected("revision-mismatch", "revision");
    fixture.workshop.keygen("other");
    fixture.workshop.trust(1, &["other"]);
    fixture
        .fetch(&fixture.files, &options)
        .rejected("signature-invalid", "signatures");
    assert_eq!(fixture.hub.requests().len(), 0);
}

#[test]
fn an_older_release_is_not_fetched_again() {
    let fixture = Fixture::new();
    fixture.fetch_signed(&[]).expect(0);
    let older = ["--sequence", "4", "--revision", &fixture.files, "--replace"];
    fixture.workshop.sign(&older).expect(0);
    let options = [
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
    ];
    fixture
        .fetch(&fixture.files, &options)
        .rejected("manifest-rollback", "sequence");
    // `verify` has the same memory.
    fixture
        .workshop
        .verify(&[])
        .rejected("manifest-rollback", "sequence");
}

#[test]
fn part_of_a_commit_id_is_no_revision() {
    let fixture = Fixture::new();
    fixture
        .fetch(&REVISION[..12], &[])
        .rejected("revision-not-pinned", &REVISION[..12]);
    fixture
        .workshop
        .run(["fetch", "acme/walk"])
        .could_not_check("which is OWNER/NAME@REVISION");
    fixture
        .workshop
        .run(["fetch", "walk@main"])
        .could_not_check("which is OWNER/NAME@REVISION");
    assert_eq!(fixture.hub.requests().len(), 0);
}

#[test]
fn what_the_hub_does_not_have_could_not_be_had() {
    let fixture = Fixture::new();
    let run = fixture.fetch(REVISION, &[]);
    run.could_not_check("no such revision");
    run.says("\nhint: ");
    fixture.fetch("v9", &[]).could_not_check("no such revision");
    let endpoint = fixture.hub.endpoint();
    fixture
        .workshop
        .run(["fetch", "acme/none@main", "--endpoint", endpoint])
        .could_not_check("no such repository, or it is private");
    let manifest = format!("acme/walk@{}", fixture.files);
    let options = ["--manifest", &manifest, "--trust", "trust.toml"];
    let run = fixture.fetch(&fixture.files, &options);
    run.could_not_check("no such file");
    run.says("hint: --manifest REPO@REV takes policy.dsse.json");
    let gone = Fault::Status {
        place: Place::Tree,
        status: 404,
    };
    fixture.hub.inject(gone);
    let object = fixture.fetch(&fixture.files, &["--json"]);
    let object = object.expect(2).json();
    assert_eq!(
        (&object["verdict"], &object["code"]),
        (&"error".into(), &"could-not-check".into())
    );
}

#[test]
fn a_hub_that_is_down_is_no_verdict() {
    let workshop = Workshop::new();
    // A port that was free a moment ago, and nobody listens at.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let endpoint = format!("http://{free}");
    let target = format!("acme/walk@{REVISION}");
    let run = workshop.run(["fetch", &target, "--endpoint", &endpoint]);
    run.expect(2)
        .says("error: ")
        .says("cannot be reached")
        .says("hint: check the network");
    workshop
        .run(["fetch", &target, "--endpoint", "localhost:1"])
        .could_not_check("is not the address of a Hub");
    workshop
        .run(["fetch", &target, "--offline"])
        .could_not_check("the network is not to be used");
}

#[test]
fn a_token_is_sent_and_never_shown() {
    let fixture = Fixture::new();
    let private = Repository::new("acme/private").unwrap().gated("hf_right");
    let private = private.commit_dir(fixture.workshop.path("walk")).unwrap();
    let target = format!("acme/private@{}", private.commits()[0]);
    fixture.hub.serve(private);
    fixture.workshop.write("right", "hf_right\n");
    fixture.workshop.write("wrong", "hf_wrong\n");
    let usual = ["fetch", &target, "--endpoint", fixture.hub.endpoint()];
    let fetch = |options: &[&str]| fixture.workshop.run(usual.iter().chain(options));
    fetch(&[]).expect(2).says("gated");
    let run = fetch(&["--token-file", "wrong"]);
    run.expect(2).says("gated");
    assert!(!format!("{run:?}").contains("hf_"), "{run:?}");
    fetch(&["--token-file", "missing"]).could_not_check("the token file missing cannot be read");
    fetch(&["--token-file", "right"]).expect(0);
}

#[test]
fn the_store_can_be_elsewhere_and_must_be_private() {
    let fixture = Fixture::new();
    let run = fixture.fetch(&fixture.files, &["--store", "elsewhere"]);
    assert!(run.expect(0).stdout.contains("elsewhere/quarantine/"));
    assert!(!fixture.workshop.path("store").exists());
    fixture.workshop.chmod("elsewhere", 0o777);
    fixture
        .fetch(&fixture.files, &["--store", "elsewhere"])
        .could_not_check("could be changed by others");
    fixture
        .fetch(&fixture.files, &["--store", "/proc/store"])
        .could_not_check("could not make /proc/store");
}

#[test]
fn a_manifest_needs_somebody_to_trust() {
    let fixture = Fixture::new();
    fixture
        .fetch(&fixture.files, &["--manifest", "walk/policy.dsse.json"])
        .could_not_check("--trust <FILE>");
    fixture
        .fetch(&fixture.files, &["--trust", "trust.toml"])
        .could_not_check("--manifest <FILE|REPO@REV>");
}

#[test]
fn the_transport_is_told_to_report_nothing() {
    let fixture = Fixture::new();
    let path = "model.safetensors".to_owned();
    fixture.hub.inject(Fault::BodyStalled { path, after: 100 });
    let target = format!("acme/walk@{}", fixture.files);
    let mut child = fixture
        .workshop
        .command()
        .args([
            "fetch",
            &target,
            "--json",
            "--endpoint",
            fixture.hub.endpoint(),
        ])
        .spawn()
        .unwrap();
    // It has asked for the body by then, and waits for it.
    while fixture.hub.requests_at(Port::Cdn).is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let environment = std::fs::read(format!("/proc/{}/environ", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut variables = environment.split(|byte| *byte == 0);
    assert!(variables.any(|variable| variable == b"HF_XET_TELEMETRY_ENABLED=0"));
}
