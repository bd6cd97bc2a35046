//! The controller's end.

use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, SeekFrom, Stat, fstat, ftruncate, seek};
use rustix::net::sockopt::Timeout;
use rustix::net::{SocketAddrUnix, connect};
use tensorgate_verify::{
    Error, FileEntry, FilePath, Hold, Limits, Manifest, Rejection, Sha256, Verified,
};

use crate::line::{self, wait_until};
use crate::packet::{Hello, Packet};
use crate::place::new_socket;
use crate::{HandoffError, MAX_WEIGHTS, Peers, Session};

/// What was handed over: *untrusted*, and not looked at but for its shape.
///
/// Who sent it is a user that the caller named, by the kernel's word. What it is, nobody vouches
/// for yet: the envelope is authenticated first, as any other, and only that manifest says which
/// bytes the descriptors must hold.
#[derive(Debug)]
pub struct Handed {
    hello: Hello,
    envelope: Hold,
    small: OwnedFd,
    weights: Vec<OwnedFd>,
}

/// Connects to the gate's socket at `path`, makes sure that it is one of `peers`, and takes what
/// it hands over, all within `patience`.
///
/// # Errors
/// [`Place`](HandoffError::Place): nobody listens there, or may not be spoken to;
/// [`Peer`](HandoffError::Peer); [`Refused`](HandoffError::Refused), where the gate says why not;
/// [`Silent`](HandoffError::Silent), after `patience`; [`Malformed`](HandoffError::Malformed), an
/// envelope larger than `limits` and one that could still be changed among it.
///
/// ```
/// use std::time::Duration;
/// use tensorgate_handoff::{Offer, Peers, Server, receive};
/// use tensorgate_verify::{Context, Proof, SignedManifest};
/// # mod setup { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../verify/tests/doc/policy.rs")); }
/// # use setup::{Example, open};
/// # let example = Example::new()?;
/// # let place = tempfile::tempdir()?;
/// let socket = place.path().join("tensorgate");
/// let gate = Server::start(&socket, Peers::default(), |_| {})?;
/// gate.offer(Offer::seal(&example.policy()?, [7; 16], 1)?);
///
/// let (trust, patience) = (&example.trust, Duration::from_secs(10));
/// let handed = receive(&socket, &Peers::default(), trust.limits(), patience)?;
/// let signed = SignedManifest::parse(handed.envelope(), trust.limits())?;
/// let manifest = trust.authenticate(&signed, &Context::new(example.now))?;
/// let holds = handed.into_holds(&manifest)?;
/// let policy = manifest.open_holds(holds, Proof::Tensors, trust.rules())?;
/// assert_eq!(policy.tensor("gain").ok_or("no gain")?.shape(), [2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn receive(
    path: &Path,
    peers: &Peers,
    limits: &Limits,
    patience: Duration,
) -> Result<Handed, HandoffError> {
    let now = Instant::now();
    let deadline = now.checked_add(patience).unwrap_or(now);
    let socket = connect_to(path, deadline)?;
    peers.admit(&socket)?;
    let (hello, envelope) = greet(&socket, deadline)?;
    let envelope = hold_envelope(&envelope, limits)?;
    let small = expect(&socket, Packet::Small, deadline)?;
    let weights = (0..hello.weights).map(|index| expect(&socket, Packet::Weights(index), deadline));
    let weights = weights.collect::<Result<_, _>>()?;
    match line::receive(&socket, deadline)? {
        (Packet::End, None) => Ok(Handed {
            hello,
            envelope,
            small,
            weights,
        }),
        _ => Err(HandoffError::Malformed("it does not end")),
    }
}

fn connect_to(path: &Path, deadline: Instant) -> Result<OwnedFd, HandoffError> {
    let place = |source: io::Error| HandoffError::Place {
        path: path.to_owned(),
        source,
    };
    let socket = new_socket().map_err(|error| HandoffError::io("socket", error))?;
    // A full backlog is waited for as a full buffer is (unix_stream_connect in af_unix.c).
    wait_until(&socket, Timeout::Send, deadline)?;
    let address = SocketAddrUnix::new(path).map_err(|error| place(error.into()))?;
    connect(&socket, &address).map_err(|error| place(error.into()))?;
    Ok(socket)
}

