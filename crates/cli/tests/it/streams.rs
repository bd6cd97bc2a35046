//! Where output goes: readers that have gone, disks that are full, streams that are closed, terminals
//! of every kind, and names that are no text.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, pipe};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal};
use tensorgate_testhub::{Repository, TestHub};

use crate::support::{Run, Workshop};

/// Every command that writes data, and the others with `--json`, with the status that each has.
const LINES: [(i32, &str); 14] = [
    (0, "inspect walk"),
    (0, "inspect walk/model.safetensors"),
    (0, "diff walk walk"),
    (0, "store ls"),
    (0, "completions zsh"),
    (0, "man"),
    (0, "doctor --offline"),
    (2, "doctor --offline --endpoint hub"),
    (0, "--help"),
    (0, "verify walk --trust trust.toml --json"),
    (1, "verify walk --trust trust.toml --repo acme/other --json"),
    (2, "verify nowhere --trust trust.toml --json"),
    (0, "audit walk --json"),
    (2, "verify --json"),
];

/// Against hanging for ever; a signal ends a command within milliseconds.
const PATIENCE: Duration = Duration::from_secs(120);

fn ready() -> Workshop {
    let workshop = Workshop::signed();
    workshop.verify(&[]).expect(0);
    workshop
}

fn command(workshop: &Workshop, line: &str) -> Command {
    let mut command = workshop.command();
    command.args(line.split(' '));
    command
}

#[test]
fn a_reader_that_has_gone_changes_no_status() {
    let workshop = ready();
    for (status, line) in LINES {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let run = Run::of(command(&workshop, line).stdout(writer));
        assert_eq!(run.status, status, "{line}\n{run:#?}");
        assert!(!run.stderr.contains("standard output"), "{line}\n{run:#?}");
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let run = Run::of(command(&workshop, line).stderr(writer));
        assert_eq!(run.status, status, "{line}\n{run:#?}");
    }
}

/// What a shell makes of a pipeline whose reader wants one line.
#[test]
fn head_gets_its_line() {
    let workshop = ready();
    let script = "set -o pipefail; \"$0\" man | head -1; echo ${PIPESTATUS[0]}";
    let mut bash = Command::new("bash");
    bash.args(["-c", script, env!("CARGO_BIN_EXE_tensorgate")]);
    let run = Run::of(bash.current_dir(workshop.path("")));
    assert!(run.stdout.ends_with("\n0\n"), "{run:#?}");
    assert_eq!(run.stderr, "");
}

#[test]
fn a_full_disk_is_an_error_of_each_command() {
    let workshop = ready();
    for (_, line) in LINES {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let run = Run::of(command(&workshop, line).stdout(full));
        assert_eq!(run.status, 2, "{line}\n{run:#?}");
        run.says("error: could not write to standard output: No space left on device");
    }
    // Nobody can be told of a full standard error; the status remains.
    for (status, line) in LINES {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let run = Run::of(command(&workshop, line).stderr(full));
        assert_eq!(run.status, status, "{line}\n{run:#?}");
    }
}

/// A file that is opened next would get the number of a stream that is closed.
#[test]
fn closed_streams_put_no_words_into_files() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    let closed = |line: &str| {
        let mut sh = Command::new("sh");
        sh.args([
            "-c",
            "exec \"$0\" \"$@\" <&- >&- 2>&-",
            env!("CARGO_BIN_EXE_tensorgate"),
        ]);
        sh.args(line.split(' ')).current_dir(workshop.path(""));
        sh.env("TENSORGATE_STORE", workshop.path("store"));
        Run::of(&mut sh).status
    };
    assert_eq!(closed("keygen --out release"), 0);
    workshop.openssl(&["pkey", "-in", "release.key.pem", "-noout"]);
    workshop.trust(1, &["release"]);
    let key = String::from_utf8(workshop.read("release.key.pem")).unwrap();
    assert!(
        key.starts_with("-----BEGIN") && key.ends_with("PRIVATE KEY-----\n"),
        "{key}"
    );
    let sign = "sign walk --key release.key.pem --repo acme/walk --sequence 1 --revision 0123456789abcdef0123456789abcdef01234567 --expires 2099-01-01T00:00:00Z";
    assert_eq!(closed(sign), 0);
    assert_eq!(closed("verify walk --trust trust.toml"), 0);
    assert_eq!(closed("verify walk --trust trust.toml --repo a/b"), 1);
    assert_eq!(closed("man pages"), 0);
    workshop.verify(&[]).expect(0);
    workshop.run(["store", "check"]).expect(0);
    let page = workshop.read("pages/tensorgate.1");
    assert_eq!(
        String::from_utf8(page).unwrap(),
        workshop.run(["man"]).stdout
    );
}

