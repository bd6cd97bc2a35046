//! What is on its way.

use std::time::Instant;

use tensorgate_verify::{Assembly, Blake3, Evidence, FragmentSize};

use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::pull::{Pace, Pull};
use crate::{Fragment, Session};

/// How the tensors are cut, and the value of every fragment.
pub(crate) type Table = (FragmentSize, Vec<Blake3>);

/// A policy that is being received, or proven.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// `None` while what arrived is being proven elsewhere.
    assembly: Option<Assembly>,
    pub(crate) evidence: Evidence,
    pub(crate) table: Table,
    pub(crate) lease: Lease,
    pub(crate) pace: Pace,
}

impl Incoming {
    pub(crate) fn new(assembly: Assembly, table: Table, lease: Lease, pace: Pace) -> Self {
        Self {
            evidence: assembly.manifest().evidence().clone(),
            assembly: Some(assembly),
            table,
            lease,
            pace,
        }
    }

    pub(crate) const fn announcement(&self) -> (Session, u64) {
        self.lease.announcement()
    }

    pub(crate) const fn is_being_proven(&self) -> bool {
        self.assembly.is_none()
    }

    pub(crate) fn missing(&self) -> impl Iterator<Item = usize> {
        self.assembly.iter().flat_map(Assembly::missing)
    }

    /// Takes a fragment; one that is not ours is ignored where it names another announcement.
    pub(crate) fn accept(&mut self, fragment: &Fragment<'_>, at: Instant) -> Result<()> {
        let named = self.announcement() == (fragment.session, fragment.epoch);
        let Some(assembly) = &mut self.assembly else {
            return Ok(());
        };
        let index = usize::try_from(fragment.index).unwrap_or(usize::MAX);
        let before = assembly.missing_count();
        match assembly.accept(index, fragment.data) {
            Ok(()) if assembly.missing_count() < before => {
                self.pace.advance(fragment.index, fragment.data.len(), at);
                Ok(())
            }
            Err(error) if error.rejection().is_none() || named => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What arrived, once nothing is missing.
    pub(crate) fn take_complete(&mut self, at: Instant) -> Option<Assembly> {
        let complete = self.assembly.take_if(|assembly| assembly.is_complete());
        if complete.is_some() {
            self.pace.complete(at);
        }
        complete
    }

    /// The next batch to ask for: the first run of fragments that are missing, and not on their way.
    /// `last` is the number of the one before it, of whatever transfer.
    pub(crate) fn pull(&mut self, last: &mut u64, at: Instant) -> Option<Pull> {
        let Some(assembly) = &self.assembly else {
            return None;
        };
        let most = self.pace.due(self.table.0.bytes(), at)?;
        let mut missing = assembly.missing().filter(|index| !self.pace.awaits(*index));
        let first = missing.next()?;
        let run = (first.saturating_add(1)..).zip(missing);
        let more = run.take_while(|(next, missing)| next == missing);
        let more = more.take(usize::try_from(most.saturating_sub(1)).unwrap_or(usize::MAX));
        let count = u32::try_from(more.count()).ok()?.checked_add(1)?;
        let range = (u32::try_from(first).ok()?, count);
        let announcement = self.lease.announcement();
        Some(self.pace.ask(announcement, range, last, at))
    }

    /// Why it is given up.
    pub(crate) fn overdue(&self) -> Error {
        Error::Overdue {
            missing: self.missing().count(),
            of: self.table.1.len(),
        }
    }
}
