//! The states that a controller must handle.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use tensorgate_verify::{Policy, Verified};

use crate::lease::Lease;

/// Whether a policy is there, and may be acted on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// Nothing was announced that could be believed.
    NoPolicy,
    /// A first policy is on its way.
    Receiving,
    /// A policy is there, every byte of it proven, but no heartbeat says yet that a gate stands by
    /// it: an announcement can be a replay, so wait.
    Verified,
    /// There is a policy, and the gate stands by it: act on it.
    Active,
    /// There is a policy, but the gate is silent, or took it back, or it expired: stop in an
    /// orderly way.
    Stale,
    /// The policy was declared bad: stop at once. Only another policy ends this state.
    Revoked,
}

/// What a [`Receiver`](crate::Receiver) had in force when it was taken, and until when: for a
/// control loop that must not wait while another thread verifies the next message.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) running: Option<Running>,
    pub(crate) revoked: bool,
    pub(crate) receiving: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) policy: Arc<Verified<Policy>>,
    pub(crate) lease: Lease,
    /// When the manifest expires, by the steady clock; `None` beyond what that can tell.
    pub(crate) expires: Option<Instant>,
}

impl Running {
    fn state(&self, at: Instant) -> State {
        match self.expires.is_none_or(|expires| at < expires) {
            true if self.lease.holds(at) => State::Active,
            true if self.lease.is_unheard() => State::Verified,
            _ => State::Stale,
        }
    }
}

impl Snapshot {
    /// Whether there is a policy, and whether it may be acted on at the instant `at`.
    pub fn state(&self, at: Instant) -> State {
        match &self.running {
            None if self.receiving => State::Receiving,
            None => State::NoPolicy,
            Some(_) if self.revoked => State::Revoked,
            Some(running) => running.state(at),
        }
    }

    /// The policy to act on: `None` unless [`Active`](State::Active).
    pub fn active(&self, at: Instant) -> Option<&Arc<Verified<Policy>>> {
        self.policy().filter(|_| self.state(at) == State::Active)
    }

    /// The policy last put into force, in whatever state.
    pub fn policy(&self) -> Option<&Arc<Verified<Policy>>> {
        self.running.as_ref().map(|running| &running.policy)
    }
}

impl State {
    /// The state's name, in lower case: `no-policy`, `receiving`, `verified`, `active`,
    /// `stale`, `revoked`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPolicy => "no-policy",
            Self::Receiving => "receiving",
            Self::Verified => "verified",
            Self::Active => "active",
            Self::Stale => "stale",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
