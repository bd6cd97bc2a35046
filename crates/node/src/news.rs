//! What other threads find out while the gate spins: it says so, and draws the conclusion.

use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tensorgate_handoff::{Event, HandoffError, Server, make_directory_of};
use tensorgate_verify::{LeaseEvent, LeaseHolder, LeaseOutcome, LeaseSignal};

use crate::follow::Followed;
use crate::pace::Pace;
use crate::parameters::Handoff;
use crate::rosout::Level;

/// What another thread has to say.
#[derive(Debug)]
pub(crate) enum News {
    /// A line for the log.
    Line(Level, String),
    /// The weights cannot be kept: why.
    Starved(String),
    /// What following the channel brought.
    Channel(Followed),
}

/// Answers for leases. The node may be gone already; then nobody wants to know.
pub(crate) fn hold_leases(signal: LeaseSignal, news: Sender<News>) -> std::io::Result<LeaseHolder> {
    LeaseHolder::start(signal, move |event| drop(news.send(News::of_lease(event))))
}

/// Listens for controllers of this machine; nothing is offered yet.
pub(crate) fn listen(handoff: &Handoff, news: Sender<News>) -> Result<Server, HandoffError> {
    let pace = Mutex::new(Pace::default());
    let tell = move |event: &Event<'_>| {
        let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(untold) = pace.step(Instant::now()) {
            drop(news.send(News::of_handoff(event, &untold)));
        }
    };
    if handoff.is_well_known {
        make_directory_of(&handoff.socket, &handoff.peers)?;
    }
    Server::start(&handoff.socket, handoff.peers.clone(), tell)
}

impl News {
    fn of_lease(event: &LeaseEvent) -> Self {
        let (path, bytes) = (&event.path, event.bytes);
        match &event.outcome {
            LeaseOutcome::Moved { took } => Self::Line(
                Level::Info,
                format!(
                    "somebody wants to write to {path}: its {bytes} bytes were moved into sealed \
                     memory in {:.1} ms",
                    took.as_secs_f64() * 1e3
                ),
            ),
            LeaseOutcome::Starved { error, left } => Self::Starved(format!(
                "somebody wants to write to {path}, and there is no memory for its {bytes} bytes \
                 ({error}); the kernel holds the writer back for {:.1} s at most",
                left.as_secs_f64()
            )),
            _ => Self::Line(Level::Warn, format!("somebody wants to write to {path}")),
        }
    }

    fn of_handoff(event: &Event<'_>, untold: &str) -> Self {
        let level = match event {
            Event::HandedOver { .. } => Level::Info,
            _ => Level::Warn,
        };
        Self::Line(level, format!("hand-off: {event}{untold}"))
    }
}
