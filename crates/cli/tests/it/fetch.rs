//! From a Hub on loopback into quarantine.

use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;
use tensorgate_testhub::{Fault, Place, Repository, TestHub};

use crate::fixture::Fixture;
use crate::support::{REVISION, Run, Workshop, weights};

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
fn part_of_a_commit_id_is_no_revision() {
    let fixture = Fixture::new();
    fixture
        .fetch(&REVISION[..12], &[])
        .rejected("revision-not-pinned", &REVISION[..12]);
    let run = fixture.workshop.run(["fetch", "acme/walk@"]);
    run.could_not_check("\"acme/walk@\" is not a target, which is OWNER/NAME@REVISION");
    let run = fixture.workshop.run(["fetch", "acme/walk"]);
    run.could_not_check("\"acme/walk\" names no commit, and no manifest names one");
    run.says("hint: type acme/walk@main (a branch is looked up and pinned), or a commit in place of main; ")
        .says("--manifest acme/walk@main --trust FILE`");
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
    run.says("hint: --manifest FILE takes one from here");
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
        .says("the connection to ")
        .says("hint: check the network");
    workshop
        .run(["fetch", &target, "--endpoint", "localhost:1"])
        .could_not_check("is not the address of a Hub");
    let run = workshop.run(["fetch", &target, "--endpoint", "huggingface.co"]);
    run.could_not_check("is not the address of a Hub");
    run.says("https://huggingface.co");
    workshop
        .run(["fetch", &target, "--offline"])
        .could_not_check("the network is not to be used");
}

#[test]
fn a_hub_that_limits_how_often_it_is_asked_says_when_to_come_back() {
    let fixture = Fixture::new();
    let limited = |retry_after| Fault::TooManyRequests {
        place: Place::Tree,
        retry_after,
    };
    fixture.hub.inject(limited(61));
    let run = fixture.fetch(&fixture.files, &[]);
    run.could_not_check("rate-limited: too many requests, come back in 61 s, at ");
    run.says("hint: wait; a token raises the limit");
    // Longer than anybody waits, it is not tried again.
    assert_eq!(fixture.hub.requests().len(), 1);
    fixture.hub.clear_faults();
    fixture.hub.inject_once(limited(1));
    let run = fixture.fetch(&fixture.files, &[]);
    run.expect(0)
        .says("come back in 1 s")
        .says("; trying again in ");
    // Without a word on when to come back.
    let status = Fault::Status {
        place: Place::Tree,
        status: 429,
    };
    fixture.hub.inject(status);
    let run = fixture.fetch(&fixture.signed, &[]);
    run.could_not_check("rate-limited: too many requests (429 at ");
    run.says("hint: wait; a token raises the limit");
}

#[test]
fn of_much_that_is_left_out_some_is_named_and_json_names_all() {
    let workshop = Workshop::new();
    let files = (0..25).map(|n| (format!("{n}.bin"), b"x".to_vec()));
    let config = [("config.json".to_owned(), br#"{"type": "mlp"}"#.to_vec())];
    let walk = Repository::new("acme/walk").unwrap();
    let walk = walk.commit_files(files.chain(config)).unwrap();
    let hub = TestHub::start().unwrap();
    hub.serve(walk);
    let usual = ["fetch", "acme/walk@main", "--endpoint", hub.endpoint()];
    let run = workshop.run(usual);
    run.expect(0)
        .says("  left out   5 more files; --json names all\n");
    assert_eq!(
        run.stderr
            .matches("no file of a policy has this name")
            .count(),
        20
    );
    let object = workshop.run(usual.iter().chain(&["--json"])).json();
    assert_eq!(object["left_out"].as_array().unwrap().len(), 25);
}

#[test]
fn a_token_of_the_environment_goes_to_its_endpoint_only() {
    let fixture = Fixture::new();
    let private = Repository::new("acme/private").unwrap().gated("hf_right");
    let private = private.commit_dir(fixture.workshop.path("walk")).unwrap();
    let target = format!("acme/private@{}", private.commits()[0]);
    fixture.hub.serve(private);
    let command = || {
        let mut command = fixture.workshop.command();
        command.env("HF_TOKEN", "hf_right").args(["fetch", &target]);
        command
    };
    let endpoint = fixture.hub.endpoint();
    Run::of(command().args(["--endpoint", endpoint]))
        .expect(2)
        .says("gated");
    Run::of(command().env("HF_ENDPOINT", endpoint)).expect(0);
}

#[test]
fn a_token_is_sent_and_never_shown() {
    let fixture = Fixture::new();
    let private = Repository::new("acme/private").unwrap().gated("hf_right");
    let private = private.commit_dir(fixture.workshop.path("walk")).unwrap();
    let target = format!("acme/private@{}", private.commits()[0]);
    fixture.hub.serve(private);
    fixture.workshop.secret("right", "hf_right\n");
    fixture.workshop.secret("wrong", "hf_wrong\n");
    let usual = ["fetch", &target, "--endpoint", fixture.hub.endpoint()];
    let fetch = |options: &[&str]| fixture.workshop.run(usual.iter().chain(options));
    fetch(&[]).expect(2).says("gated");
    let run = fetch(&["--token-file", "wrong"]);
    run.expect(2).says("gated");
    assert!(!format!("{run:?}").contains("hf_"), "{run:?}");
    fetch(&["--token-file", "missing"])
        .could_not_check("could not read the token \"missing\": No such file");
    fetch(&["--token-file", "right"]).expect(0);
    fixture.workshop.chmod("right", 0o644);
    fetch(&["--token-file", "right"]).could_not_check("others than its owner may open \"right\"");
    fixture
        .workshop
        .secret("large", &"x".repeat((64 << 10) + 1));
    fetch(&["--token-file", "large"]).could_not_check("\"large\" has more than 65536 bytes");
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
        .could_not_check("could not make \"/proc/store");
    let run = fixture.fetch(&fixture.files, &["--store", "/dev/null"]);
    run.could_not_check("/dev/null");
    run.says("hint: something that is no directory has this name");
}
