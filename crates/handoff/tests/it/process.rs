//! Other processes: this very program, started again in one of these roles.
//!
//! Each reads its orders from the environment and says what it found in lines `name=value`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use tensorgate_handoff::*;

use crate::pages::Measured;
use crate::support::*;

const SOCKET: &str = "HANDOFF_TEST_SOCKET";
/// Printed before what a role has to say: the test harness prints, too.
const MARK: &str = "said: ";

/// A process in a role; it ends when this does.
pub(crate) struct Role {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Role {
    /// What is to be said of such a process, and the process, which waits for leave to end.
    pub(crate) fn start(role: &str, socket: &Path, uid: Option<u32>) -> (Said, Self) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        if let Some(uid) = uid {
            command.uid(uid);
        }
        Self::start_as(command, role, socket)
    }

    /// The same, with process numbers of its own, as in a container.
    pub(crate) fn start_contained(role: &str, socket: &Path) -> (Said, Self) {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child"]);
        command.arg(std::env::current_exe().unwrap());
        Self::start_as(command, role, socket)
    }

    /// The same, in a user namespace where nobody has a number, this user neither.
    pub(crate) fn start_nameless(role: &str, socket: &Path) -> (Said, Self) {
        let mut command = Command::new("unshare");
        command.arg("--user").arg(std::env::current_exe().unwrap());
        Self::start_as(command, role, socket)
    }

    fn start_as(mut command: Command, role: &str, socket: &Path) -> (Said, Self) {
        command
            .args(["--exact", &format!("process::{role}")])
            .args(["--ignored", "--nocapture", "--test-threads=1"])
            .env(SOCKET, socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let input = child.stdin.take();
        let mut role = Self {
            child,
            input,
            output,
        };
        (role.listen(), role)
    }

    /// Lets it go on until it waits again.
    pub(crate) fn go_on(&mut self) -> Said {
        self.input.as_ref().unwrap().write_all(b"\n").unwrap();
        self.listen()
    }

    fn listen(&mut self) -> Said {
        let mut said = Said::default();
        for line in self.output.by_ref().lines() {
            let line = line.unwrap();
            let Some((_, line)) = line.split_once(MARK) else {
                continue;
            };
            if line == "ready" {
                break;
            }
            let (name, value) = line.split_once('=').unwrap();
            said.0.insert(name.to_owned(), value.to_owned());
        }
        said
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.wait().unwrap();
    }
}

/// What a process said.
#[derive(Debug, Default)]
pub(crate) struct Said(BTreeMap<String, String>);

impl Said {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0
            .get(name)
            .unwrap_or_else(|| panic!("{name} in {self:?}"))
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap()
    }
}

fn say(name: &str, value: impl std::fmt::Display) {
    println!("{MARK}{name}={value}");
}

/// Waits until the one who started this process is done with it.
fn wait() {
    println!("{MARK}ready");
    std::io::stdout().flush().unwrap();
    let _end = std::io::stdin().read_line(&mut String::new());
}

fn limit_descriptors(most: u64) {
    let limit = Rlimit {
        current: Some(most),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

fn socket() -> PathBuf {
    std::env::var_os(SOCKET).unwrap().into()
}

#[test]
#[ignore = "a process that other tests start"]
fn controller() {
    let before = Measured::private();
    let policy = prove(receive_at(&socket()).unwrap()).unwrap();
    let model = policy.file("model.safetensors").unwrap();
    say("grown", Measured::private().saturating_sub(before));
    let digest = tensorgate_verify::Blake3::of(model.bytes());
    say("blake3", digest);
    for (name, value) in Measured::of(model.bytes()).all() {
        say(name, value);
    }
    wait();
    // Again, now that all the others have mapped it.
    drop(policy);
}

#[test]
#[ignore = "a process that other tests start"]
fn stranger() {
    match receive_at(&socket()) {
        Ok(_) => say("outcome", "handed over"),
        Err(error) => say("outcome", error),
    }
    wait();
}

/// Connects, and never reads.
#[test]
#[ignore = "a process that other tests start"]
fn deaf_controller() {
    let socket = crate::hostile_controller::connect_to(&socket());
    wait();
    drop(socket);
}

/// Has room for a few descriptors only.
#[test]
#[ignore = "a process that other tests start"]
fn poor_controller() {
    let used = descriptors() as u64;
    for room in 0..8 {
        limit_descriptors(used - 1 + room);
        let outcome = match receive_at(&socket()) {
            Ok(handed) => match prove(handed) {
                Ok(_) => "proven".to_owned(),
                Err(error) => format!("not proven: {error}"),
            },
            Err(error) => format!("not received: {error}"),
        };
        say(&format!("room{room}"), outcome);
    }
    wait();
}

/// A gate that runs out of descriptors, and gets them back.
#[test]
#[ignore = "a process that other tests start"]
fn poor_gate() {
    let gate = Gate::of(&policy(), Peers::default());
    say("path", gate.path().display());
    wait();
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    say("taken", taken.len());
    wait();
    let before = getrlimit(Resource::Nofile);
    limit_descriptors(3);
    wait();
    say("event", gate.event(4));
    setrlimit(Resource::Nofile, before).unwrap();
    wait();
}

/// A gate to which the processes outside have no number.
#[test]
#[ignore = "a process that other tests start"]
fn contained_gate() {
    let gate = Gate::of(&policy(), Peers::default());
    say("path", gate.path().display());
    say("pid", std::process::id());
    wait();
    say("event", gate.event(1));
    wait();
}

/// A gate to which everybody may come.
#[test]
#[ignore = "a process that other tests start"]
fn open_gate() {
    let gate = Gate::of(&policy(), Peers::of([0, 1, geteuid().as_raw(), 65_534]));
    limit_descriptors(256);
    say("path", gate.path().display());
    wait();
}

/// A gate that may make no file as large as the weights, for a while.
#[test]
#[ignore = "a process that other tests start"]
fn starving_gate() {
    let folder = socket();
    let sealed = policy_of(1, &weights(100_000));
    let policy = crate::pages::guarded(&folder, &sealed);
    let model = policy.file("model.safetensors").unwrap();
    say("before", model.hold().holding());
    let before = getrlimit(Resource::Fsize);
    let small = Rlimit {
        current: Some(100_000),
        ..before
    };
    setrlimit(Resource::Fsize, small).unwrap();
    say("sealed", Offer::seal(&policy, SESSION, EPOCH).is_ok());
    say("after", model.hold().holding());
    let same = model.bytes() == sealed.file("model.safetensors").unwrap().bytes();
    say("bytes", if same { "the same" } else { "others" });
    setrlimit(Resource::Fsize, before).unwrap();
    say("later", Offer::seal(&policy, SESSION, EPOCH).is_ok());
    wait();
}
