//! Work that can be stopped in good order: by Ctrl-C, or by whatever runs services (SIGTERM).

use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use crate::failure::Failure;
use crate::signals::{Held, STOP};

/// Time for what is being written to be flushed. A thread that reads a large file is not waited for
/// longer: every step on the disk may end anywhere.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs `work` to its end, unless somebody stops it.
pub(crate) fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    let stopped = || {
        let failure = Failure::about(Path::new(""), "stopped; what arrived is kept");
        Err(failure.hint("the same command goes on from there"))
    };
    until_stopped(work)?.unwrap_or_else(stopped)
}

/// Runs `work` until it ends or somebody stops it; then there is nothing.
pub(crate) fn until_stopped<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<Option<T>, Failure> {
    let held = Held::back(&STOP).map_err(no_runtime)?;
    // Work on a thread of its own: it may wait for the disk, and this one has to hear.
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(no_runtime)?;
    let outcome = runtime.block_on(first_of(&runtime, &held, work));
    // Nobody hears any more: from here on a signal ends the process, as it ends any.
    drop(held);
    runtime.shutdown_timeout(LAST_WORDS);
    outcome
}

async fn first_of<T: Send + 'static>(
    runtime: &Runtime,
    held: &Held,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<Option<T>, Failure> {
    let ears = held.ears().and_then(UnixStream::from_std);
    let ears = ears.map_err(no_runtime)?;
    let work = runtime.spawn(work);
    tokio::select! {
        outcome = work => outcome.map(Some).map_err(no_runtime),
        heard = signal_at(&ears) => {
            held.answer();
            heard.map(|()| None).map_err(no_runtime)
        }
    }
}

async fn signal_at(ears: &UnixStream) -> io::Result<()> {
    loop {
        ears.readable().await?;
        match ears.try_read(&mut [0]) {
            // Tokio may wake for nothing.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read.map(drop),
        }
    }
}

fn no_runtime(error: impl Into<io::Error>) -> Failure {
    let error = error.into();
    Failure::about(Path::new(""), format!("could not do the work: {error}"))
}
