//! A process that holds a policy, and may die of it: this very program, started again.

use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tensorgate_verify::*;

use crate::support::*;
use crate::{processes, signals};

/// Longer than anything takes here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

const ROLE: &str = "TENSORGATE_ROLE";
const FOLDER: &str = "TENSORGATE_FOLDER";
const FLOATS: &str = "TENSORGATE_FLOATS";

pub(crate) struct Holding {
    pub(crate) process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stdin: Option<ChildStdin>,
}

/// Starts `role` on a policy of `floats` F32 below `folder`.
pub(crate) fn start(role: &str, folder: &Path, floats: usize) -> Holding {
    started(
        Command::new(std::env::current_exe().unwrap()),
        role,
        folder,
        floats,
    )
}

/// The same, by another program that starts this one: it is given the arguments.
pub(crate) fn started(mut program: Command, role: &str, folder: &Path, floats: usize) -> Holding {
    let mut process = program
        .args(["--exact", "child::role", "--ignored", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .env(FLOATS, floats.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let stdin = process.stdin.take();
    Holding {
        process,
        lines,
        stdin,
    }
}

impl Holding {
    /// What it says next; `None` when it has ended.
    pub(crate) fn says(&mut self) -> Option<String> {
        let mut lines = self.lines.by_ref().map_while(std::result::Result::ok);
        lines.find_map(|line| line.split_once("> ").map(|(_, said)| said.to_owned()))
    }

    /// The file that it holds.
    pub(crate) fn path(&mut self) -> PathBuf {
        let line = self.says().unwrap();
        let path = line.strip_prefix("holds ");
        PathBuf::from(path.unwrap_or_else(|| panic!("{line}")))
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Lets it end; the signal that it was ended by, if so.
    pub(crate) fn end(mut self) -> Option<i32> {
        drop(self.stdin.take());
        let status = self.process.wait().unwrap();
        assert!(status.success() || status.signal().is_some(), "{status}");
        status.signal()
    }
}

/// Tells the process that started this one.
pub(crate) fn say(what: &str) {
    // Not captured, whatever the harness does; one line in one write.
    let line = format!("> {what}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

pub(crate) fn wait_for_the_end() {
    std::io::stdin().lines().for_each(drop);
}

pub(crate) fn fixture() -> Fixture {
    fixture_of(std::env::var(FLOATS).unwrap().parse().unwrap())
}

pub(crate) fn fixture_of(floats: usize) -> Fixture {
    let folder = tempfile::tempdir_in(std::env::var(FOLDER).unwrap()).unwrap();
    Fixture::inside(folder, &[("big", floats)])
}

pub(crate) fn open(fixture: &Fixture, holder: &LeaseHolder) -> Result<Verified<Policy>> {
    let manifest = trust(1, &[1]).authenticate(&fixture.signed(), &context())?;
    let directory = directory(fixture.folder.path()).guarded_by(holder);
    manifest.open(&directory, Proof::Tensors, &Rules::default())
}

#[test]
#[ignore = "other tests start it"]
fn role() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    // Whoever waits for its word does not wait for ever.
    std::thread::spawn(|| {
        std::thread::sleep(10 * PATIENCE);
        std::process::abort();
    });
    match role.as_str() {
        "reads" => reads(),
        "waits" => waits(),
        "withdraws" => withdraws(),
        "checks" => checks(),
        "finds" => finds(),
        "forks" => processes::forks(),
        "keeps its signals" => signals::keeps_its_signals(),
        "uses the signal" => signals::uses_the_signal(),
        "is told" => signals::is_told(),
        "idles" => signals::idles(),
        other => panic!("{other}"),
    }
}

/// Compares every byte until it is told to end.
fn reads() {
    let fixture = fixture();
    let holder = LeaseHolder::start(LeaseSignal::default(), |_| ()).unwrap();
    let expected = std::fs::read(fixture.path("model.safetensors")).unwrap();
    let policy = open(&fixture, &holder).unwrap();
    let hold = crate::storm::weights_hold(&policy);
    std::thread::scope(|scope| {
        let (sender, ended) = channel::<()>();
        scope.spawn(move || {
            while ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                assert!(hold[..] == expected[..], "a byte changed");
            }
        });
        say(&format!(
            "holds {}",
            fixture.path("model.safetensors").display()
        ));
        say(&hold.holding().to_string());
        wait_for_the_end();
        drop(sender);
    });
}

/// Holds a policy, and does nothing.
fn waits() {
    let fixture = fixture();
    let holder = LeaseHolder::start(LeaseSignal::default(), |event| say(&format!("{event:?}")));
    let policy = open(&fixture, &holder.unwrap()).unwrap();
    say(&format!(
        "holds {}",
        fixture.path("model.safetensors").display()
    ));
    wait_for_the_end();
    say(&crate::storm::weights_hold(&policy).holding().to_string());
}

/// Lets go of the policy when there is no memory to keep it.
fn withdraws() {
    let fixture = fixture();
    let (sender, starved) = channel();
    let holder = LeaseHolder::start(LeaseSignal::default(), move |event| {
        if let LeaseOutcome::Starved { error, left } = &event.outcome {
            sender
                .send(format!("{}: {error}, {left:?} left", event.path))
                .unwrap();
        }
    });
    let policy = open(&fixture, &holder.unwrap()).unwrap();
    say(&format!(
        "holds {}",
        fixture.path("model.safetensors").display()
    ));
    let why = starved.recv_timeout(PATIENCE).unwrap();
    drop(policy);
    say(&format!("withdrawn: {why}"));
    wait_for_the_end();
}

/// Is starved before the check is done.
fn checks() {
    let fixture = fixture();
    let holder = LeaseHolder::start(LeaseSignal::default(), |_| ()).unwrap();
    say(&format!(
        "holds {}",
        fixture.path("model.safetensors").display()
    ));
    let opened = open(&fixture, &holder);
    say_how_it_ended(&opened);
    // With its lease, if there is one.
    wait_for_the_end();
}

/// Opens a directory that is there.
fn finds() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let open = || {
        let files = survey(&folder)?;
        let manifest = Manifest::new(repo(), 5, validity(), About::of_type("mlp"), files);
        let manifest = trust(1, &[1]).authenticate(&sign(&manifest, &[1]), &context())?;
        let holder = LeaseHolder::start(LeaseSignal::default(), |_| ()).unwrap();
        let directory = directory(&folder).guarded_by(&holder);
        manifest.open(&directory, Proof::Tensors, &Rules::default())
    };
    say_how_it_ended(&open());
    wait_for_the_end();
}

fn say_how_it_ended(opened: &Result<Verified<Policy>>) {
    match opened {
        Ok(policy) => say(&crate::storm::weights_hold(policy).holding().to_string()),
        Err(Error::Io { source, .. }) => say(&format!("not read: {:?}", source.kind())),
        Err(other) => say(&other.to_string()),
    }
}
