//! What happens to the process: killed, stopped, forked, robbed of its file.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tensorgate_verify::*;

use crate::child::{self, fixture, fixture_of, open, say};
use crate::places::Disk;
use crate::storm::weights_hold;
use crate::writer::Writer;

#[test]
fn a_process_that_is_killed_leaves_nothing() {
    let Some(disk) = Disk::find() else {
        return;
    };
    let before = named_after_us();
    for round in 0..40 {
        let place = tempfile::tempdir_in(disk.path()).unwrap();
        let mut reader = child::start("reads", place.path(), 300_000);
        let path = reader.path();
        let mut writer = Writer::start();
        if round % 2 == 1 {
            // In the midst of the move.
            writer.ask("write", &path, &path, Duration::ZERO);
            std::thread::sleep(Duration::from_micros(round * 50));
        }
        reader.send(Signal::KILL);
        assert_eq!(reader.end(), Some(libc::SIGKILL));
        // Does not wait: a lease that is left would be EWOULDBLOCK.
        let mut now = OpenOptions::new();
        now.write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .unwrap();
        // The fixture's own directory is all that there is.
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }
    let litter: Vec<_> = named_after_us().difference(&before).cloned().collect();
    assert!(litter.is_empty(), "{litter:?}");
}

/// A checkout may well lie among the temporary files.
fn named_after_us() -> BTreeSet<OsString> {
    let folders = [Path::new("/dev/shm"), &std::env::temp_dir()];
    let entries = folders.map(|folder| std::fs::read_dir(folder).unwrap());
    let names = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().contains("tensorgate"))
        .collect()
}

/// After lease-break-time, the kernel lets the writer go on. A process that was stopped all the
/// while must not go on as if nothing had happened.
#[test]
fn a_process_that_was_stopped_for_too_long_ends() {
    let Some(place) = Disk::for_a_short_time() else {
        return;
    };
    let mut holder = child::start("waits", place.path(), 300_000);
    let path = holder.path();
    let signed = std::fs::read(&path).unwrap();
    holder.send(Signal::STOP);
    let mut writer = Writer::start();
    writer.ask("pwrite", &path, &path, Duration::ZERO);
    writer.answer().unwrap();
    // No digest would tell.
    std::fs::write(&path, signed).unwrap();
    holder.send(Signal::CONT);
    assert_eq!(holder.says(), None);
    assert_eq!(holder.end(), Some(libc::SIGABRT));
}

/// Stopped, and nobody came, or not for long enough: nothing has happened.
#[test]
fn a_process_that_was_stopped_for_a_while_goes_on() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut reader = child::start("reads", place.path(), 300_000);
    let path = reader.path();
    reader.send(Signal::STOP);
    let mut writer = Writer::start();
    writer.ask("pwrite", &path, &path, Duration::ZERO);
    std::thread::sleep(Duration::from_secs(1));
    reader.send(Signal::CONT);
    writer.answer().unwrap();
    assert_eq!(reader.end(), None);
}

#[test]
fn a_forked_child_does_not_see_what_is_written() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut forks = child::start("forks", place.path(), 300_000);
    assert_eq!(
        forks.says().unwrap(),
        format!("while guarded: ended by {}", libc::SIGSEGV)
    );
    assert_eq!(forks.says().unwrap(), "when sealed: read the same");
    assert_eq!(forks.says().unwrap(), "when dropped: no lease is left");
    assert_eq!(forks.end(), None);
}

pub(crate) fn forks() {
    let fixture = fixture();
    let holder = LeaseHolder::start(LeaseSignal::default(), |_| ()).unwrap();
    let policy = open(&fixture, &holder).unwrap();
    let hold = weights_hold(&policy);
    let first = hold[0];
    say(&format!(
        "while guarded: {}",
        in_a_fork(|| hold[0] == first)
    ));
    drop(hold.to_memfd().unwrap());
    say(&format!("when sealed: {}", in_a_fork(|| hold[0] == first)));

    // It has the file open as well, and stays.
    let again = fixture_of(9);
    let policy = open(&again, &holder).unwrap();
    let dropped = in_a_fork_that_stays(|| {
        drop(policy);
        let mut now = OpenOptions::new();
        now.write(true).custom_flags(libc::O_NONBLOCK);
        now.open(again.path("model.safetensors"))
    });
    dropped.unwrap();
    say("when dropped: no lease is left");
}

