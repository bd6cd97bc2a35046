//! A load or a publish, from its beginning to its end.

use std::sync::Arc;
use std::time::Instant;

use r2r::tensorgate_msgs::action::LoadPolicy::Feedback;
use tensorgate_handoff::Refusal;
use tensorgate_verify::{Rejection, Sha256};

use crate::action::Progress;
use crate::announce::{Announcement, Session};
use crate::gate::Gate;
use crate::gate::ask::Asker;
use crate::lifecycle::{Outcome, State as Life};
use crate::load::{LoadError, Wanted};
use crate::loading::{Held, Loader};
use crate::publish::{Job, Outlets, Published};
use crate::requests::{Answer, Verdict};
use crate::status::{Named, State, is_revocation};

/// What goes on. There is one at a time.
pub(super) struct Task {
    work: Work,
    asker: Asker,
    /// What was configured is activated, too.
    activate: bool,
    /// Why nobody wants it any more.
    canceled: Option<&'static str>,
}

enum Work {
    Loading(Loader),
    Publishing(Publishing),
}

struct Publishing {
    job: Job,
    held: Arc<Held>,
    named: Named,
}

impl Task {
    /// What is published: the first to have its manifest may ask for fragments before it has
    /// ended.
    pub(super) fn published(&self) -> Option<(u64, &Announcement)> {
        let (named, held) = self.publishing()?;
        Some((named.epoch, &held.announcement))
    }

    /// What is on its way to the topics.
    pub(super) fn publishing(&self) -> Option<(Named, &Held)> {
        match &self.work {
            Work::Publishing(it) if self.canceled.is_none() => Some((it.named, &it.held)),
            _ => None,
        }
    }

    /// Waits for the end of a publish; a load ends with the process.
    pub(super) fn end(self) {
        if let Work::Publishing(publishing) = self.work {
            drop(publishing.job.end());
        }
    }

    fn progress(&self) -> Progress {
        match &self.work {
            Work::Loading(loader) => loader.progress().now(),
            Work::Publishing(_) => (Feedback::PHASE_PUBLISHING as u8, 0, 0),
        }
    }
}

/// What was called back stops those, too, who still have it from an earlier run.
fn refused(rejection: Rejection, manifest: Option<Sha256>) -> State {
    match (manifest, is_revocation(rejection)) {
        (Some(manifest), true) => State::Revoked(Named { manifest, epoch: 0 }, rejection),
        _ => State::Rejected(rejection),
    }
}

impl Gate {
    /// Loads what is wanted, or what the parameters name.
    pub(super) fn load(&mut self, asker: Asker, wanted: Option<Wanted>, activate: bool) {
        match self.start_loading(wanted) {
            Ok(loader) => {
                self.task = Some(Task {
                    work: Work::Loading(loader),
                    asker,
                    activate,
                    canceled: None,
                });
            }
            Err(error) => self.refuse(asker, &error),
        }
    }

    fn start_loading(&mut self, wanted: Option<Wanted>) -> Result<Loader, LoadError> {
        let settings = self.parameters.settings();
        let settings = settings.map_err(LoadError::could_not)?;
        self.follow(&settings)?;
        let params = self.parameters.params();
        let wanted = wanted.map_or_else(|| params.wanted(), Ok);
        let wanted = wanted.map_err(LoadError::could_not)?;
        let shared = Arc::clone(&self.shared);
        Loader::start(settings, wanted, shared, self.teller.clone())
    }

    /// One look at what goes on.
    pub(super) fn work(&mut self) {
        let Some(task) = self.task.take() else { return };
        self.action.tell(task.progress(), Instant::now());
        match &task.work {
            Work::Loading(loader) => match loader.poll() {
                Some(outcome) => self.loaded(task, outcome),
                None => self.task = Some(task),
            },
            Work::Publishing(publishing) if publishing.job.is_finished() => self.settle(task),
            Work::Publishing(_) => self.task = Some(task),
        }
    }

    /// A client called it off; too late where controllers may have heard of it.
    pub(super) fn cancel(&mut self) {
        if let Some(task) = &mut self.task {
            let canceled = match &task.work {
                Work::Loading(loader) => loader.progress().cancel(),
                Work::Publishing(publishing) => publishing.job.cancel(),
            };
            if canceled {
                task.canceled = Some("by its caller");
            }
        }
    }

    /// Whatever is under way does not come into force.
    pub(super) fn call_off(&mut self, why: &'static str) {
        self.cancel();
        if let Some(task) = &mut self.task {
            task.canceled = Some(why);
        }
    }

    fn loaded(&mut self, task: Task, outcome: Result<Held, LoadError>) {
        let outcome = match task.canceled {
            Some(why) => Err(LoadError::canceled(why)),
            None => outcome.and_then(|held| self.still_counts(held)),
        };
        match outcome {
            Err(error) => self.refuse(task.asker, &error),
            Ok(held) => {
                self.tell_held(&held);
                self.take_over(Arc::new(held), task);
            }
        }
    }

