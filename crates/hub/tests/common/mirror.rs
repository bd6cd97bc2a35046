//! olah, a mirror that people run: a real server, offline, over git repositories with LFS on this
//! disk. The tests of the command share this file.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use tensorgate_testhub::lfs_pointer;
use tensorgate_verify::Sha256;

/// A running olah. It ends with the last test that has it.
pub(crate) struct Mirror {
    olah: Child,
    folder: tempfile::TempDir,
    pub(crate) endpoint: String,
}

/// A repository that olah serves.
pub(crate) struct Mirrored {
    mirror: Arc<Mirror>,
    folder: PathBuf,
    pub(crate) commit: String,
}

static RUNNING: Mutex<Weak<Mirror>> = Mutex::new(Weak::new());

impl Mirror {
    /// The one that runs, or a new one.
    pub(crate) fn running() -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mirror) = running.upgrade() {
            return mirror;
        }
        // Somebody else may take the port meanwhile; then there are others.
        let started = Self::start().or_else(|_| Self::start());
        let mirror = started.unwrap_or_else(|said| panic!("olah does not start:\n{said}"));
        let mirror = Arc::new(mirror);
        *running = Arc::downgrade(&mirror);
        mirror
    }

    /// What it says, if it does not start.
    fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        fs::create_dir(folder.path().join("cached")).unwrap();
        let here = folder.path().display();
        let config = format!(
            "[basic]\nhost = '127.0.0.1'\nport = {}\nrepos-path = '{here}/cached'\n\
             mirror-scheme = 'http'\nmirror-netloc = '{address}'\nmirror-lfs-netloc = '{address}'\n\
             mirrors-path = ['{here}']\n[accessibility]\noffline = true\n",
            address.port()
        );
        fs::write(folder.path().join("olah.toml"), config).unwrap();
        drop(free);
        let said = fs::File::create(folder.path().join("said")).unwrap();
        let mut olah = Command::new(program())
            .args(["-c", "olah.toml"])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env_remove("PYTHONPATH")
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // A minute, for machines that do much besides.
        for _ in 0..600 {
            thread::sleep(Duration::from_millis(100));
            if olah.try_wait().unwrap().is_some() {
                break;
            }
            if TcpStream::connect(address).is_ok() {
                let endpoint = format!("http://{address}");
                return Ok(Self {
                    olah,
                    folder,
                    endpoint,
                });
            }
        }
        drop(olah.kill());
        drop(olah.wait());
        Err(fs::read_to_string(folder.path().join("said")).unwrap())
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        drop(self.olah.kill());
        drop(self.olah.wait());
    }
}

/// Where `make test` puts it.
fn program() -> PathBuf {
    let olah = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ros/olah/bin/olah-cli");
    assert!(
        olah.exists(),
        "no olah at {olah:?}: run `bash ros/setup.sh ensure_olah`, as `make test` does"
    );
    olah
}

impl Mirrored {
    /// A model with these files; what ends in `.safetensors`, `.bin` or `.mp4` is LFS.
    pub(crate) fn model(id: &str, files: &[(&str, Vec<u8>)]) -> Self {
        let mirror = Mirror::running();
        let folder = mirror.folder.path().join("models").join(id);
        fs::create_dir_all(&folder).unwrap();
        git(&folder, &["init", "--quiet", "--initial-branch=main"]);
        let mut mirrored = Self {
            mirror,
            folder,
            commit: String::new(),
        };
        mirrored.commit(files);
        mirrored
    }

    /// One commit more, which `main` is then.
    pub(crate) fn commit(&mut self, files: &[(&str, Vec<u8>)]) {
        for (path, bytes) in files {
            let place = self.folder.join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            if !is_lfs(path) {
                fs::write(place, bytes).unwrap();
                continue;
            }
            let object = self.object(bytes);
            fs::create_dir_all(object.parent().unwrap()).unwrap();
            fs::write(object, bytes).unwrap();
            let pointer = lfs_pointer(&Sha256::of(bytes).to_string(), bytes.len() as u64);
            fs::write(place, pointer).unwrap();
        }
        let plain = ["-c", "core.attributesFile=/dev/null", "add", "--all"];
        git(&self.folder, &plain);
        git(&self.folder, &["commit", "--quiet", "--message", "files"]);
        self.commit = git(&self.folder, &["rev-parse", "HEAD"]);
    }

    /// Where LFS keeps these bytes.
    pub(crate) fn object(&self, bytes: &[u8]) -> PathBuf {
        let sha256 = Sha256::of(bytes).to_string();
        let below = format!(".git/lfs/objects/{}/{}", &sha256[..2], &sha256[2..4]);
        self.folder.join(below).join(sha256)
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.mirror.endpoint
    }
}

fn is_lfs(path: &str) -> bool {
    let ends = [".safetensors", ".bin", ".mp4"];
    ends.iter().any(|end| path.ends_with(end))
}

/// What git says, without anybody's settings.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "a");
        command.env(format!("GIT_{who}_EMAIL"), "a@b");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
