//! The states that a controller must handle.

use std::fmt;

/// Whether a policy is there, and may be acted on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// Nothing was announced that could be believed.
    NoPolicy,
    /// A first policy is on its way.
    Receiving,
    /// There is a policy, and the gate stands by it: act on it.
    Active,
    /// There is a policy, but the gate is silent, or took it back: stop in an orderly way.
    Stale,
    /// The policy was declared bad: stop at once. Only another policy ends this state.
    Revoked,
}

impl State {
    /// The state's name, in lower case: `no-policy`, `receiving`, `active`, `stale`, `revoked`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPolicy => "no-policy",
            Self::Receiving => "receiving",
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
