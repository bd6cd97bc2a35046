//! A load or a publish, from its beginning to its end.

use std::sync::Arc;
use std::time::Instant;

use crate::announce::{Announcement, Session};
use crate::gate::{Gate, text};
use crate::load::LoadError;
use crate::loading::{Held, Loader};
use crate::publish::{Job, Outlets, Published};
use crate::status::{Named, State};

/// What goes on. There is one at a time.
pub(super) enum Work {
    Loading(Loader),
    Publishing(Publishing),
}

pub(super) struct Publishing {
    job: Job,
    held: Held,
    named: Named,
}

impl Work {
    /// What is published: the first to have its manifest may ask for fragments before it has
    /// ended.
    pub(super) fn published(&self) -> Option<(u64, &Announcement)> {
        match self {
            Self::Loading(_) => None,
            Self::Publishing(it) => Some((it.named.epoch, &it.held.announcement)),
        }
    }

    /// Nobody wants it any more. It ends soon, by itself.
    pub(super) fn cancel(&self) {
        match self {
            Self::Loading(loader) => loader.progress().cancel(),
            Self::Publishing(publishing) => publishing.job.cancel(),
        }
    }
}

impl Publishing {
    /// Waits for its end.
    pub(super) fn end(self) {
        drop(self.job.end());
    }
}

impl Gate {
    pub(super) fn begin(&mut self) {
        self.heartbeat.set(State::Loading);
        match self.start_loading() {
            Ok(loader) => self.work = Some(Work::Loading(loader)),
            Err(error) => self.fail(&error),
        }
    }

    fn start_loading(&self) -> Result<Loader, LoadError> {
        let settings = self
            .parameters
            .params()
            .settings()
            .map_err(LoadError::could_not)?;
        let wanted = self
            .parameters
            .params()
            .wanted()
            .map_err(LoadError::could_not)?;
        let shared = Arc::clone(&self.shared);
        Ok(Loader::start(settings, wanted, shared, self.teller.clone()))
    }

    pub(super) fn work(&mut self) {
        self.work = match self.work.take() {
            Some(Work::Loading(loader)) => match loader.poll() {
                None => Some(Work::Loading(loader)),
                Some(outcome) => self.loaded(outcome),
            },
            Some(Work::Publishing(publishing)) if publishing.job.is_finished() => {
                self.settle(publishing);
                None
            }
            still => still,
        };
    }

    fn loaded(&mut self, outcome: Result<Held, LoadError>) -> Option<Work> {
        let published = outcome.and_then(still_there).and_then(|held| {
            self.tell_held(&held);
            self.publish(held)
        });
        match published {
            Ok(publishing) => Some(Work::Publishing(publishing)),
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    fn publish(&mut self, held: Held) -> Result<Publishing, LoadError> {
        self.epoch += 1;
        let session = Session {
            id: self.session_id,
            epoch: self.epoch,
        };
        let outlets = Outlets {
            manifests: self.manifests.clone(),
            server: self.shared.server().cloned(),
            teller: self.teller.clone(),
        };
        let announcement = Arc::clone(&held.announcement);
        let stamp = self.logger.now();
        let job = Job::start(&mut self.node, outlets, announcement, session, stamp)
            .map_err(|error| LoadError::could_not(format!("~/fragments: {}", text(error))))?;
        let named = Named {
            manifest: held.announcement.policy().evidence().manifest,
            epoch: session.epoch,
        };
        Ok(Publishing { job, held, named })
    }

    fn settle(&mut self, publishing: Publishing) {
        let Publishing { job, held, named } = publishing;
        let (fragments, outcome) = job.end();
        match outcome {
            Ok(Published::All) => self.announce(held, named, fragments),
            Ok(Published::Canceled) => {
                self.node.destroy_publisher(fragments);
                self.let_go();
            }
            Err(message) => {
                self.node.destroy_publisher(fragments);
                self.fail(&LoadError::could_not(message));
            }
        }
    }

    /// No manifest goes out; the reason does.
    pub(super) fn fail(&mut self, error: &LoadError) {
        let line = format!("no policy is published: {}", error.message);
        self.logger.error(&line);
        if error.rejection.is_some() {
            self.last_rejection = Some((Instant::now(), error.message.clone()));
        }
        let state = error.rejection.map_or(State::Failed, State::Rejected);
        self.heartbeat.set(state);
        self.let_go();
    }
}

/// While it was being loaded somebody may have wanted to write to it, after it was proven.
fn still_there(held: Held) -> Result<Held, LoadError> {
    if held.announcement.is_lost() {
        let why = "somebody waits to write to its weights, and there is no memory for them";
        return Err(LoadError::could_not(why.to_owned()));
    }
    Ok(held)
}
