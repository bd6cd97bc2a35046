//! A copy in memory that the kernel keeps as it is.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use memmap2::Mmap;
use rustix::fs::{
    FsWord, MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstatfs, memfd_create,
};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::room::refuse_without_room;
use super::{Unguarded, kernel};

/// A memfd that can neither be written nor resized, by anybody, and its mapping.
#[derive(Debug)]
pub struct Sealed {
    map: Mmap,
    memfd: File,
    reason: Unguarded,
}

/// A memfd that is still being filled.
#[derive(Debug)]
pub(crate) struct Filling {
    memfd: File,
    len: u64,
}

/// Where memfds are (include/uapi/linux/magic.h).
const TMPFS: FsWord = 0x0102_1994;

/// Copied between two looks at the memory that is left.
const PIECE: u64 = 16 << 20;

/// What must be sealed before the bytes are looked at.
const SEALS: SealFlags = SealFlags::WRITE
    .union(SealFlags::GROW)
    .union(SealFlags::SHRINK)
    .union(SealFlags::SEAL);

impl Sealed {
    /// A sealed copy of `bytes`.
    pub(super) fn of(bytes: &[u8]) -> io::Result<Self> {
        let len = u64::try_from(bytes.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let filling = Filling::new(len)?;
        filling.write_at(bytes, 0)?;
        filling.seal(Unguarded::NotAsked)
    }

    /// The sealed memfd, for a same-host hand-off: the receiver maps the same pages.
    pub fn memfd(&self) -> BorrowedFd<'_> {
        self.memfd.as_fd()
    }

    /// Why the file itself is not held.
    pub const fn reason(&self) -> Unguarded {
        self.reason
    }

    /// Maps a memfd that somebody else says is sealed, and has `len` bytes.
    pub(super) fn received(memfd: File, len: u64) -> io::Result<Self> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        // Pages of hugetlbfs, which has seals as well, may be missing when they are read: SIGBUS.
        if !fstatfs(&memfd).is_ok_and(|stat| stat.f_type == TMPFS) {
            return Err(invalid("not a memfd"));
        }
        if memfd.metadata()?.len() != len {
            return Err(invalid("a memfd of another size"));
        }
        Self::map(memfd, Unguarded::HandedOff).map_err(|_| invalid("not a sealed memfd"))
    }

    /// Maps a memfd after making sure that it is sealed.
    fn map(memfd: File, reason: Unguarded) -> io::Result<Self> {
        if !is_sealed(&memfd)? {
            return Err(io::Error::other("the memfd is not sealed"));
        }
        let map = kernel::map_sealed(&memfd)?;
        Ok(Self { map, memfd, reason })
    }
}

impl Deref for Sealed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

/// Beyond it, the kernel would send SIGXFSZ, which ends the process (setrlimit(2)).
fn refuse_beyond_limit(len: u64) -> io::Result<()> {
    match getrlimit(Resource::Fsize).current {
        Some(most) if most < len => Err(io::ErrorKind::FileTooLarge.into()),
        _ => Ok(()),
    }
}

fn is_sealed(memfd: &File) -> io::Result<bool> {
    Ok(fcntl_get_seals(memfd)?.contains(SEALS))
}

impl Filling {
    /// A memfd of `len` zero bytes, to be filled soon.
    ///
    /// # Errors
    /// `OutOfMemory`, `FileTooLarge`; what else the system says.
    pub(crate) fn new(len: u64) -> io::Result<Self> {
        refuse_without_room(len)?;
        Self::spare(len)
    }

    /// A memfd of `len` zero bytes that may never be filled: pages are taken when they are.
    pub(super) fn spare(len: u64) -> io::Result<Self> {
        refuse_beyond_limit(len)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Never a program. Kernels before 6.3 do not know the flag.
        let memfd = match memfd_create("tensorgate", flags | MemfdFlags::NOEXEC_SEAL) {
            Err(Errno::INVAL) => memfd_create("tensorgate", flags),
            made => made,
        }?;
        let memfd = File::from(memfd);
        memfd.set_len(len)?;
        Ok(Self { memfd, len })
    }