fn greet(socket: &OwnedFd, deadline: Instant) -> Result<(Hello, OwnedFd), HandoffError> {
    let (hello, envelope) = match line::receive(socket, deadline)? {
        (Packet::Hello(hello), Some(envelope)) => (hello, envelope),
        (Packet::Hello(_), None) => return Err(HandoffError::Malformed("a missing descriptor")),
        (Packet::Refusal(why), _) => return Err(HandoffError::Refused(why)),
        _ => return Err(HandoffError::Malformed("packets out of order")),
    };
    match usize::try_from(hello.weights) {
        Ok(weights) if weights <= MAX_WEIGHTS => Ok((hello, envelope)),
        _ => Err(HandoffError::Malformed("too many files")),
    }
}

fn expect(socket: &OwnedFd, wanted: Packet, deadline: Instant) -> Result<OwnedFd, HandoffError> {
    match line::receive(socket, deadline)? {
        (packet, Some(descriptor)) if packet == wanted => Ok(descriptor),
        (packet, None) if packet == wanted => Err(HandoffError::Malformed("a missing descriptor")),
        _ => Err(HandoffError::Malformed("packets out of order")),
    }
}

fn hold_envelope(envelope: &OwnedFd, limits: &Limits) -> Result<Hold, HandoffError> {
    let stat = fstat(envelope).map_err(|error| HandoffError::io("fstat", error))?;
    let len = u64::try_from(stat.st_size).ok();
    let len = len.filter(|len| *len <= limits.manifest_bytes);
    let len = len.ok_or(HandoffError::Malformed("an envelope that is too large"))?;
    hold(envelope, len).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => HandoffError::Malformed("an envelope that is not sealed"),
        _ => HandoffError::io("the envelope", error),
    })
}

impl Handed {
    /// The signed manifest, a DSSE envelope.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// The gate's run, as it says.
    pub const fn session(&self) -> Session {
        self.hello.session
    }

    /// Number of the announcement within the session, as the gate says.
    pub const fn epoch(&self) -> u64 {
        self.hello.epoch
    }

    /// SHA-256 of the manifest's payload, as the gate says: to tell what is in hand already.
    pub const fn manifest(&self) -> Sha256 {
        Sha256::from_bytes(self.hello.manifest)
    }

    /// Every file of `manifest`, in memory that nobody can change: safetensors are the gate's own
    /// pages, the small ones copies. Nothing is known of what the bytes *are*: [`open_holds`] proves
    /// them, [`open_holds_on_demand`] proves each tensor when it is asked for, and
    /// [`dangerously_trust_sender`] takes the gate's word.
    ///
    /// [`open_holds`]: Verified::open_holds
    /// [`open_holds_on_demand`]: Verified::open_holds_on_demand
    /// [`dangerously_trust_sender`]: Verified::dangerously_trust_sender
    ///
    /// # Errors
    /// `file-unexpected`, `file-missing` (of another manifest), `size-mismatch`,
    /// `file-not-regular` (not a sealed memfd, or with holes).
    pub fn into_holds(self, manifest: &Verified<Manifest>) -> Result<Vec<(FilePath, Hold)>, Error> {
        self.refuse_other(manifest)?;
        let small = manifest.files.iter().filter(|file| !file.kind.is_tensors());
        let total = small.fold(0, |sum: u64, file| sum.saturating_add(file.size));
        let small =
            hold(&self.small, total).map_err(|error| refuse(&self.small, total, "files", error))?;
        let (mut rest, mut weights) = (&small[..], self.weights.iter());
        let mut holds = Vec::new();
        for entry in &manifest.files {
            let hold = match entry.kind.is_tensors() {
                true => hold_weights(weights.next(), entry)?,
                false => Hold::Owned(split(&mut rest, entry)?.into()),
            };
            holds.push((entry.path.clone(), hold));
        }
        match weights.next() {
            None => Ok(holds),
            Some(_) => Err(Error::rejected(
                Rejection::FileUnexpected,
                "weights",
                "more files than the manifest has",
            )),
        }
    }