#[test]
fn colours_are_for_terminals_unless_somebody_wants_them() {
    let workshop = ready();
    let rejected = "verify walk --trust trust.toml --repo acme/other";
    let told = |line: &str, variables: &[(&str, &str)]| {
        let run = Run::of(command(&workshop, line).envs(variables.iter().copied()));
        format!("{}{}", run.stdout, run.stderr)
    };
    let (force, none) = (("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1"));
    for line in [rejected, "doctor --offline", "--help", "verify"] {
        assert!(!told(line, &[]).contains('\u{1b}'), "{line}");
        assert!(told(line, &[force]).contains("\u{1b}["), "{line}");
        assert!(!told(line, &[force, none]).contains('\u{1b}'), "{line}");
        let json = format!("{line} --json");
        assert!(!told(&json, &[force]).contains('\u{1b}'), "{line}");
    }
    let words = told(rejected, &[force]);
    assert!(
        words.starts_with("\u{1b}[1m\u{1b}[31mrejected: repo-mismatch:\u{1b}[0m \"repo\": "),
        "{words:?}"
    );
    // Without colours each word is the same.
    let plain = told(rejected, &[]);
    let bare = words
        .replace("\u{1b}[1m\u{1b}[31m", "")
        .replace("\u{1b}[2m", "");
    assert_eq!(bare.replace("\u{1b}[0m", ""), plain);
    // What another program is to read stays as it is.
    assert_eq!(
        told("inspect walk/model.safetensors", &[force])
            .matches('\u{1b}')
            .count(),
        0
    );
}

/// What a terminal of this width shows; nothing where there is no `script`.
fn on_terminal(
    workshop: &Workshop,
    columns: u16,
    variables: &[(&str, &str)],
    line: &str,
) -> Option<(i32, String)> {
    if Command::new("script").arg("--version").output().is_err() {
        println!("NOT TRIED: there is no `script`, and so no terminal");
        return None;
    }
    let binary = env!("CARGO_BIN_EXE_tensorgate");
    let typed = format!("stty cols {columns} rows 24; exec {binary} {line}");
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &typed, "/dev/null"]);
    // Of the machine's own settings the place of the programs alone.
    script.current_dir(workshop.path("")).env_clear();
    script.env("PATH", env::var_os("PATH").unwrap_or_default());
    script
        .env("TENSORGATE_STORE", workshop.path("store"))
        .envs(variables.iter().copied());
    let output = script.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    Some((output.status.code().unwrap(), told))
}

#[test]
fn a_terminal_gets_colours_and_a_dumb_one_none() {
    let workshop = ready();
    let verify = "verify walk --trust trust.toml";
    let (dumb, ci) = (("TERM", "dumb"), ("CI", "true"));
    // The logs of CI show colours, whatever kind of terminal they give.
    for variables in [&[("TERM", "xterm-256color")][..], &[dumb, ci]] {
        let Some((status, told)) = on_terminal(&workshop, 80, variables, verify) else {
            return;
        };
        assert_eq!(status, 0, "{told}");
        assert!(told.contains("\u{1b}[32mverified:"), "{told:?}");
    }
    for line in [verify, "doctor --offline", "store check"] {
        let (status, told) = on_terminal(&workshop, 80, &[dumb], line).unwrap();
        assert_eq!(status, 0, "{told}");
        assert!(!told.contains('\u{1b}'), "{line}: {told:?}");
    }
}

#[test]
fn narrow_terminals_get_the_same_words() {
    let workshop = ready();
    let xterm = [("TERM", "xterm")];
    for columns in [1, 2, 7, 20] {
        for line in [
            "fetch --help",
            "verify",
            "doctor --offline",
            "store check",
            "inspect walk",
        ] {
            let Some((status, told)) = on_terminal(&workshop, columns, &xterm, line) else {
                return;
            };
            let expected = if line == "verify" { 2 } else { 0 };
            assert_eq!(status, expected, "{columns} {line}: {told}");
            assert!(!told.contains("panicked"), "{told}");
        }
    }
}

