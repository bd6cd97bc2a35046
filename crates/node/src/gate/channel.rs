//! What following the channel brings: newer releases, and trouble.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tensorgate_verify::Sha256;

use crate::follow::{Followed, Follower, Takes};
use crate::gate::Gate;
use crate::gate::ask::Asker;
use crate::hub::Online;
use crate::lifecycle::State as Life;
use crate::load::{LoadError, Pins, Wanted};
use crate::news::News;
use crate::parameters::{Settings, Source};

/// The channel, while it is followed: from a first configure until cleanup.
#[derive(Default)]
pub(super) struct Following {
    follower: Option<Follower>,
    /// A release that came, to be loaded once nothing else goes on; the channel does not bring it again.
    newer: Option<Sha256>,
    /// When that was last tried.
    tried: Option<Instant>,
}

/// Between two tries to load a release that is in the store by now.
const AGAIN: Duration = Duration::from_secs(10);

impl Following {
    /// When the channel last answered.
    pub(super) fn answered(&self) -> Option<Instant> {
        self.follower.as_ref()?.answered()
    }

    /// A release that was refused is not tried again; one that could not be loaded is.
    pub(super) fn settle(&mut self, asker: &Asker, error: &LoadError) {
        if matches!(asker, Asker::Nobody) && error.rejection.is_some() {
            self.newer = None;
        }
    }

    /// What it brings that was asked for before is not asked for now.
    fn bring(&mut self, manifest: Sha256) {
        let follower = self.follower.as_ref();
        if follower.is_some_and(|follower| follower.takes() == Takes::Releases) {
            (self.newer, self.tried) = (Some(manifest), None);
        }
    }

    fn every(&self, interval: Option<Duration>) {
        if let Some(follower) = &self.follower {
            follower.every(interval);
        }
    }

    /// Has the follower that there is take this; whether there is one.
    fn turn_to(&mut self, takes: Takes) -> bool {
        let Some(follower) = &self.follower else {
            return false;
        };
        if follower.takes() != takes {
            follower.take(takes);
            (self.newer, self.tried) = (None, None);
        }
        true
    }
}

impl Gate {
    /// Follows the channel of the parameters, if there is one. Releases are taken from it where no
    /// other policy is named: one that is named stays, until it is called back.
    pub(super) fn follow(&mut self, settings: &Settings) -> Result<(), LoadError> {
        let takes = match self.parameters.params().wanted() {
            Ok(wanted) if matches!(wanted.source, Source::Channel) => Takes::Releases,
            _ => Takes::Revocations,
        };
        if self.following.turn_to(takes) {
            return Ok(());
        }
        let Some(online) = Online::open(settings, &Pins::from(settings))? else {
            return Ok(());
        };
        let holder = self.shared.holder(settings, &self.teller).map(Arc::clone);
        let teller = self.teller.clone();
        // The gate is gone only when the node stops; then nobody wants to know.
        let tell = move |followed| drop(teller.send(News::Channel(followed)));
        let follower = Follower::start(settings.clone(), online, takes, holder, tell)?;
        self.following = Following {
            follower: Some(follower),
            ..Following::default()
        };
        Ok(())
    }

    /// `update_interval_s` counts at once.
    pub(super) fn keep_pace(&self) {
        if let Ok(interval) = self.parameters.params().update_interval() {
            self.following.every(interval);
        }
    }

    pub(super) fn hear_channel(&mut self, followed: Followed) {
        if self.following.follower.is_none() {
            return;
        }
        match followed {
            Followed::Release(manifest) => self.following.bring(manifest),
            Followed::Refused(error) => {
                self.logger
                    .error(&format!("the channel: refused: {}", error.message));
                self.last_rejection = Some((Instant::now(), error.message));
            }
            Followed::Unavailable(error) => {
                let line = format!("the channel could not be asked: {}", error.message);
                self.logger.warn(&line);
            }
            Followed::Recovered => self.logger.info("the channel can be followed again"),
            Followed::Note(text) => self.logger.info(&text),
        }
    }

    /// Loads the release that the channel brought, once nothing else goes on.
    pub(super) fn load_newer(&mut self) {
        let life = self.life.state();
        if self.task.is_some() || life.is_transition() {
            return;
        }
        let now = Instant::now();
        let soon = |tried: Instant| now.saturating_duration_since(tried) < AGAIN;
        let Some(manifest) = self.following.newer else {
            return;
        };
        if self.holds(&manifest) {
            self.following.newer = None;
            return;
        }
        if self.following.tried.is_some_and(soon) {
            return;
        }
        self.following.tried = Some(now);
        let wanted = Wanted {
            source: Source::Manifest(manifest),
            repo: None,
            revision: None,
        };
        match life {
            Life::Unconfigured if self.parameters.params().autostart => {
                self.configure(Asker::Nobody, Some(wanted), true);
            }
            Life::Inactive | Life::Active => self.load(Asker::Nobody, Some(wanted), false),
            // Whoever drives the life cycle configures it.
            _ => {}
        }
    }

    fn holds(&self, manifest: &Sha256) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.announcement.policy().evidence().manifest == *manifest)
    }
}