    /// Writes `bytes` at `offset`; never past the end.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let fits = u64::try_from(bytes.len())
            .ok()
            .and_then(|n| offset.checked_add(n));
        if fits.is_none_or(|end| end > self.len) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a write past the end",
            ));
        }
        self.memfd.write_all_at(bytes, offset)
    }

    /// Fills the whole from the start of `file`, inside the kernel.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file is shorter; `OutOfMemory`; what else the system says.
    pub(crate) fn copy_from(&self, file: &File) -> io::Result<()> {
        let mut done = 0;
        while done < self.len {
            let rest = self.len.saturating_sub(done);
            // Others take memory meanwhile: it is asked for again and again.
            refuse_without_room(rest)?;
            let piece = usize::try_from(rest.min(PIECE)).unwrap_or(usize::MAX);
            match rustix::fs::sendfile(&self.memfd, file, Some(&mut done), piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Fills the whole from the start of `file` and seals it. The pages are given back where that
    /// fails; it may be tried again.
    pub(super) fn seal_copy_of(&self, file: &File) -> io::Result<&File> {
        if is_sealed(&self.memfd)? {
            return Ok(&self.memfd);
        }
        refuse_beyond_limit(self.len)?;
        let filled = self.copy_from(file);
        if filled.is_err() {
            self.memfd.set_len(0)?;
            self.memfd.set_len(self.len)?;
        }
        filled?;
        fcntl_add_seals(&self.memfd, SEALS)?;
        match is_sealed(&self.memfd)? {
            true => Ok(&self.memfd),
            false => Err(io::Error::other("the memfd is not sealed")),
        }
    }

    /// What was sealed, for a hand-off.
    pub(super) fn memfd(&self) -> BorrowedFd<'_> {
        self.memfd.as_fd()
    }

    /// Seals and maps what was filled.
    pub(crate) fn seal(self, reason: Unguarded) -> io::Result<Sealed> {
        fcntl_add_seals(&self.memfd, SEALS)?;
        Sealed::map(self.memfd, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    fn copy_of(file: &File, len: u64) -> io::Result<Sealed> {
        let filling = Filling::new(len)?;
        filling.copy_from(file)?;
        filling.seal(Unguarded::NotAsked)
    }

    #[test]
    fn a_sealed_hold_cannot_be_changed() {
        let hold = Sealed::of(b"weights").unwrap();
        let memfd = File::from(hold.memfd().try_clone_to_owned().unwrap());
        let denied = |result: io::Result<()>| {
            assert_eq!(
                result.unwrap_err().raw_os_error(),
                Some(Errno::PERM.raw_os_error())
            );
        };
        denied(memfd.write_all_at(b"W", 0));
        denied(memfd.set_len(1));
        denied(memfd.set_len(100));
        let path = format!("/proc/self/fd/{}", memfd.as_raw_fd());
        let mut reopened = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        denied(reopened.write_all(b"W"));
        assert!(fcntl_add_seals(&memfd, SealFlags::FUTURE_WRITE).is_err());
        assert_eq!(&hold[..], b"weights");
    }

    #[test]
    fn a_hold_keeps_what_the_file_was() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        let hold = copy_of(&file, 100_000).unwrap();
        file.write_all_at(&[8; 10], 50).unwrap();
        file.set_len(1).unwrap();
        assert!(hold.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_file_that_shrinks_underneath_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"short").unwrap();
        assert_eq!(
            copy_of(&file, 6).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[test]
    fn filling_stays_inside() {
        let filling = Filling::new(4).unwrap();
        assert!(filling.write_at(b"12345", 0).is_err());
        assert!(filling.write_at(b"1", u64::MAX).is_err());
        assert!(filling.write_at(b"1234", 0).is_ok());
    }

    #[test]
    fn an_unsealed_memfd_is_not_mapped() {
        let filling = Filling::new(4).unwrap();
        assert!(Sealed::map(filling.memfd, Unguarded::NotAsked).is_err());
    }
}
