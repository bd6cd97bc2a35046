//! The program `tensorgate-testhub`, as the demo uses it.
#![cfg(test)] // so that clippy takes the helpers for tests, too

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::ID;
use serde_json::{Value, json};
use tensorgate_testhub::{CDN_SIGNATURE, Repository};

#[test]
fn it_serves_directories_as_commits_until_a_signal() {
    for signal in ["INT", "TERM"] {
        let (first, second) = (directory("{}"), directory("{ }"));
        let arguments = [repo(first.path()), repo(second.path())];
        let mut program = Program::start(&arguments);
        let expected = Repository::new(ID).unwrap();
        let expected = expected
            .commit_files([("config.json", "{}"), ("model.bin", "abc")])
            .unwrap();
        let expected = expected
            .commit_files([("config.json", "{ }"), ("model.bin", "abc")])
            .unwrap();
        assert_eq!(program.ready["commits"], json!({ID: expected.commits()}));

        let answer = program.get("endpoint", &format!("/{ID}/resolve/main/config.json"));
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("{ }"),
            "{answer}"
        );
        assert_eq!(program.end(signal), Some(0));
    }
}

#[test]
fn it_tampers_as_the_flag_says() {
    let dir = directory("{}");
    let program = Program::start(&[repo(dir.path()), "--fault=flip:model.bin@1".into()]);
    let commit = program.ready["commits"][ID][0].as_str().unwrap();
    let target = format!("/models/{ID}/{commit}/model.bin?Signature={CDN_SIGNATURE}");
    let answer = program.get("cdn", &target);
    assert!(
        answer.contains("content-length: 3") && answer.ends_with("a\u{fffd}c"),
        "{answer}"
    );
}

#[test]
fn a_port_in_use_is_said_clearly() {
    let dir = directory("{}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (status, message) = refused(&[repo(dir.path()), format!("--port={port}")]);
    assert_eq!(status, Some(2));
    assert!(
        message.contains(&format!("127.0.0.1:{port}: Address already in use")),
        "{message}"
    );
    assert!(message.contains("hint: "), "{message}");
}

#[test]
fn wrong_usage_is_exit_2_and_names_the_argument() {
    let dir = directory("{}");
    for (arguments, named) in [
        (vec![], "--repo"),
        (vec!["--repo=robots/walk".into()], "want OWNER/NAME=DIR"),
        (
            vec![format!("--repo=walk={}", dir.path().display())],
            "\"walk\"",
        ),
        (
            vec!["--repo=robots/walk=/none/such".into()],
            "\"/none/such\"",
        ),
        (
            vec![repo(dir.path()), "--fault=melt:x".into()],
            "\"melt:x\"",
        ),
        (
            vec![repo(dir.path()), "--fault=flip:none.bin".into()],
            "\"none.bin\"",
        ),
        (
            vec![repo(dir.path()), "--fault=flip:model.bin@3".into()],
            "byte 3",
        ),
    ] {
        let (status, message) = refused(&arguments);
        assert_eq!(status, Some(2), "{arguments:?}");
        assert!(message.contains(named), "{arguments:?}: {message}");
    }
}

struct Program {
    child: Child,
    ready: Value,
}

impl Program {
    fn start(arguments: &[String]) -> Self {
        let mut child = command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            child,
            ready: serde_json::from_str(&line).unwrap(),
        }
    }

    fn get(&self, port: &str, target: &str) -> String {
        let address = self.ready[port]
            .as_str()
            .unwrap()
            .strip_prefix("http://")
            .unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        let mut socket = TcpStream::connect(address).unwrap();
        write!(
            socket,
            "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn end(&mut self, signal: &str) -> Option<i32> {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn refused(arguments: &[String]) -> (Option<i32>, String) {
    let output = command(arguments).output().unwrap();
    assert!(output.stdout.is_empty());
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn command(arguments: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorgate-testhub"));
    command.args(arguments);
    command
}

fn repo(dir: &Path) -> String {
    format!("--repo={ID}={}", dir.display())
}

fn directory(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    std::fs::write(dir.path().join("model.bin"), "abc").unwrap();
    dir
}
