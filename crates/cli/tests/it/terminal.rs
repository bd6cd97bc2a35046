//! A person at a terminal, whom the command asks.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::Run;

/// Against hanging for ever; a question comes within milliseconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// A command whose standard input and error are a terminal of its own.
pub(crate) struct Person {
    terminal: File,
    child: Child,
    /// How the terminal treated what is typed before the command came.
    before: LocalModes,
    /// What the terminal shows.
    seen: String,
    /// Up to where it was read.
    read: usize,
}

impl Person {
    pub(crate) fn at(command: &Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = openpt(flags).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line: OwnedFd = rustix::fs::open(&*name, flags, Mode::empty()).unwrap();
        let before = tcgetattr(&line).unwrap().local_modes;
        // Of util-linux: it makes the terminal the one whose keys send signals.
        let mut session = Command::new("setsid");
        session
            .args(["--ctty", "--wait"])
            .arg(command.get_program())
            .args(command.get_args());
        session.env_clear().envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        session.current_dir(command.get_current_dir().unwrap());
        session
            .stdin(line.try_clone().unwrap())
            .stderr(line)
            .stdout(Stdio::piped());
        let child = session.spawn().unwrap();
        Self {
            terminal: terminal.into(),
            child,
            before,
            seen: String::new(),
            read: 0,
        }
    }

    /// Waits until the terminal shows this, behind what was waited for before.
    #[track_caller]
    pub(crate) fn sees(&mut self, what: &str) -> &mut Self {
        loop {
            if let Some(at) = self.seen[self.read..].find(what) {
                self.read += at + what.len();
                return self;
            }
            assert!(self.more(), "{what:?} was not shown:\n{}", self.seen);
        }
    }

    /// Types this, as it is.
    pub(crate) fn types(&mut self, keys: &str) -> &mut Self {
        self.terminal.write_all(keys.as_bytes()).unwrap();
        self
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn ends(mut self) -> Run {
        while self.more() {}
        let mut stdout = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        Run {
            status: self.child.wait().unwrap().code().unwrap(),
            stdout,
            stderr: self.seen.replace("\r\n", "\n"),
        }
    }

    /// Whether the terminal treats what is typed as before the command.
    pub(crate) fn types_as_before(&self) -> bool {
        tcgetattr(&self.terminal).unwrap().local_modes == self.before
    }

    /// Somebody elsewhere sends the command a signal.
    pub(crate) fn is_interrupted_by(&mut self, signal: Signal) -> &mut Self {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self
    }

    /// Waits for an end by a signal, which leaves the terminal as it was.
    #[track_caller]
    pub(crate) fn dies(mut self) -> Option<i32> {
        while self.more() {}
        let status = self.child.wait().unwrap();
        assert!(self.types_as_before(), "{}", self.seen);
        status.signal()
    }

    /// Reads on; nothing more comes once the command has ended.
    fn more(&mut self) -> bool {
        let begun = Instant::now();
        loop {
            let timeout = Timespec::try_from(Duration::from_secs(1)).unwrap();
            let mut ready = [PollFd::new(&self.terminal, PollFlags::IN)];
            if poll(&mut ready, Some(&timeout)).unwrap() > 0 {
                break;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "nothing more is shown:\n{}",
                self.seen
            );
        }
        let mut piece = [0; 4096];
        // EIO: the last who had the other side is gone.
        let count = self.terminal.read(&mut piece).unwrap_or(0);
        self.seen
            .push_str(&String::from_utf8_lossy(&piece[..count]));
        count > 0
    }
}
