//! For how long the kernel lets a lease keep a writer waiting: one number for the whole machine.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const BREAK_TIME: &str = "/proc/sys/fs/lease-break-time";

/// As long as this is there, the number stays as it is.
pub(crate) struct Patience {
    /// First: it puts the number back.
    _shell: Option<Shell>,
    /// Shared, or exclusive while it is changed; other processes that test wait as well.
    _lock: File,
}

struct Shell(Child);

impl Patience {
    pub(crate) fn of_the_kernel() -> Self {
        let lock = File::open(BREAK_TIME).unwrap();
        lock.lock_shared().unwrap();
        Self {
            _shell: None,
            _lock: lock,
        }
    }

    /// 4 s instead of 45, where that may be said: it only makes tests shorter.
    pub(crate) fn short() -> Self {
        let lock = File::open(BREAK_TIME).unwrap();
        lock.lock().unwrap();
        match Shell::start() {
            Some(shell) => Self {
                _shell: Some(shell),
                _lock: lock,
            },
            None => {
                drop(lock);
                let seconds = fs::read_to_string(BREAK_TIME).unwrap();
                println!("not as root, this takes {} s", seconds.trim());
                Self::of_the_kernel()
            }
        }
    }
}

impl Shell {
    /// Ends, and puts the number back, when nobody holds its input any more: even if this process is
    /// killed.
    fn start() -> Option<Self> {
        let script = "trap '' INT TERM HUP; before=$(cat \"$0\"); { echo 4 > \"$0\"; } 2> /dev/null\n\
                      echo short; cat > /dev/null; echo \"$before\" > \"$0\"";
        let mut shell = Command::new("sh")
            .args(["-ec", script, BREAK_TIME])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut output = BufReader::new(shell.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        let shell = Self(shell);
        (said == "short\n").then_some(shell)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}
