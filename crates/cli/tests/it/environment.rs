//! What users of `huggingface_hub` have in their environment means the same to the command.

use std::process::Command;

use tensorgate_testhub::Repository;

use crate::fixture::Fixture;
use crate::support::Run;

/// A Hub that is the one of the environment, with a repository for who has the token `hf_right`.
struct Gated {
    fixture: Fixture,
    target: String,
}

impl Gated {
    fn new() -> Self {
        let fixture = Fixture::new();
        let gated = Repository::new("acme/private").unwrap().gated("hf_right");
        let gated = gated.commit_dir(fixture.workshop.path("walk")).unwrap();
        let target = format!("acme/private@{}", gated.commits()[0]);
        fixture.hub.serve(gated);
        Self { fixture, target }
    }

    fn command(&self) -> Command {
        let mut command = self.fixture.workshop.command();
        command.args(["fetch", &self.target]);
        command.env("HF_ENDPOINT", self.fixture.hub.endpoint());
        command
    }
}

#[test]
fn offline_by_a_variable_is_offline() {
    let fixture = Fixture::new();
    fixture.fetch(&fixture.files, &[]).expect(0);
    fixture.fetch("main", &[]).expect(0);
    fixture.hub.clear_requests();
    let fetch = |revision: &str, name: &str, value: &str| {
        let mut command = fixture.workshop.command();
        let target = format!("acme/walk@{revision}");
        command.args(["fetch", &target, "--endpoint", fixture.hub.endpoint()]);
        Run::of(command.env(name, value))
    };
    for name in ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"] {
        for value in ["1", "true", "YES", "on"] {
            let run = fetch(&fixture.files, name, value);
            run.expect(0).says("all in the store, read again");
            fetch("main", name, value).could_not_check("the network is not to be used");
        }
        assert_eq!(fixture.hub.requests(), []);
        for value in ["0", "false", ""] {
            fetch("main", name, value).expect(0);
            assert_eq!(fixture.hub.requests().len(), 1);
            fixture.hub.clear_requests();
        }
    }
}

#[test]
fn a_stored_token_is_found_where_a_login_left_it() {
    let gated = Gated::new();
    let workshop = &gated.fixture.workshop;
    Run::of(&mut gated.command()).could_not_check("gated");
    for (file, variable, value) in [
        ("named", "HF_TOKEN_PATH", "named"),
        ("home/token", "HF_HOME", "home"),
        ("cache/huggingface/token", "XDG_CACHE_HOME", "cache"),
    ] {
        workshop.secret(file, "hf_wrong\n");
        let fetch = || {
            let mut command = gated.command();
            command.env(variable, workshop.path(value));
            command
        };
        let run = Run::of(&mut fetch());
        run.could_not_check("gated");
        assert!(!format!("{run:?}").contains("hf_"), "{run:?}");
        workshop.secret(file, "hf_right\n");
        let off = ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1");
        Run::of(fetch().env(off.0, off.1)).could_not_check("gated");
        // To another endpoint than the environment's it does not go.
        let there = ["--endpoint", gated.fixture.hub.endpoint()];
        Run::of(fetch().env_remove("HF_ENDPOINT").args(there)).could_not_check("gated");
        // A variable counts more than a file.
        Run::of(fetch().env("HF_TOKEN", "hf_wrong")).could_not_check("gated");
        Run::of(&mut fetch()).expect(0);
        std::fs::remove_dir_all(workshop.path("store")).unwrap();
    }
    workshop.secret(".cache/huggingface/token", "hf_right\n");
    Run::of(&mut gated.command()).expect(0);
}

#[test]
fn a_token_that_is_named_and_not_there_is_an_error() {
    let gated = Gated::new();
    gated.fixture.hub.clear_requests();
    let fetch = |path: &str| Run::of(gated.command().env("HF_TOKEN_PATH", path));
    fetch("/nowhere/token").could_not_check("the token file \"/nowhere/token\" cannot be read");
    gated.fixture.workshop.secret("two", "hf_two words");
    let run = fetch("two");
    run.could_not_check("the token from ");
    assert!(!format!("{run:?}").contains("hf_two"), "{run:?}");
    assert_eq!(gated.fixture.hub.requests(), []);
}

/// Of this user, there may be no further threads: a message, and no panic.
#[test]
fn without_threads_it_is_an_error() {
    let mut limited = Command::new("bash");
    if rustix::process::geteuid().is_root() {
        // Root's threads are not counted.
        limited = Command::new("setpriv");
        limited.args(["--reuid=4242", "--regid=4242", "--clear-groups", "bash"]);
    }
    let program = env!("CARGO_BIN_EXE_tensorgate");
    limited.args(["-c", "ulimit -u 1; exec \"$0\" inspect /", program]);
    let output = limited.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(
        errors.starts_with("error: could not start threads: "),
        "{errors}"
    );
}