#[test]
fn names_that_are_no_text_are_names() {
    let workshop = Workshop::new();
    let odd = OsStr::from_bytes(b"walk\xff\x1b[2J");
    workshop.keygen("release");
    workshop.trust(1, &["release"]);
    workshop.policy("walk");
    fs::rename(workshop.path("walk"), workshop.path(odd)).unwrap();
    let run = |arguments: &[&OsStr]| workshop.run(arguments);
    let sign = "--key release.key.pem --repo acme/walk --sequence 1 --revision 0123456789abcdef0123456789abcdef01234567 --expires 2099-01-01T00:00:00Z";
    let mut arguments = vec![OsStr::new("sign"), odd];
    arguments.extend(sign.split(' ').map(OsStr::new));
    run(&arguments).expect(0);
    let verify = ["verify", "--trust", "trust.toml"].map(OsStr::new);
    let told = run(&[&verify[..], &[odd]].concat());
    told.expect(0).says("verified: \"walk\\xFF\\u{1b}[2J\"\n");
    let json = run(&[&verify[..], &[odd, OsStr::new("--json")]].concat());
    assert_eq!(json.expect(0).json()["verdict"], "verified");
    for command in ["inspect", "audit", "doctor"] {
        let told = run(&[OsStr::new(command), OsStr::from_bytes(b"\xff\x1b[2J")]);
        told.expect(2);
        assert!(!told.stderr.contains('\u{1b}'), "{told:#?}");
    }
}

/// A shell without job control has what it starts in the background ignore interrupts.
fn interruptible(workshop: &Workshop, arguments: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_tensorgate")]);
    command.args(arguments).current_dir(workshop.path("."));
    command.env("TENSORGATE_STORE", workshop.path("store"));
    command
}

/// What it dies of, before it would have ended by itself.
#[track_caller]
fn dies_of(child: &mut Child, signal: Signal) -> Option<i32> {
    rustix::process::kill_process(Pid::from_child(child), signal).unwrap();
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.signal();
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{signal:?} does not end it");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ctrl-C ends what does not fetch as any program; the shell makes 130 of it.
#[test]
fn an_interrupt_ends_a_command_that_waits() {
    let workshop = ready();
    let lock = File::create(workshop.path("store/state/lock")).unwrap();
    lock.lock().unwrap();
    let mut child = interruptible(&workshop, &["verify", "walk", "--trust", "trust.toml"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("; waiting for it") {
        line.clear();
        assert_ne!(told.read_line(&mut line).unwrap(), 0);
    }
    assert_eq!(dies_of(&mut child, Signal::INT), Some(2));
    lock.unlock().unwrap();
    workshop.verify(&[]).expect(0);
}

/// And so it does behind the part of a command that asks a Hub, which is stopped in an order of its
/// own: what was fetched is there for the next.
#[test]
fn an_interrupt_ends_what_comes_after_a_fetch() {
    let workshop = Workshop::new();
    for n in 1..=50 {
        let shard = format!("walk/model-{n:05}-of-00050.safetensors");
        workshop.write(&shard, format!("no weights {n}"));
    }
    workshop.write("other/config.json", "{}");
    let walk = Repository::new("acme/walk").unwrap();
    let walk = walk.commit_dir(workshop.path("walk")).unwrap();
    let target = format!("acme/walk@{}", walk.commits()[0]);
    let hub = TestHub::start().unwrap();
    hub.serve(walk);
    let long = format!("{}/{}", hub.endpoint(), "long/".repeat(1000));
    let lines: [&[&str]; 3] = [
        &["audit", &target, "--endpoint", hub.endpoint(), "--json"],
        &[
            "diff",
            &target,
            "other",
            "--endpoint",
            hub.endpoint(),
            "--json",
        ],
        &["doctor", "--endpoint", &long, "--json"],
    ];
    let mut asked = Vec::new();
    for line in lines {
        for signal in [Signal::INT, Signal::TERM] {
            hub.clear_requests();
            let (mut reader, writer) = pipe().unwrap();
            // What it tells has more than a page: it waits for whoever reads that.
            fcntl_setpipe_size(&writer, 4096).unwrap();
            let mut command = interruptible(&workshop, line);
            let mut child = command.stdout(writer).spawn().unwrap();
            drop(command);
            reader.read_exact(&mut [0]).unwrap();
            let died_of = dies_of(&mut child, signal);
            assert_eq!(died_of, Some(signal.as_raw()), "{line:?}");
            asked.push(hub.requests().len());
        }
    }
    // The first of them fetched it, for all; the doctor asks once.
    assert!(asked[0] > 50, "{asked:?}");
    assert_eq!(asked[1..], [0, 0, 0, 1, 1]);
}
