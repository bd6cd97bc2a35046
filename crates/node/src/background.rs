//! Work on a thread of its own, and its outcome: ROS waits for neither disk nor middleware.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use crate::load::LoadError;

/// What goes on beside the spinning.
pub(crate) struct Background<T> {
    name: &'static str,
    outcome: Receiver<Result<T, LoadError>>,
}

impl<T: Send + 'static> Background<T> {
    /// # Errors
    /// There is no thread to be had, which a machine in trouble must survive.
    pub(crate) fn start(
        name: &'static str,
        work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, outcome) = channel();
        // Who started it may want to know no more.
        let run = move || drop(sender.send(work()));
        thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { name, outcome })
    }

    /// What was done at once.
    pub(crate) fn done(outcome: T) -> Self {
        let (sender, receiver) = channel();
        drop(sender.send(Ok(outcome)));
        Self {
            name: "done",
            outcome: receiver,
        }
    }

    /// The outcome, once.
    pub(crate) fn poll(&self) -> Option<Result<T, LoadError>> {
        match self.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(self.silent())),
        }
    }

    /// The outcome, if it comes within `patience`.
    pub(crate) fn wait(&self, patience: Duration) -> Result<T, LoadError> {
        match self.outcome.recv_timeout(patience) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(LoadError::could_not(format!(
                "`{}` takes too long",
                self.name
            ))),
            Err(RecvTimeoutError::Disconnected) => Err(self.silent()),
        }
    }

    fn silent(&self) -> LoadError {
        LoadError::could_not(format!("`{}` ended without a word", self.name))
    }
}
