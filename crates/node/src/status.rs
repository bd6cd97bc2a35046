//! What the node stands by, in the words of `PolicyStatus`.

use std::time::Duration;

use r2r::builtin_interfaces::msg::Duration as RosDuration;
use r2r::tensorgate_msgs::msg::PolicyStatus;
use tensorgate_verify::{Rejection, Sha256};

/// A policy as it was announced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Named {
    pub(crate) manifest: Sha256,
    pub(crate) epoch: u64,
}

/// What controllers are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// None is announced, and none is on its way.
    NoPolicy,
    Loading,
    Ready(Named),
    Rejected(Rejection),
    Failed,
    Withdrawn(Named, Reason),
    Revoked(Named, Rejection),
}

/// Why a policy was taken back in an orderly way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    /// The life cycle, or an operator.
    Asked,
    /// It does not count any more, by this rule.
    Rejected(Rejection),
    /// It could not be kept, or not be judged again.
    CouldNotCheck,
}

/// Whether the manifest was called back: what a revoked key signed is nobody's word, and names none.
pub(crate) const fn is_revocation(rejection: Rejection) -> bool {
    matches!(
        rejection,
        Rejection::ManifestRevoked | Rejection::RevisionRevoked | Rejection::DigestRevoked
    )
}

impl State {
    /// What of a status the state decides.
    pub(crate) fn message(self, lease: Duration) -> PolicyStatus {
        let named = self.named();
        PolicyStatus {
            epoch: named.map_or(0, |named| named.epoch),
            state: self.number(),
            manifest_digest: named
                .map_or([0; 32], |named| *named.manifest.as_bytes())
                .to_vec(),
            reason: self.reason(),
            lease: RosDuration {
                sec: lease.as_secs() as i32,
                nanosec: lease.subsec_nanos(),
            },
            ..PolicyStatus::default()
        }
    }

    /// `STATE_*` as people read it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NoPolicy => "no_policy",
            Self::Loading => "loading",
            Self::Ready(_) => "ready",
            Self::Rejected(_) => "rejected",
            Self::Failed => "failed",
            Self::Withdrawn(..) => "withdrawn",
            Self::Revoked(..) => "revoked",
        }
    }

    pub(crate) const fn named(self) -> Option<Named> {
        match self {
            Self::NoPolicy | Self::Loading | Self::Rejected(_) | Self::Failed => None,
            Self::Ready(named) | Self::Withdrawn(named, _) | Self::Revoked(named, _) => Some(named),
        }
    }

    /// The constant `STATE_*`.
    const fn number(self) -> u8 {
        match self {
            Self::NoPolicy => PolicyStatus::STATE_NO_POLICY as u8,
            Self::Loading => PolicyStatus::STATE_LOADING as u8,
            Self::Ready(_) => PolicyStatus::STATE_READY as u8,
            Self::Rejected(_) => PolicyStatus::STATE_REJECTED as u8,
            Self::Failed => PolicyStatus::STATE_FAILED as u8,
            Self::Withdrawn(..) => PolicyStatus::STATE_WITHDRAWN as u8,
            Self::Revoked(..) => PolicyStatus::STATE_REVOKED as u8,
        }
    }

    /// The constant `REASON_*`.
    const fn reason(self) -> u8 {
        match self {
            Self::NoPolicy | Self::Loading | Self::Ready(_) => PolicyStatus::REASON_NONE as u8,
            Self::Rejected(rejection) | Self::Revoked(_, rejection) => rejection.number(),
            Self::Failed => PolicyStatus::REASON_COULD_NOT_CHECK as u8,
            Self::Withdrawn(_, reason) => reason.number(),
        }
    }
}

impl Reason {
    const fn number(self) -> u8 {
        match self {
            Self::Asked => PolicyStatus::REASON_WITHDRAWN as u8,
            Self::Rejected(rejection) => rejection.number(),
            Self::CouldNotCheck => PolicyStatus::REASON_COULD_NOT_CHECK as u8,
        }
    }
}
