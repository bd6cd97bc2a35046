//! One file: received, hashed and written at the same time, and put in place only if it is right.
//! After a cut, it goes on from what is on the disk.

pub(crate) mod part;
pub(crate) mod range;
pub(crate) mod slices;

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use tensorgate_store::{Quarantine, Recorded};
use tensorgate_verify::{Rejection, Revision};
use tokio::sync::SemaphorePermit;
use tokio::sync::mpsc::{Sender, channel};

use crate::error::FetchError;
use crate::fetch::wanted::Wanted;
use crate::http::deadline::Deadline;
use crate::http::transport::Body;
use crate::hub::Repository;
use crate::progress::Progress;
use crate::transfer::part::Part;
use crate::transfer::range::Span;
use crate::transfer::slices::{Pace, Slices};

/// Chunks on their way from the network to the disk. hyper's are of at most 408 KiB, so that four
/// files at a time hold no more than 13 MiB.
const QUEUE: usize = 8;

/// RFC 9110, section 15.5.17: the server has nothing from there on.
const RANGE_NOT_SATISFIABLE: u16 = 416;

impl Wanted {
    /// Puts the file into quarantine, unless it is there already, and right. The number is of the
    /// bytes that were received for it.
    pub(crate) async fn obtain(
        &self,
        from: Repository<'_>,
        revision: &Revision,
        quarantine: &Arc<Quarantine>,
        progress: &dyn Progress,
    ) -> Result<(Recorded, u64), FetchError> {
        if let Some(recorded) = self.kept(quarantine).await? {
            progress.file_started(self.path(), recorded.size);
            progress.file_resumed(self.path(), recorded.size);
            progress.file_finished(self.path());
            return Ok((recorded, 0));
        }
        let time = from.hub.limits().time_of_file(self.listed.size);
        let mut transfer = Transfer {
            wanted: self,
            from,
            revision,
            quarantine,
            progress,
            deadline: Deadline::within(time, "the time for a file of its size is over"),
            part: None,
            received: 0,
            pieced: false,
            splits: true,
            splitting: false,
            restarted: false,
        };
        let recorded = transfer.run().await?;
        progress.file_finished(self.path());
        Ok((recorded, transfer.received))
    }
}

/// The attempts to get one file.
struct Transfer<'a> {
    wanted: &'a Wanted,
    from: Repository<'a>,
    revision: &'a Revision,
    quarantine: &'a Arc<Quarantine>,
    progress: &'a dyn Progress,
    deadline: Deadline,
    /// What is on the disk, between attempts; `None` until it was read.
    part: Option<Part>,
    /// Bytes of all attempts together.
    received: u64,
    /// Whether the bytes of the last attempt were not all of one answer.
    pieced: bool,
    /// Whether it may come by several connections, and did so in the last attempt.
    splits: bool,
    splitting: bool,
    /// Whether it began anew once, since it was not of one answer.
    restarted: bool,
}

impl<'a> Transfer<'a> {
    async fn run(&mut self) -> Result<Recorded, FetchError> {
        let (hub, size) = (self.from.hub, self.wanted.listed.size);
        let mut retries = hub.retries(self.progress).of_file(size, self.deadline);
        loop {
            let error = match self.attempt().await {
                Ok(recorded) => return Ok(recorded),
                Err(error) => hub.hide(error),
            };
            if self.restarts_after(&error) {
                retries.forget();
                continue;
            }
            if self.stops_splitting_after(&error) {
                continue;
            }
            let have = self.part.as_ref().map_or(0, Part::len);
            retries.reach(have);
            let again = retries.wait_after(error).await;
            again.inspect_err(|_| self.tell_what_stays(have))?;
        }
    }

    /// From what there is to the end.
    async fn attempt(&mut self) -> Result<Recorded, FetchError> {
        let part = self.open().await?;
        self.tell_start(part.len());
        let part = match part.missing() {
            0 => part,
            _ => self.receive(part).await?,
        };
        self.pieced |= part.is_pieced();
        let quarantine = Arc::clone(self.quarantine);
        blocking(move || part.place(&quarantine)).await
    }

    /// What there is on the disk. What this process has left there it knows, unless somebody else
    /// was at it; anything else is read.
    async fn open(&mut self) -> Result<Part, FetchError> {
        let (left, wanted) = (self.part.take(), self.wanted.clone());
        let quarantine = Arc::clone(self.quarantine);
        blocking(move || match left.filter(Part::is_untouched) {
            Some(part) => Ok(part),
            None => Part::open(&wanted, &quarantine),
        })
        .await
    }