    fn refuse_other(&self, manifest: &Verified<Manifest>) -> Result<(), Error> {
        if manifest.evidence().manifest == self.manifest() {
            return Ok(());
        }
        Err(Error::rejected(
            Rejection::FileUnexpected,
            "envelope",
            "the files are said to be another manifest's",
        ))
    }
}

fn hold_weights(memfd: Option<&OwnedFd>, entry: &FileEntry) -> Result<Hold, Error> {
    let missing = || Error::rejected(Rejection::FileMissing, &entry.path, "not handed over");
    let memfd = memfd.ok_or_else(missing)?;
    hold(memfd, entry.size).map_err(|error| refuse(memfd, entry.size, &entry.path, error))
}

/// The next file of those that lie one after the other; all together have the right size.
fn split<'a>(rest: &mut &'a [u8], entry: &FileEntry) -> Result<&'a [u8], Error> {
    let len = usize::try_from(entry.size).unwrap_or(usize::MAX);
    let (file, after) = rest.split_at_checked(len).ok_or_else(|| {
        Error::rejected(
            Rejection::SizeMismatch,
            &entry.path,
            "the small files are too short",
        )
    })?;
    *rest = after;
    Ok(file)
}

/// Maps a memfd that nobody can change any more, and of which every page is there: reading a hole
/// takes memory, and ends the process with SIGBUS where there is none (mm/shmem.c).
fn hold(memfd: impl AsFd, len: u64) -> io::Result<Hold> {
    let hold = Hold::of_memfd(&memfd, len)?;
    match has_all_pages(memfd, len) {
        Ok(true) => Ok(hold),
        _ => Err(io::Error::new(ErrorKind::InvalidData, "a memfd with holes")),
    }
}

/// Counts pages instead of walking over them (`SEEK_HOLE` takes 36 ms for 1 GB). Those beyond the
/// end would count, too: a truncation to the size that it has gives them up (shmem_setattr), and
/// under `F_SEAL_GROW` nobody adds others (shmem_fallocate). It cannot where they are the rest of a
/// huge page of which somebody has a part pinned (truncate_inode_partial_folio in mm/truncate.c).
fn has_all_pages(memfd: impl AsFd, len: u64) -> io::Result<bool> {
    ftruncate(&memfd, len)?;
    let blocks = u64::try_from(fstat(&memfd)?.st_blocks).unwrap_or(0);
    if blocks.saturating_mul(512) < len {
        return Ok(false);
    }
    Ok(!may_be_huge() || seek(&memfd, SeekFrom::Hole(0))? == len)
}

/// Whether memfds may have huge pages here (Documentation/admin-guide/mm/transhuge.rst).
fn may_be_huge() -> bool {
    let place = Path::new("/sys/kernel/mm/transparent_hugepage");
    let is_off = |folder: &Path| {
        let text = fs::read_to_string(folder.join("shmem_enabled")).unwrap_or_default();
        ["[never]", "[deny]", "[inherit]"]
            .iter()
            .any(|off| text.contains(off))
    };
    let Ok(entries) = fs::read_dir(place) else {
        return true;
    };
    let mut sizes = entries.flatten().map(|entry| entry.path());
    let is_size = |path: &PathBuf| path.join("shmem_enabled").exists();
    !is_off(place) || sizes.any(|path| is_size(&path) && !is_off(&path))
}

/// Why a descriptor is not the file `subject` of `size` bytes.
fn refuse(memfd: &OwnedFd, size: u64, subject: impl Display, error: io::Error) -> Error {
    if error.kind() != ErrorKind::InvalidData {
        let subject = subject.to_string().into();
        let source = error;
        return Error::Io { subject, source };
    }
    let has_size = |stat: Stat| u64::try_from(stat.st_size) == Ok(size);
    let is_regular = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let rejection = match fstat(memfd).ok().filter(is_regular).map(has_size) {
        Some(false) => Rejection::SizeMismatch,
        _ => Rejection::FileNotRegular,
    };
    Error::rejected(rejection, subject, error)
}
