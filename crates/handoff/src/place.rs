//! Where the socket lies.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, chmodat, fchmod, fstat, open, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustix::process::geteuid;

use crate::Peers;
use crate::peers::stands_for_anybody;

/// Connections that wait for their turn, in the kernel.
const BACKLOG: i32 = 64;
/// A sockaddr_un has 108 bytes, a zero at the end among them (unix(7)).
pub(crate) const LONGEST: usize = 107;

/// A listening socket, and its name, which goes with it.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) socket: OwnedFd,
    place: Place,
    /// Which file the name is: somebody may have put another there.
    inode: (u64, u64),
}

/// A name in an open directory.
#[derive(Debug)]
struct Place {
    directory: OwnedFd,
    name: OsString,
}

/// A new socket of the kind that keeps packets apart.
pub(crate) fn new_socket() -> io::Result<OwnedFd> {
    let kind = SocketType::SEQPACKET;
    Ok(socket_with(
        AddressFamily::UNIX,
        kind,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

impl Listening {
    /// Listens at `path`, for these users.
    ///
    /// # Errors
    /// Others may write to the directory; something else has the name; the path is too long; what
    /// the system says.
    pub(crate) fn at(path: &Path, peers: &Peers) -> io::Result<Self> {
        let place = Place::open(path)?;
        place.make_room()?;
        let socket = new_socket()?;
        // The mode of a new name is the socket's own, less the umask (unix_bind in af_unix.c).
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        bind(&socket, &place.address()?)?;
        let stat = place.stat()?;
        let listening = Self {
            socket,
            place,
            inode: inode(&stat),
        };
        if peers.has_others() {
            // Who may connect is for SO_PEERCRED to say then; until `listen`, nobody can.
            listening.place.open_to_all()?;
        }
        listen(&listening.socket, BACKLOG)?;
        Ok(listening)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let ours = |stat: &Stat| inode(stat) == self.inode;
        if self.place.stat().as_ref().is_ok_and(ours) {
            // What cannot be removed is found dead by the next one that comes.
            let _gone = unlinkat(&self.place.directory, &self.place.name, AtFlags::empty());
        }
    }
}

impl Place {
    fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() > LONGEST {
            return Err(invalid("the path has more than 107 bytes"));
        }
        let name = path
            .file_name()
            .ok_or_else(|| invalid("the path names no file"))?;
        let parent = path
            .parent()
            .filter(|parent| *parent != OsStr::new(""))
            .unwrap_or_else(|| Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(parent, flags, Mode::empty())?;
        refuse_open_to_others(&fstat(&directory)?)?;
        let name = name.to_owned();
        Ok(Self { directory, name })
    }

    /// The name in the very directory that was looked at, whatever becomes of the path.
    fn address(&self) -> io::Result<SocketAddrUnix> {
        let mut path = format!("/proc/self/fd/{}/", self.directory.as_raw_fd()).into_bytes();
        path.extend(self.name.as_bytes());
        Ok(SocketAddrUnix::new(path)?)
    }

    fn stat(&self) -> io::Result<Stat> {
        Ok(statat(
            &self.directory,
            &self.name,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// Removes a socket of ours that nobody listens at any more, and nothing else.
    fn make_room(&self) -> io::Result<()> {
        let stat = match self.stat() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            stat => stat?,
        };
        let exists = |what| Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
            return exists("something that is no socket has that name");
        }
        if stat.st_uid != geteuid().as_raw() {
            return exists("another user's socket has that name");
        }
        match connect(new_socket()?, &self.address()?) {
            Err(Errno::CONNREFUSED) => Ok(unlinkat(&self.directory, &self.name, AtFlags::empty())?),
            _ => exists("another process listens there"),
        }
    }

    fn open_to_all(&self) -> io::Result<()> {
        let mode = Mode::from_raw_mode(0o666);
        Ok(chmodat(
            &self.directory,
            &self.name,
            mode,
            AtFlags::empty(),
        )?)
    }
}

/// Whoever may write there could put a socket of their own in its place.
fn refuse_open_to_others(stat: &Stat) -> io::Result<()> {
    let owned = [0, geteuid().as_raw()].contains(&stat.st_uid) && !stands_for_anybody(stat.st_uid);
    let others = Mode::WGRP | Mode::WOTH;
    match owned && !Mode::from_raw_mode(stat.st_mode).intersects(others) {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others may write to its directory",
        )),
    }
}

const fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