    /// Asks for what is missing, and adds it. What came stays, unless that was wrong.
    async fn receive(&mut self, part: Part) -> Result<Part, FetchError> {
        let (path, have) = (self.wanted.path(), part.len());
        let span = Span::after(have);
        self.from.hub.pause.over(self.progress).await;
        (self.pieced, self.splitting) = (have > 0, false);
        let asked = self.from.body(self.revision, path, span, self.deadline);
        let body = match asked.await {
            Ok(body) => body,
            Err(error) => return self.keep(part, error),
        };
        let start = match body.start(self.wanted, span) {
            Ok(start) => start,
            Err(error) if !body.is_part() && error.rejection().is_some() => {
                return self.keep(part, error);
            }
            // Whoever answers like this would do so again: the next one asks for the whole, which may
            // be right.
            Err(error) => return Err(part.discard_for(error)),
        };
        if start < have {
            self.tell_start(start);
        }
        let (chunks, queue) = channel(QUEUE);
        // Whoever gives up the download leaves the thread behind: until it has ended, nobody else
        // comes to the part.
        let lock = Arc::clone(self.quarantine);
        let writing = tokio::task::spawn_blocking(move || {
            let taken = part.take(start, queue);
            drop(lock);
            taken
        });
        let received = self.pump(body, start, chunks).await;
        let (part, written) = writing.await.map_err(stopped)?;
        match written.and(received) {
            Ok(()) => Ok(part),
            Err(error) if error.rejection().is_some() => Err(part.discard_for(error)),
            Err(error) => self.keep(part, error),
        }
    }

    /// Hands on what comes, up to the listed size, for as long as it is taken.
    async fn pump(
        &mut self,
        mut body: Body,
        start: u64,
        chunks: Sender<Bytes>,
    ) -> Result<(), FetchError> {
        let mut missing = self.wanted.listed.size.saturating_sub(start);
        let mut pace = Pace::new(self.from.hub.limits());
        while let Some(chunk) = body.next().await? {
            let len = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            let Some(rest) = missing.checked_sub(len) else {
                return Err(self.wanted.refuse_size("more"));
            };
            missing = rest;
            if !self.hand_on(chunk, &chunks).await {
                return Ok(());
            }
            if pace.is_slow_with(len)
                && let Some(_held) = self.may_split(&body, missing)
            {
                return self.pump_slices(body, missing, chunks).await;
            }
        }
        match missing {
            0 => Ok(()),
            _ if body.has_an_end() => Err(self.wanted.refuse_size("fewer")),
            _ => Err(body.cut()),
        }
    }

    /// The same for the rest, by several connections, so that the file is not of one answer.
    async fn pump_slices(
        &mut self,
        body: Body,
        missing: u64,
        chunks: Sender<Bytes>,
    ) -> Result<(), FetchError> {
        (self.pieced, self.splitting) = (true, true);
        let (before, limits) = (self.received, self.from.hub.limits());
        let mut slices = pin!(self.slices().last(missing, body));
        while let Some(slice) = slices.next().await {
            // A slice that was cut is lost: a link that is cut all the time gets one connection.
            let round = limits.slice_bytes.saturating_mul(limits.slices as u64);
            self.splits = slice.is_ok() || self.received - before >= round;
            for chunk in slice? {
                if !self.hand_on(chunk, &chunks).await {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether the disk's half still takes something; if not, it has failed, and says why.
    async fn hand_on(&mut self, chunk: Bytes, chunks: &Sender<Bytes>) -> bool {
        let len = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.received = self.received.saturating_add(len);
        self.progress.file_advanced(self.wanted.path(), len);
        chunks.send(chunk).await.is_ok()
    }

    const fn slices(&self) -> Slices<'a> {
        Slices {
            hub: self.from.hub,
            wanted: self.wanted,
            deadline: self.deadline,
        }
    }

    /// The right to ask for several slices at a time, if that is worth it and no other file has it.
    fn may_split(&self, body: &Body, missing: u64) -> Option<SemaphorePermit<'a>> {
        let worth_it = self.splits && self.slices().are_worth_it(body, missing);
        worth_it.then(|| self.from.hub.split.try_acquire().ok())?
    }

    /// Whether to go on by one connection and by way of the resolver: the address that it gave has
    /// expired, or what is there gives no slices after all.
    fn stops_splitting_after(&mut self, error: &FetchError) -> bool {
        let refused = matches!(error, FetchError::Refused(_) | FetchError::Malformed { .. });
        let stops = refused && std::mem::take(&mut self.splitting);
        self.splits &= !stops;
        stops
    }

    fn keep(&mut self, part: Part, error: FetchError) -> Result<Part, FetchError> {
        self.part = Some(part);
        Err(error)
    }

    /// Whether the file is worth to be asked for once more, from nothing: the server has another
    /// one than before, or what was on the disk was not the beginning of it.
    fn restarts_after(&mut self, error: &FetchError) -> bool {
        let other = match error {
            FetchError::Refused(refused) => refused.status == RANGE_NOT_SATISFIABLE,
            error => error.rejection() == Some(Rejection::DigestMismatch),
        };
        if !other || !self.pieced || std::mem::replace(&mut self.restarted, true) {
            return false;
        }
        if let Some(part) = self.part.take() {
            part.discard();
        }
        self.splits = false;
        let path = self.wanted.path().as_str();
        let text =
            format!("{error}; {path:?} was not of one piece, it is fetched from its beginning");
        self.progress.notice(&text);
        true
    }

    fn tell_start(&self, at: u64) {
        let path = self.wanted.path();
        self.progress.file_started(path, self.wanted.listed.size);
        if at > 0 {
            self.progress.file_resumed(path, at);
        }
    }

    fn tell_what_stays(&self, have: u64) {
        if have > 0 {
            let (path, size) = (self.wanted.path().as_str(), self.wanted.listed.size);
            let text = format!("{have} of {size} bytes of {path:?} are kept for the next fetch");
            self.progress.notice(&text);
        }
    }
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
