//! One file: received, hashed and written at the same time, and put in place only if it is right.

use std::sync::Arc;

use bytes::Bytes;
use tensorgate_store::{Quarantine, Recorded};
use tensorgate_verify::Revision;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::deadline::Deadline;
use crate::error::FetchError;
use crate::hash::Hasher;
use crate::hub::Repository;
use crate::progress::Progress;
use crate::transport::Body;
use crate::wanted::Wanted;

/// Chunks on their way from the network to the disk; hyper's are of at most some hundred KiB.
const QUEUE: usize = 16;

impl Wanted {
    /// Puts the file into quarantine, unless it is there already, and right.
    pub(crate) async fn obtain(
        &self,
        from: Repository<'_>,
        revision: &Revision,
        quarantine: &Arc<Quarantine>,
        progress: &dyn Progress,
    ) -> Result<(Recorded, u64), FetchError> {
        if let Some(recorded) = self.kept(quarantine).await? {
            return Ok((recorded, 0));
        }
        let mut retries = from.hub.retries(progress);
        let recorded = loop {
            match self.receive(from, revision, quarantine, progress).await {
                Ok(recorded) => break recorded,
                Err(error) => retries.wait_after(from.hub.hide(error)).await?,
            }
        };
        progress.file_finished(self.path());
        let size = recorded.size;
        Ok((recorded, size))
    }

    async fn receive(
        &self,
        from: Repository<'_>,
        revision: &Revision,
        quarantine: &Arc<Quarantine>,
        progress: &dyn Progress,
    ) -> Result<Recorded, FetchError> {
        let limits = from.hub.limits();
        let size = self.listed.size;
        progress.file_started(self.path(), size);
        let time = limits.grace.saturating_add(limits.slowest_time(size));
        let deadline = Deadline::within(time, "the time for a file of its size is over");
        let mut body = from.body(revision, self.path(), deadline).await?;
        let (chunks, queue) = channel(QUEUE);
        let (this, quarantine) = (self.clone(), Arc::clone(quarantine));
        let writing = tokio::task::spawn_blocking(move || this.write(queue, &quarantine));
        let received = self.pump(&mut body, &chunks, progress).await;
        if received.is_ok() {
            // If nobody listens, the writer has failed, and is asked next.
            drop(chunks.send(Piece::End).await);
        }
        drop(chunks);
        let written = writing.await.map_err(stopped)?;
        received?;
        written
    }

    /// Hands on what comes, up to the listed size, for as long as it is taken.
    async fn pump(
        &self,
        body: &mut Body,
        chunks: &Sender<Piece>,
        progress: &dyn Progress,
    ) -> Result<(), FetchError> {
        let mut received = 0_u64;
        while let Some(chunk) = body.next().await? {
            let len = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            received = received.saturating_add(len);
            if received > self.listed.size {
                return Err(self.refuse_size("more"));
            }
            progress.file_advanced(self.path(), len);
            if chunks.send(Piece::Bytes(chunk)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The other half: takes what was received until the end, judges it, and puts it in place.
    fn write(
        &self,
        mut queue: Receiver<Piece>,
        quarantine: &Quarantine,
    ) -> Result<Recorded, FetchError> {
        let mut incoming = quarantine.incoming()?;
        let mut hasher = Hasher::new(self.listed.size);
        loop {
            match queue.blocking_recv() {
                Some(Piece::Bytes(chunk)) => {
                    hasher.update(&chunk);
                    incoming.write(&chunk)?;
                }
                Some(Piece::End) => break,
                // The receiving half gave up and says why; nobody hears this.
                None => return Err(self.refuse_size("fewer")),
            }
        }
        let recorded = self.judge(&hasher.finish())?;
        quarantine.place(incoming, self.path())?;
        Ok(recorded)
    }
}

/// What goes from the network to the disk. A queue that ends without `End` was given up.
enum Piece {
    Bytes(Bytes),
    End,
}

/// Runs what waits for the disk on a thread for such things.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

/// The runtime is shutting down.
fn stopped(error: tokio::task::JoinError) -> FetchError {
    FetchError::malformed("the disk's thread", error)
}