    /// While it was being loaded, somebody may have wanted to write to it, after it was proven, or
    /// may have revoked it.
    fn still_counts(&self, held: Held) -> Result<Held, LoadError> {
        if held.announcement.is_lost() {
            let why = "somebody waits to write to its weights, and there is no memory for them";
            return Err(LoadError::could_not(why.to_owned()));
        }
        let manifest = held.announcement.policy().evidence().manifest;
        if self.revoked.contains(&manifest) {
            return Err(LoadError {
                rejection: Some(Rejection::ManifestRevoked),
                ..LoadError::could_not(format!("manifest-revoked: {manifest}, through ~/revoke"))
            });
        }
        Ok(held)
    }

    fn take_over(&mut self, held: Arc<Held>, task: Task) {
        if self.life.state() == Life::Active {
            return self.publish(held, task.asker);
        }
        self.hold(held);
        self.end(Outcome::Success);
        if task.activate {
            return self.activate(task.asker);
        }
        if self.heartbeat.state() == State::Loading {
            self.heartbeat.set(State::NoPolicy);
        }
        let message = "verified and held; hint: `activate` announces it";
        self.answer(task.asker, &Answer::new(Verdict::Ok, message));
    }

    /// What was asked for does not come; what there is stays.
    fn refuse(&mut self, asker: Asker, error: &LoadError) {
        let configuring = self.life.state() == Life::Configuring;
        let consequence = match self.announced {
            Some(_) => "what is announced stays",
            None => "no policy is published",
        };
        if let Some(untold) = self.refusals.step(Instant::now()) {
            let line = format!("{consequence}: {}{untold}", error.message);
            self.logger.error(&line);
        }
        self.note_rejection(error);
        self.following.settle(&asker, error);
        if configuring {
            self.heartbeat.set(match error.rejection {
                _ if error.is_canceled => State::NoPolicy,
                Some(rejection) => refused(rejection, error.manifest),
                None => State::Failed,
            });
            self.end(Outcome::Failure);
        }
        self.answer(asker, &Answer::from(error));
    }

    /// Announces what is held, beside what is announced.
    pub(super) fn publish(&mut self, held: Arc<Held>, asker: Asker) {
        match self.start_publishing(held) {
            Err(error) => self.fail(asker, &error),
            Ok(publishing) => {
                self.task = Some(Task {
                    work: Work::Publishing(publishing),
                    asker,
                    activate: false,
                    canceled: None,
                });
            }
        }
    }

    fn start_publishing(&mut self, held: Arc<Held>) -> Result<Publishing, String> {
        self.epoch += 1;
        let manifest = held.announcement.policy().evidence().manifest;
        self.remember(manifest);
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
        let job = Job::start(&mut self.node, outlets, announcement, session, stamp)?;
        let named = Named {
            manifest,
            epoch: session.epoch,
        };
        Ok(Publishing { job, held, named })
    }

    fn settle(&mut self, task: Task) {
        let Work::Publishing(Publishing { job, held, named }) = task.work else {
            return;
        };
        let ended = job.end();
        let why = match (ended.outcome, task.canceled) {
            (Ok(Published::All), None) => {
                self.announce(held, named, ended.fragments);
                self.end(Outcome::Success);
                let message = format!("announced as epoch {}", named.epoch);
                return self.answer(task.asker, &Answer::new(Verdict::Ok, message));
            }
            (Ok(_), why) => Ok(why.unwrap_or("by its caller")),
            (Err(message), _) => Err(message),
        };
        self.forget(ended.fragments);
        if self.heartbeat.state() == State::Loading {
            self.heartbeat.set(State::NoPolicy);
        }
        match why {
            Ok(why) => {
                self.end(Outcome::Failure);
                let answer = Answer::from(&LoadError::canceled(why));
                self.answer(task.asker, &answer);
            }
            Err(message) => self.fail(task.asker, &message),
        }
        if ended.is_out {
            self.put_back(&held);
        }
    }

    /// Something went out that is not in force, and took the place of what is, if anything: that is
    /// announced again.
    fn put_back(&mut self, failed: &Arc<Held>) {
        match self.held.clone().filter(|_| self.announced.is_some()) {
            Some(held) if !Arc::ptr_eq(&held, failed) => self.publish(held, Asker::Nobody),
            _ => {
                if let Some(server) = self.shared.server() {
                    server.withdraw(Refusal::NothingOffered);
                }
            }
        }
    }

    /// The middleware did not do its part.
    fn fail(&mut self, asker: Asker, message: &str) {
        let line = format!("a policy could not be announced: {message}");
        self.logger.error(&line);
        if self.life.state() == Life::Activating {
            self.end(Outcome::Error);
        }
        self.answer(asker, &Answer::new(Verdict::Failed, message));
    }
}
