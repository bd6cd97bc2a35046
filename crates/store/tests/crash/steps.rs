//! From one step of an operation to the next, and what is there then.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};

use crate::operations::{Meaning, OPERATIONS, Operation, assert_tidy, meaning};
use crate::order::Order;
use crate::trace::{Change, Stop, Traced};

/// Which operation a child does.
const OPERATION: &str = "TENSORGATE_TEST_CRASH_OPERATION";
/// Where its store is.
const ROOT: &str = "TENSORGATE_TEST_CRASH_ROOT";
/// How a child says that the disk is full.
const FULL: u8 = 10;

/// The whole test, or the child of one that asks for an operation.
pub(crate) fn main() -> ExitCode {
    match (std::env::var(OPERATION), std::env::var_os(ROOT)) {
        (Ok(name), Some(root)) => be_the_child(&name, Path::new(&root)),
        _ => {
            let all = tempfile::tempdir_in(place()).unwrap();
            OPERATIONS
                .iter()
                .for_each(|operation| Crash::new(operation, all.path()).run());
            ExitCode::SUCCESS
        }
    }
}

/// Kills are the same everywhere; flushing is quicker in memory.
fn place() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    }
}

/// Says what the store means, does the operation between two stops, and says it again.
fn be_the_child(name: &str, root: &Path) -> ExitCode {
    let operation = OPERATIONS.iter().find(|operation| operation.name == name);
    let act = (operation.unwrap().prepare)(root);
    println!("{}", serde_json::to_string(&meaning(root)).unwrap());
    ptrace::traceme().unwrap();
    raise(Signal::SIGSTOP).unwrap();
    let outcome = act();
    raise(Signal::SIGSTOP).unwrap();
    println!("{}", serde_json::to_string(&meaning(root)).unwrap());
    match outcome {
        Ok(()) => {
            assert_tidy(root);
            ExitCode::SUCCESS
        }
        Err(error) if error.is_disk_full() && error.hint().is_some() => ExitCode::from(FULL),
        Err(error) => panic!("{name}: {error}"),
    }
}

/// One operation, to be broken off everywhere.
struct Crash<'a> {
    operation: &'a Operation,
    /// The store as it is before.
    base: PathBuf,
    /// Where it is tried.
    trial: PathBuf,
}

impl<'a> Crash<'a> {
    fn new(operation: &'a Operation, all: &Path) -> Self {
        let (base, trial) = (all.join("base"), all.join("trial"));
        Self {
            operation,
            base,
            trial,
        }
    }

    fn run(&self) {
        self.remove(&self.base);
        std::fs::create_dir(&self.base).unwrap();
        (self.operation.before)(&self.base);
        let (steps, old, new) = self.whole();
        assert!(
            !steps.is_empty(),
            "{}: nothing was changed",
            self.operation.name
        );
        for step in 0..steps.len() {
            for behind in [false, true] {
                let (order, _) = self.broken_off(step, behind, None);
                self.go_on(order, &old, &new);
            }
        }
        let full: Vec<usize> = (0..steps.len())
            .filter(|step| needs_room(&steps[*step]))
            .collect();
        for step in &full {
            for errno in [Errno::ENOSPC, Errno::EDQUOT] {
                let (order, status) = self.broken_off(*step, true, Some(errno));
                assert_eq!(
                    status,
                    Some(FULL.into()),
                    "{}: {:?}",
                    self.operation.name,
                    steps[*step]
                );
                self.go_on(order, &old, &new);
            }
        }
        let (name, steps, full) = (self.operation.name, steps.len(), full.len());
        println!(
            "{name}: killed before and behind each of {steps} steps; {full} told twice that there is no room"
        );
    }

    /// The operation as it should be: its steps, and what the store means before and after.
    fn whole(&self) -> (Vec<Change>, Meaning, Meaning) {
        self.reset();
        let mut traced = self.start();
        let (mut order, mut steps) = (Order::new(&self.trial.join("store")), Vec::new());
        loop {
            match traced.next() {
                Stop::Entry(change) => {
                    order.before(&change);
                    steps.push(change);
                }
                Stop::Exit(change, Ok(())) => order.after(&change),
                Stop::Exit(..) => {}
                Stop::End => break,
            }
        }
        order.at_success();
        let (status, old, new) = finish(traced.release());
        assert_eq!(status, Some(0), "{}", self.operation.name);
        (steps, old, new)
    }

    /// Breaks the operation off at a step, or lets that step fail and the operation end. Returns what
    /// was not flushed, and how the operation ended.
    fn broken_off(&self, step: usize, behind: bool, fail: Option<Errno>) -> (Order, Option<i32>) {
        self.reset();
        let mut traced = self.start();
        let mut order = Order::new(&self.trial.join("store"));
        let mut entered = 0;
        loop {
            match traced.next() {
                Stop::Entry(change) => {
                    order.before(&change);
                    entered += 1;
                    if entered == step + 1 && !behind {
                        break;
                    }
                    if entered == step + 1
                        && let Some(errno) = fail
                    {
                        traced.fail_with(errno);
                    }
                }
                Stop::Exit(change, done) => {
                    if done.is_ok() {
                        order.after(&change);
                    }
                    if entered == step + 1 && fail.is_none() {
                        break;
                    }
                }
                Stop::End if fail.is_some() => return (order, finish(traced.release()).0),
                Stop::End => panic!("{}: ended before step {step}", self.operation.name),
            }
        }
        traced.kill();
        (order, None)
    }

    /// A new process finds the old store or the new, and does what was broken off.
    fn go_on(&self, mut order: Order, old: &Meaning, new: &Meaning) {
        let mut traced = self.start();
        loop {
            match traced.next() {
                Stop::Entry(change) => order.before(&change),
                Stop::Exit(change, Ok(())) => order.after(&change),
                Stop::Exit(..) => {}
                Stop::End => break,
            }
        }
        order.at_success();
        let (status, found, end) = finish(traced.release());
        for part in old.keys().chain(new.keys()).chain(found.keys()) {
            let known = [old.get(part), new.get(part)];
            assert!(
                known.contains(&found.get(part)),
                "{}: {part} is {:?}, neither of {known:#?}",
                self.operation.name,
                found.get(part)
            );
        }
        assert_eq!((status, &end), (Some(0), new), "{}", self.operation.name);
    }

    fn start(&self) -> Traced {
        let child = Command::new(std::env::current_exe().unwrap())
            .env(OPERATION, self.operation.name)
            .env(ROOT, &self.trial)
            .env("RAYON_NUM_THREADS", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Traced::new(child)
    }

    fn reset(&self) {
        self.remove(&self.trial);
        let mut copy = Command::new("cp");
        let status = copy.arg("-a").args([&self.base, &self.trial]).status();
        assert!(status.unwrap().success());
    }

    fn remove(&self, path: &Path) {
        if path.exists() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}

/// How a child ended, and what it said that the store means, before and after.
fn finish(mut child: Child) -> (Option<i32>, Meaning, Meaning) {
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut meaning = || serde_json::from_str(&said.next().unwrap().unwrap()).unwrap();
    let (before, after) = (meaning(), meaning());
    (child.wait().unwrap().code(), before, after)
}

/// Whether a full disk shows at this step.
fn needs_room(change: &Change) -> bool {
    !matches!(change, Change::Lock | Change::Unlink { .. })
}
