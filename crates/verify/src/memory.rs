//! Bytes that cannot change while they are held.
//!
//! Hash-then-map is unsound: a later write to the file shows through any mapping of it, and a
//! truncation ends the process with SIGBUS. So weights are copied into a memfd, which is sealed
//! against every change, and only then mapped, hashed and read. Small files are plain memory.

#![expect(
    unsafe_code,
    reason = "the one mapping of the crate, argued in `Sealed::map`"
)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use memmap2::{Mmap, MmapOptions};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::io::Errno;

/// Bytes held so that nobody can change them: dereferences to `[u8]`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Hold {
    /// Private memory of this process.
    Owned(Box<[u8]>),
    /// A sealed memfd, mapped; its descriptor can be handed to another process.
    Sealed(Sealed),
}

/// A memfd that can neither be written nor resized, by anybody, and its mapping.
#[derive(Debug)]
pub struct Sealed {
    map: Mmap,
    memfd: File,
}

/// A memfd that is still being filled.
#[derive(Debug)]
pub(crate) struct Filling {
    memfd: File,
    len: u64,
}

/// What must be sealed before the bytes are looked at.
const SEALS: SealFlags = SealFlags::WRITE
    .union(SealFlags::GROW)
    .union(SealFlags::SHRINK)
    .union(SealFlags::SEAL);

impl Hold {
    /// Copies `len` bytes of `file`, from its start, into a sealed memfd.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file is shorter than `len`; what the system says, `ENOMEM` among it.
    pub(crate) fn copy_of(file: &File, len: u64) -> io::Result<Self> {
        let mut filling = Filling::new(len)?;
        filling.copy_from(file)?;
        filling.seal()
    }
}

impl Deref for Hold {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Sealed(sealed) => &sealed.map,
        }
    }
}

impl Sealed {
    /// The sealed memfd, for a same-host hand-off: the receiver maps the same pages.
    pub fn memfd(&self) -> BorrowedFd<'_> {
        self.memfd.as_fd()
    }

    /// Maps a memfd after making sure that it is sealed.
    fn map(memfd: File) -> io::Result<Self> {
        if !fcntl_get_seals(&memfd)?.contains(SEALS) {
            return Err(io::Error::other("the memfd is not sealed"));
        }
        // SAFETY:
        // 1. Hazard: memmap2 documents that a file-backed map is undefined behaviour "if the
        //    underlying file is subsequently modified, in or out of process".
        // 2. Excluded by the kernel: with F_SEAL_WRITE "it is not possible to modify the contents
        //    of the file", F_SEAL_SHRINK and F_SEAL_GROW keep its size, F_SEAL_SEAL keeps the
        //    seals (fcntl(2)); all four were read back from this very descriptor above, and
        //    F_SEAL_WRITE is refused with EBUSY while a writable mapping exists.
        // 3. Who could still: nobody, root included, through the file; the map is private and
        //    read-only, so neither can this process through it.
        // 4. Shown by: `tests::a_sealed_hold_cannot_be_changed`.
        let map = unsafe { MmapOptions::new().map_copy_read_only(&memfd) }?;
        Ok(Self { map, memfd })
    }
}

impl Filling {
    /// An empty memfd of `len` zero bytes; pages are taken as they are filled.
    pub(crate) fn new(len: u64) -> io::Result<Self> {
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
    fn copy_from(&mut self, file: &File) -> io::Result<()> {
        let mut done = 0;
        while done < self.len {
            let rest = usize::try_from(self.len.saturating_sub(done)).unwrap_or(usize::MAX);
            match rustix::fs::sendfile(&self.memfd, file, Some(&mut done), rest) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Seals and maps what was filled.
    pub(crate) fn seal(self) -> io::Result<Hold> {
        fcntl_add_seals(&self.memfd, SEALS)?;
        Sealed::map(self.memfd).map(Hold::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    fn sealed(bytes: &[u8]) -> Hold {
        let filling = Filling::new(bytes.len().try_into().unwrap()).unwrap();
        filling.write_at(bytes, 0).unwrap();
        filling.seal().unwrap()
    }

    #[test]
    fn a_sealed_hold_cannot_be_changed() {
        let hold = sealed(b"weights");
        let Hold::Sealed(inner) = &hold else {
            panic!("sealed")
        };
        let memfd = File::from(inner.memfd().try_clone_to_owned().unwrap());
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
        let hold = Hold::copy_of(&file, 100_000).unwrap();
        file.write_all_at(&[8; 10], 50).unwrap();
        file.set_len(1).unwrap();
        assert!(hold.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_file_that_shrinks_underneath_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"short").unwrap();
        assert_eq!(
            Hold::copy_of(&file, 6).unwrap_err().kind(),
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
        assert!(Sealed::map(filling.memfd).is_err());
    }
}
