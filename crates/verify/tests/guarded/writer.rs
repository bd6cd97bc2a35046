//! A process that writes: `writer.py`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Every way to change a file, and whether it changes the one that is held.
pub(crate) const WAYS: [(&str, bool); 22] = [
    ("write", true),
    ("append", true),
    ("pwrite", true),
    ("mmap", true),
    ("direct", true),
    ("truncate", true),
    ("ftruncate", true),
    ("grow", true),
    ("o_trunc", true),
    ("punch", true),
    ("zero", true),
    ("collapse", true),
    ("insert", true),
    ("copy_file_range", true),
    ("sendfile", true),
    ("clone", true),
    ("clone_range", true),
    ("proc_fd", true),
    ("hard_link", true),
    ("nonblock", true),
    // Another file gets the name, or none: the one that is held stays as it is.
    ("rename", false),
    ("unlink", false),
];

pub(crate) struct Writer {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Writer {
    pub(crate) fn start() -> Self {
        Self::run("writer.py", &[])
    }

    /// Has a page of `path` pinned, where that is possible: `pin.py`.
    pub(crate) fn pin(path: &Path) -> Option<Self> {
        let mut pin = Self::run("pin.py", &[path]);
        let said = pin.answer().unwrap_err();
        (said == "pinned\n").then_some(pin)
    }

    fn run(script: &str, arguments: &[&Path]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guarded");
        let mut process = Command::new("python3")
            .arg(folder.join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is wanted: it is the process that attacks");
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            commands,
            answers,
        }
    }

    /// Changes `path` by `way`, `after` a while, with bytes of `foreign`. It answers later.
    pub(crate) fn ask(&mut self, way: &str, path: &Path, foreign: &Path, after: Duration) {
        let (path, foreign, after) = (path.display(), foreign.display(), after.as_micros());
        self.say(&format!("{way} {path} {foreign} {after}"));
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.commands, "{line}").unwrap();
    }

    /// How long it was held back; or what the system said.
    pub(crate) fn answer(&mut self) -> Result<Duration, String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        match line.trim().parse() {
            Ok(ns) => Ok(Duration::from_nanos(ns)),
            Err(_) => Err(line),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
