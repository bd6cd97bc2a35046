//! The newest release across restarts: the state of a store, in a directory of the controller's.

use std::io;

use jiff::Timestamp;
use tensorgate_client::Memory;
use tensorgate_store::State;
use tensorgate_verify::{Accepted, Evidence, History, RepoId, RepoType};

#[derive(Debug)]
pub(crate) struct Kept(pub(crate) State);

impl Memory for Kept {
    fn record(&mut self, release: &Evidence) -> io::Result<()> {
        self.0.record_accepted(release).map_err(io::Error::other)
    }
}

impl History for Kept {
    fn last_accepted(&self, repo_type: RepoType, repo: &RepoId) -> io::Result<Option<Accepted>> {
        History::last_accepted(&self.0, repo_type, repo)
    }

    fn clock_floor(&self) -> io::Result<Option<Timestamp>> {
        self.0.clock_floor()
    }

    fn is_ready(&self) -> io::Result<bool> {
        self.0.is_ready()
    }
}
