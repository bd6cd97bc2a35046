//! One real-time signal, and nothing else of the process's.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, prlimit};
use tensorgate_verify::*;

use crate::child::{self, PATIENCE, fixture, open, say, wait_for_the_end};
use crate::places::{self, Disk};
use crate::storm::weights_hold;
use crate::writer::Writer;

#[test]
fn the_process_keeps_its_handlers_and_masks() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut process = child::start("keeps its signals", place.path(), 1000);
    assert_eq!(process.says().unwrap(), "the same");
    assert_eq!(process.end(), None);
}

/// A thread that starts another blocks signals for a moment.
fn settled() -> BTreeMap<String, String> {
    loop {
        let state = signal_state();
        std::thread::sleep(Duration::from_millis(100));
        if state == signal_state() {
            return state;
        }
    }
}

/// What each thread catches, ignores and blocks; the threads of the holder are no part of it.
fn signal_state() -> BTreeMap<String, String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let tasks = tasks.map(|task| task.unwrap().path());
    let state = tasks.filter_map(|task| {
        let status = fs::read_to_string(task.join("status")).ok()?;
        let kept = |line: &&str| {
            let (name, _) = line.split_once(':').unwrap_or_default();
            ["SigBlk", "SigIgn", "SigCgt"].contains(&name)
        };
        let kept: Vec<&str> = status.lines().filter(kept).collect();
        let ours = status.starts_with("Name:\ttensorgate-");
        (!ours).then(|| (task.display().to_string(), kept.join(" ")))
    });
    state.collect()
}

pub(crate) fn keeps_its_signals() {
    let fixture = fixture();
    // The threads that prove are there before.
    drop(fixture.open().unwrap());
    let before = settled();
    let (sender, moved) = channel();
    let holder = LeaseHolder::start(LeaseSignal::default(), move |_| sender.send(()).unwrap());
    let policy = open(&fixture, &holder.unwrap()).unwrap();
    let while_held = settled();
    let path = fixture.path("model.safetensors");
    drop(fs::OpenOptions::new().write(true).open(path).unwrap());
    moved.recv_timeout(PATIENCE).unwrap();
    drop(policy);
    let same = before == while_held && before == settled();
    say(match same {
        true => "the same",
        false => "not the same",
    });
}

/// The number of the signal is the process's own to use, and another one can be said.
#[test]
fn a_signal_of_the_same_number_reaches_the_process() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut process = child::start("uses the signal", place.path(), 1000);
    let path = process.path();
    let number = LeaseSignal::default().number();
    let pid = process.process.id();
    // Real-time signals are queued: each is handled.
    let kill = format!("for _ in $(seq 100); do kill -{number} {pid}; done");
    let kill = || places::run(Command::new("sh").args(["-ec", &kill])).unwrap();
    kill();
    assert_eq!(process.says().unwrap(), "handled 100");
    // Breaks are none of the handler's.
    let mut writer = Writer::start();
    writer.ask("pwrite", &path, &path, Duration::ZERO);
    writer.answer().unwrap();
    kill();
    assert_eq!(process.says().unwrap(), "handled 200");
    assert_eq!(process.end(), None);
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handle(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::AcqRel);
}

