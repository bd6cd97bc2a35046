//! A directory with keys, a policy and a trust policy, and the command to run there.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::schema;

pub(crate) const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const EXPIRES: &str = "2099-01-01T00:00:00Z";

/// What a run of the command left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A directory of its own, with a store and a home inside.
pub(crate) struct Workshop {
    folder: TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        Self::inside(tempfile::tempdir().unwrap())
    }

    pub(crate) fn inside(folder: TempDir) -> Self {
        // Whatever the umask: where a group may write, no trust policy is read.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    /// With the policy `walk`, signed by the key `release`, and a trust policy for it.
    pub(crate) fn signed() -> Self {
        Self::signed_inside(tempfile::tempdir().unwrap())
    }

    /// The same in an empty folder, with weights that their owner alone may write to.
    pub(crate) fn signed_inside(folder: TempDir) -> Self {
        let workshop = Self::inside(folder);
        workshop.keygen("release");
        workshop.policy("walk");
        workshop.chmod("walk/model.safetensors", 0o644);
        workshop.trust(1, &["release"]);
        workshop.sign(&[]).expect(0);
        workshop
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        // Whatever the umask: where a group may write, no file that decides is read.
        if name.ends_with(".toml") {
            self.chmod(name, 0o644);
        }
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// What would keep waiting whoever opens it for reading.
    pub(crate) fn fifo(&self, name: &str) {
        let made = Command::new("mkfifo").arg(self.path(name)).status();
        assert!(made.unwrap().success());
    }

    /// A file that its owner alone may open.
    pub(crate) fn secret(&self, name: &str, text: &str) {
        self.write(name, text);
        self.chmod(name, 0o600);
    }

    pub(crate) fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Changes one byte of a file.
    pub(crate) fn flip(&self, name: &str, at: usize) {
        let mut bytes = self.read(name);
        bytes[at] ^= 1;
        self.write(name, bytes);
    }

    pub(crate) fn keygen(&self, name: &str) {
        self.run(["keygen", "--out", name]).expect(0);
    }

    pub(crate) fn policy(&self, name: &str) {
        self.write(&format!("{name}/config.json"), r#"{"type": "mlp"}"#);
        self.write(&format!("{name}/README.md"), "# walk\n");
        self.write(&format!("{name}/model.safetensors"), weights());
    }

    pub(crate) fn trust(&self, threshold: usize, keys: &[&str]) {
        let entry =
            |key| format!("[[keys]]\nname = \"{key}\"\npublic_key_file = \"{key}.pub.pem\"\n");
        let entries: String = keys.iter().map(entry).collect();
        self.write("trust.toml", format!("threshold = {threshold}\n{entries}"));
    }

    /// Signs `walk` with the key `release`; the same options again replace these.
    pub(crate) fn sign(&self, options: &[&str]) -> Run {
        self.sign_as("release", options)
    }

    pub(crate) fn sign_as(&self, key: &str, options: &[&str]) -> Run {
        let key = format!("{key}.key.pem");
        let mut arguments = vec!["sign", "walk"];
        let usual = [
            ("--key", key.as_str()),
            ("--repo", "acme/walk"),
            ("--revision", REVISION),
            ("--sequence", "5"),
            ("--expires", EXPIRES),
        ];
        for (name, value) in usual {
            if !options.contains(&name) {
                arguments.extend([name, value]);
            }
        }
        arguments.extend(options);
        self.run(arguments)
    }

    /// Verifies `walk` against `trust.toml`.
    pub(crate) fn verify(&self, options: &[&str]) -> Run {
        let arguments = ["verify", "walk", "--trust", "trust.toml"];
        self.run(arguments.iter().chain(options))
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        Run::of(self.command().args(arguments))
    }

    /// The command, here, knowing nothing of the machine's own settings.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tensorgate"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("TENSORGATE_STORE", self.path("store"));
        command
    }

    /// Runs `command`, and once it waits to remember the release that it has found good, remembers a
    /// newer one.
    pub(crate) fn overtaken(&self, command: &mut Command) -> Run {
        let newer = format!(
            r#"{{"type":"model","repo":"acme/walk","sequence":9,"manifest":"{}"}}"#,
            "0".repeat(64)
        );
        let record = "store/state/rollback/model--acme--walk.json";
        self.meanwhile(command, || self.write(record, newer))
    }

    /// Runs `command`, and once it waits to remember the release that it has found good, `act`s.
    pub(crate) fn meanwhile(&self, command: &mut Command, act: impl FnOnce()) -> Run {
        let lock = fs::File::create(self.path("store/state/lock")).unwrap();
        Self::while_locked(&lock, command, act)
    }

    /// The same with another lock that the command waits for.
    pub(crate) fn while_locked(lock: &fs::File, command: &mut Command, act: impl FnOnce()) -> Run {
        lock.lock().unwrap();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut stderr = String::new();
        while !stderr.contains("; waiting for it") {
            assert_ne!(told.read_line(&mut stderr).unwrap(), 0, "{stderr}");
        }
        act();
        lock.unlock().unwrap();
        told.read_to_string(&mut stderr).unwrap();
        let Output { status, stdout, .. } = child.wait_with_output().unwrap();
        Run {
            status: status.code().unwrap(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr,
        }
    }

    /// `openssl`, here; it must succeed.
    pub(crate) fn openssl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("openssl");
        let run = Run::of(command.args(arguments).current_dir(self.folder.path()));
        run.expect(0).stdout.clone()
    }
}

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        Self {
            status: status.code().unwrap(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn expect(&self, status: i32) -> &Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Rejected for exactly this, in words and with a hint.
    #[track_caller]
    pub(crate) fn rejected(&self, code: &str, subject: &str) {
        self.expect(1);
        let line = format!("rejected: {code}: {subject:?}: ");
        let first = self
            .stderr
            .lines()
            .find(|line| line.starts_with("rejected: "));
        assert!(
            first.is_some_and(|first| first.starts_with(&line)),
            "{line}\n{self:#?}"
        );
        assert!(self.stderr.contains("\nhint: "), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
    }

    /// Could not check, and says this on the way.
    #[track_caller]
    pub(crate) fn could_not_check(&self, what: &str) -> &Self {
        self.expect(2);
        let mut lines = self.stderr.lines();
        assert!(lines.any(|line| line.starts_with("error: ")), "{self:#?}");
        assert!(self.stderr.contains(what), "{what}\n{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, what: &str) -> &Self {
        assert!(self.stderr.contains(what), "{what}\n{self:#?}");
        self
    }

    /// The one object on standard output; nothing else is anywhere.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stderr, "", "{self:#?}");
        assert_eq!(self.stdout.lines().count(), 1, "{self:#?}");
        schema::described(&self.stdout)
    }
}

/// On a disk where files are guarded (ext4, xfs and btrfs, by their numbers in statfs(2)), if the
/// checkout or the temporary files lie on one.
pub(crate) fn guarding_folder() -> Option<TempDir> {
    const NUMBERS: [u64; 3] = [0xef53, 0x5846_5342, 0x9123_683e];
    let guards = |disk: &&PathBuf| {
        rustix::fs::statfs(disk.as_path()).is_ok_and(|stat| NUMBERS.contains(&(stat.f_type as u64)))
    };
    let disks = [
        env!("CARGO_TARGET_TMPDIR").into(),
        std::env::temp_dir(),
        "/var/tmp".into(),
    ];
    let mut disks = disks.iter().filter(guards);
    let folder = disks.find_map(|disk| tempfile::tempdir_in(disk).ok());
    if folder.is_none() {
        println!("NOT TRIED: neither the checkout nor TMPDIR is on ext4, xfs or btrfs");
    }
    folder
}

/// A safetensors file of two tensors.
pub(crate) fn weights() -> Vec<u8> {
    safetensors_of(
        r#"{"__metadata__":{"format":"pt"},"bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"gain":{"dtype":"F32","shape":[30,40],"data_offsets":[8,4808]}}"#,
        &[0; 4808],
    )
}

/// Any header before any data, the header padded so that floats are aligned.
pub(crate) fn safetensors_of(header: &str, data: &[u8]) -> Vec<u8> {
    let padded = header.len().next_multiple_of(8);
    let header = format!("{header:padded$}");
    [&(padded as u64).to_le_bytes(), header.as_bytes(), data].concat()
}
