//! olah, a mirror that people run: a real server, offline, over git repositories with LFS on this
//! disk.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends"
)]

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::commit::LFS_EXTENSIONS;
use crate::git::lfs_pointer;
use crate::program::git;

/// A running olah. It ends with the last test that has it.
#[derive(Debug)]
struct Olah {
    process: Child,
    folder: tempfile::TempDir,
    endpoint: String,
}

/// A repository that olah serves: `bash ros/setup.sh ensure_olah` brings it, as `make test` does.
/// One olah serves all of a process.
#[derive(Debug)]
pub struct Mirrored {
    olah: Arc<Olah>,
    folder: PathBuf,
    commit: String,
}

static RUNNING: Mutex<Weak<Olah>> = Mutex::new(Weak::new());

impl Olah {
    /// The one that runs, or a new one.
    fn running() -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(olah) = running.upgrade() {
            return olah;
        }
        // Somebody else may take the port meanwhile; then there are others.
        let started = Self::start().or_else(|_| Self::start());
        let olah = started.unwrap_or_else(|said| panic!("olah does not start:\n{said}"));
        let olah = Arc::new(olah);
        *running = Arc::downgrade(&olah);
        olah
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
        let process = Command::new(program())
            .args(["-c", "olah.toml"])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env_remove("PYTHONPATH")
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let endpoint = format!("http://{address}");
        let mut olah = Self {
            process,
            folder,
            endpoint,
        };
        // A minute, for machines that do much besides.
        for _ in 0..600 {
            thread::sleep(Duration::from_millis(100));
            if olah.process.try_wait().unwrap().is_some() {
                break;
            }
            if TcpStream::connect(address).is_ok() {
                return Ok(olah);
            }
        }
        Err(fs::read_to_string(olah.folder.path().join("said")).unwrap())
    }
}

impl Drop for Olah {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
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
    /// A model with these files; what has one of [`LFS_EXTENSIONS`] is LFS.
    ///
    /// # Panics
    /// When olah or git does not do what it should.
    pub fn model(id: &str, files: &[(&str, Vec<u8>)]) -> Self {
        Self::of("models", id, files)
    }

    /// A data set with these files.
    ///
    /// # Panics
    /// As [`model`](Self::model).
    pub fn dataset(id: &str, files: &[(&str, Vec<u8>)]) -> Self {
        Self::of("datasets", id, files)
    }

    fn of(kind: &str, id: &str, files: &[(&str, Vec<u8>)]) -> Self {
        let olah = Olah::running();
        let folder = olah.folder.path().join(kind).join(id);
        fs::create_dir_all(&folder).unwrap();
        git(&folder, &["init", "--quiet", "--initial-branch=main"], b"");
        let mut mirrored = Self {
            olah,
            folder,
            commit: String::new(),
        };
        mirrored.commit_files(files);
        mirrored
    }

    /// One commit more, which `main` is then.
    ///
    /// # Panics
    /// As [`model`](Self::model).
    pub fn commit_files(&mut self, files: &[(&str, Vec<u8>)]) {
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
            let pointer = lfs_pointer(&sha256_of(bytes), bytes.len() as u64);
            fs::write(place, pointer).unwrap();
        }
        git(&self.folder, &["add", "--all"], b"");
        let commit = ["commit", "--quiet", "--message", "files"];
        git(&self.folder, &commit, b"");
        self.commit = git(&self.folder, &["rev-parse", "HEAD"], b"");
    }

    /// The id of the newest commit.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Where LFS keeps these bytes.
    pub fn object(&self, bytes: &[u8]) -> PathBuf {
        let sha256 = sha256_of(bytes);
        let (first, second) = (sha256.get(..2).unwrap(), sha256.get(2..4).unwrap());
        let below = format!(".git/lfs/objects/{first}/{second}");
        self.folder.join(below).join(sha256)
    }

    /// `http://127.0.0.1:PORT` of the olah that serves it.
    pub fn endpoint(&self) -> &str {
        &self.olah.endpoint
    }
}

fn is_lfs(path: &str) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|extension| LFS_EXTENSIONS.contains(&extension))
}

fn sha256_of(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
