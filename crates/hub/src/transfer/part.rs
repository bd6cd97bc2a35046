//! What of a file is on the disk so far, and what it hashes to.

use bytes::Bytes;
use tensorgate_store::{Incoming, Quarantine, Recorded, Stamp};
use tokio::sync::mpsc::Receiver;

use crate::error::FetchError;
use crate::fetch::hash::Hasher;
use crate::fetch::wanted::Wanted;

/// The bytes of a file from its beginning on, as far as they came.
pub(crate) struct Part {
    wanted: Wanted,
    incoming: Incoming,
    hasher: Hasher,
    /// As it was when this process left it; `None` while it writes.
    left: Option<Stamp>,
    /// Whether the bytes are of more than one answer, or of another process.
    pieced: bool,
}

impl Part {
    /// What an earlier attempt left, which is read: nothing else says what it is.
    pub(crate) fn open(wanted: &Wanted, quarantine: &Quarantine) -> Result<Self, FetchError> {
        let size = wanted.listed.size;
        let mut part = Self {
            wanted: wanted.clone(),
            incoming: quarantine.resume(&wanted.part_name(), size)?,
            hasher: Hasher::new(&wanted.listed),
            left: None,
            pieced: false,
        };
        let hasher = &mut part.hasher;
        part.incoming.read(|chunk| hasher.update(chunk))?;
        part.pieced = part.len() > 0;
        if part.len() > size {
            part.restart()?;
        }
        part.left = part.incoming.stamp()?;
        Ok(part)
    }

    /// Bytes that are there.
    pub(crate) const fn len(&self) -> u64 {
        self.hasher.size()
    }

    pub(crate) const fn missing(&self) -> u64 {
        self.wanted.listed.size.saturating_sub(self.len())
    }

    /// Whether it can be wrong though the last answer was right.
    pub(crate) const fn is_pieced(&self) -> bool {
        self.pieced
    }

    /// Whether the file is still as this process left it, so that its digests hold.
    pub(crate) fn is_untouched(&self) -> bool {
        self.left.is_some() && self.incoming.stamp().is_ok_and(|now| now == self.left)
    }

    /// Takes what comes after the first `start` bytes, which are all that there are, or none. Says
    /// what went wrong beside what there is then.
    pub(crate) fn take(
        mut self,
        start: u64,
        queue: Receiver<Bytes>,
    ) -> (Self, Result<(), FetchError>) {
        let taken = self.fill(start, queue);
        (self, taken)
    }

    fn fill(&mut self, start: u64, mut queue: Receiver<Bytes>) -> Result<(), FetchError> {
        self.left = None;
        match start {
            0 => self.restart()?,
            _ => self.pieced = true,
        }
        while let Some(chunk) = queue.blocking_recv() {
            self.incoming.write(&chunk)?;
            self.hasher.update(&chunk);
        }
        self.left = self.incoming.stamp()?;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), FetchError> {
        self.incoming.clear()?;
        self.hasher = Hasher::new(&self.wanted.listed);
        self.pieced = false;
        Ok(())
    }

    /// Puts the file in its place, if it is the right one; if not, nothing of it stays.
    pub(crate) fn place(self, quarantine: &Quarantine) -> Result<Recorded, FetchError> {
        match self.wanted.judge(&self.hasher.finish()) {
            Ok(recorded) => {
                quarantine.place(self.incoming, self.wanted.path())?;
                Ok(recorded)
            }
            Err(refused) => {
                self.incoming.discard();
                Err(refused)
            }
        }
    }

    pub(crate) fn discard(self) {
        self.incoming.discard();
    }

    /// Lets go of bytes that are not the file's.
    pub(crate) fn discard_for(self, error: FetchError) -> FetchError {
        self.discard();
        error
    }
}