/// While there is a child that does nothing.
#[expect(unsafe_code, reason = "fork without exec has no other name")]
fn in_a_fork_that_stays<T>(meanwhile: impl FnOnce() -> T) -> T {
    // SAFETY: the child sleeps; it allocates nothing and takes no lock.
    let child = unsafe { libc::fork() };
    if child == 0 {
        loop {
            // SAFETY: pause(2) takes nothing and changes nothing.
            unsafe { libc::pause() };
        }
    }
    let done = meanwhile();
    kill_process(Pid::from_raw(child).unwrap(), Signal::KILL).unwrap();
    done
}

#[expect(unsafe_code, reason = "fork without exec has no other name")]
fn in_a_fork(read_the_same: impl Fn() -> bool) -> String {
    // SAFETY: the child reads one byte and ends; it allocates nothing and takes no lock.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = i32::from(!read_the_same());
        // SAFETY: _exit(2) runs nothing of this process's.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: waitpid(2) writes one number of this frame.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    match (libc::WIFSIGNALED(status), libc::WEXITSTATUS(status)) {
        (true, _) => format!("ended by {}", libc::WTERMSIG(status)),
        (false, 0) => "read the same".to_owned(),
        (false, _) => "read something else".to_owned(),
    }
}

/// No lease holds back `O_RDONLY | O_TRUNC`. Who may do it could as well kill the process, and that
/// is what it comes to: no byte is read that was not signed.
#[test]
fn a_file_that_its_owner_truncates_for_reading_ends_the_process() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut reader = child::start("reads", place.path(), 300_000);
    let path = reader.path();
    assert_eq!(reader.says(), Some(Holding::Guarded.to_string()));
    truncate_for_reading(&path).unwrap();
    let signal = reader.end();
    assert!(
        [Some(libc::SIGBUS), Some(libc::SIGABRT)].contains(&signal),
        "{signal:?}"
    );
}

/// The same, but nobody reads: the next writer finds out, and the process ends.
#[test]
fn a_file_that_was_truncated_for_reading_is_not_moved() {
    let Some(place) = Disk::find() else {
        return;
    };
    let mut holder = child::start("waits", place.path(), 300_000);
    let path = holder.path();
    truncate_for_reading(&path).unwrap();
    let mut writer = Writer::start();
    writer.ask("write", &path, &path, Duration::ZERO);
    writer.answer().unwrap();
    assert_eq!(holder.says(), None);
    assert_eq!(holder.end(), Some(libc::SIGABRT));
}

fn truncate_for_reading(path: &Path) -> std::io::Result<()> {
    // The standard library refuses the combination: the way of another language.
    let code = "import os, sys; os.open(sys.argv[1], os.O_RDONLY | os.O_TRUNC)";
    let mut python = std::process::Command::new("python3");
    let status = python.args(["-c", code]).arg(path).status()?;
    assert!(status.success());
    Ok(())
}

/// Others cannot: where they may write, there is no guard; where they may not, they may not truncate.
#[test]
fn others_cannot_truncate_what_is_guarded() {
    if !rustix::process::geteuid().is_root() {
        return println!("NOT TRIED: to become another user wants root");
    }
    let Some(place) = Disk::find() else {
        return;
    };
    let fixture = place.fixture(&[("a", 9)]);
    let path = fixture.path("model.safetensors");
    for folder in [place.path(), fixture.folder.path()] {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let code = "import os, sys\nos.setuid(65534)\ntry: os.open(sys.argv[1], os.O_RDONLY | os.O_TRUNC)\n\
                except PermissionError: sys.exit(7)";
    let mut python = std::process::Command::new("python3");
    let status = python.args(["-c", code]).arg(&path).status().unwrap();
    assert_eq!(status.code(), Some(7));
}