#[expect(unsafe_code, reason = "a handler, as the process might have")]
pub(crate) fn uses_the_signal() {
    let number = LeaseSignal::default().number();
    let handler: extern "C" fn(libc::c_int) = handle;
    // SAFETY: the handler adds to an atomic number, which is all that it does.
    unsafe { libc::signal(number, handler as libc::sighandler_t) };
    let fixture = fixture();
    let holder = LeaseHolder::start(LeaseSignal::default(), |_| ()).unwrap();
    let policy = open(&fixture, &holder).unwrap();
    say(&format!(
        "holds {}",
        fixture.path("model.safetensors").display()
    ));
    for times in [100, 200] {
        while HANDLED.load(Ordering::Acquire) < times {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(HANDLED.load(Ordering::Acquire), times);
        say(&format!("handled {times}"));
    }
    wait_for_the_end();
    assert_eq!(
        weights_hold(&policy).holding(),
        Holding::Sealed(Unguarded::Moved)
    );
}

#[test]
fn only_real_time_signals_will_do() {
    for number in [
        0,
        libc::SIGIO,
        libc::SIGRTMIN() - 1,
        libc::SIGRTMAX() + 1,
        -1,
    ] {
        assert_eq!(LeaseSignal::new(number), None, "{number}");
    }
    assert_eq!(
        LeaseSignal::new(libc::SIGRTMIN()).unwrap().number(),
        libc::SIGRTMIN()
    );
    let default = LeaseSignal::new(libc::SIGRTMIN() + 10);
    assert_eq!(default, Some(LeaseSignal::default()));
}

#[test]
fn another_signal_does_as_well_and_a_listener_that_fails_hurts_nobody() {
    let Some(place) = Disk::find() else {
        return;
    };
    let signal = LeaseSignal::new(libc::SIGRTMAX()).unwrap();
    let (sender, told) = channel();
    let (go_on, wait) = channel::<()>();
    // Panics first, and then is stuck.
    let holder = LeaseHolder::start(signal, move |event| {
        sender.send(event.bytes).unwrap();
        wait.recv().expect("a listener that panics");
    });
    let holder = holder.unwrap();
    drop(go_on);
    for _ in 0..3 {
        let fixture = place.fixture(&[("a", 9)]);
        let policy = open(&fixture, &holder).unwrap();
        assert_eq!(weights_hold(&policy).holding(), Holding::Guarded);
        fs::write(fixture.path("model.safetensors"), "other").unwrap();
        assert_eq!(
            weights_hold(&policy).holding(),
            Holding::Sealed(Unguarded::Moved)
        );
        assert!(told.recv_timeout(PATIENCE).unwrap() > 36);
    }
}

#[test]
fn a_listener_that_waits_for_ever_keeps_no_writer_waiting() {
    let Some(place) = Disk::find() else {
        return;
    };
    let (_never, wait) = channel::<()>();
    let holder = LeaseHolder::start(LeaseSignal::default(), move |_| {
        wait.recv().unwrap_or_default();
    })
    .unwrap();
    for _ in 0..3 {
        let fixture = place.fixture(&[("a", 9)]);
        let policy = open(&fixture, &holder).unwrap();
        fs::write(fixture.path("model.safetensors"), "other").unwrap();
        assert_eq!(
            weights_hold(&policy).holding(),
            Holding::Sealed(Unguarded::Moved)
        );
    }
}

/// The kernel sends SIGIO instead, which nobody waits for: the next look finds out.
#[test]
fn a_full_queue_of_signals_loses_no_break() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut holder = child::start("is told", place.path(), 1000);
    let path = holder.path();
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    prlimit(Some(holder.pid()), Resource::Sigpending, none).unwrap();
    let mut writer = Writer::start();
    writer.ask("pwrite", &path, &path, Duration::ZERO);
    let held_back = writer.answer().unwrap();
    println!("with a full queue of signals, a writer was held back for {held_back:?}");
    assert!(holder.says().unwrap().starts_with("Moved"));
    assert_eq!(holder.end(), None);
}

pub(crate) fn is_told() {
    let fixture = fixture();
    let holder = LeaseHolder::start(LeaseSignal::default(), |event| {
        say(&format!("{:?}", event.outcome))
    });
    let _policy = open(&fixture, &holder.unwrap()).unwrap();
    say(&format!(
        "holds {}",
        fixture.path("model.safetensors").display()
    ));
    wait_for_the_end();
}

/// How soon a break is noticed, and what it costs to wait: printed, since machines differ.
#[test]
fn it_sleeps_until_somebody_writes() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut process = child::start("idles", place.path(), 25_000);
    while let Some(line) = process.says() {
        println!("{line}");
    }
    assert_eq!(process.end(), None);
}

pub(crate) fn idles() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, moved) = channel();
    let holder = LeaseHolder::start(LeaseSignal::default(), move |_| {
        sender.send(Instant::now()).unwrap()
    });
    let holder = holder.unwrap();
    let mut writer = Writer::start();
    // Until it is there.
    writer.ask(
        "unlink",
        &folder.path().join("none"),
        folder.path(),
        Duration::ZERO,
    );
    writer.answer().unwrap_err();
    let mut waited = Vec::new();
    for _ in 0..100 {
        let fixture = fixture();
        let path = fixture.path("model.safetensors");
        let policy = open(&fixture, &holder).unwrap();
        let begun = Instant::now();
        writer.ask("pwrite", &path, folder.path(), Duration::ZERO);
        writer.answer().unwrap();
        waited.push(moved.recv_timeout(PATIENCE).unwrap() - begun);
        drop(policy);
    }
    waited.sort();
    let (min, median, max) = (waited[0], waited[50], waited[99]);
    say(&format!(
        "100 KB, from another process's command until told: {min:?} {median:?} {max:?}"
    ));

    let fixture = fixture();
    let _policy = open(&fixture, &holder).unwrap();
    let before = on_cpu();
    std::thread::sleep(Duration::from_secs(5));
    let used = on_cpu() - before;
    say(&format!(
        "CPU time of its threads in 5 idle seconds: {used:?}"
    ));
}

/// Of the holder's threads (proc_pid_schedstat(5), in ns).
fn on_cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let ours = tasks
        .map(|task| task.unwrap().path())
        .filter(|task: &std::path::PathBuf| {
            let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
            name.starts_with("tensorgate-")
        });
    let time = |task: &Path| {
        let text = fs::read_to_string(task.join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    Duration::from_nanos(ours.map(|task| time(&task)).sum())
}
