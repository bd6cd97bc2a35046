//! The heartbeat: what controllers may rely on, and for how long.

use std::time::{Duration, Instant};

use r2r::builtin_interfaces::msg::Duration as RosDuration;
use r2r::tensorgate_msgs::msg::PolicyStatus;
use r2r::{Node, Publisher, QosProfile};
use tensorgate_verify::{Rejection, Sha256};

use crate::announce::Session;
use crate::rosout::Logger;

/// 10 Hz.
const PERIOD: Duration = Duration::from_millis(100);

/// What the node holds now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Loading,
    Ready(Sha256),
    Rejected(Rejection),
    Failed,
    Withdrawn(Sha256),
    Expired(Sha256),
    /// There was no memory to keep it in.
    Lost(Sha256),
}

/// Publishes the state at a steady 10 Hz, and at once when it changes.
pub(crate) struct Heartbeat {
    publisher: Publisher<PolicyStatus>,
    logger: Logger,
    session: Session,
    lease: Duration,
    state: State,
    sequence: u64,
    next: Instant,
}

impl Heartbeat {
    pub(crate) fn new(
        node: &mut Node,
        logger: Logger,
        session: Session,
        lease: Duration,
    ) -> r2r::Result<Self> {
        let qos = QosProfile::default().reliable().volatile().keep_last(1);
        let publisher = node.create_publisher("~/status", qos)?;
        let state = State::Loading;
        Ok(Self {
            publisher,
            logger,
            session,
            lease,
            state,
            sequence: 0,
            next: Instant::now(),
        })
    }

    /// Changes the state and says so at once.
    pub(crate) fn set(&mut self, state: State) {
        self.state = state;
        self.next = Instant::now();
        self.beat();
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// Sends a status where one is due.
    pub(crate) fn beat(&mut self) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        // After a pause the rhythm starts anew; missed beats are not made up for.
        self.next = (self.next + PERIOD).max(now);
        self.sequence += 1;
        if let Err(error) = self.publisher.publish(&self.message()) {
            self.logger
                .error(&format!("a status was not sent: {error}"));
        }
    }

    fn message(&self) -> PolicyStatus {
        let (state, digest) = match self.state {
            State::Loading => (PolicyStatus::STATE_LOADING as u8, None),
            State::Ready(digest) => (PolicyStatus::STATE_READY as u8, Some(digest)),
            State::Rejected(_) => (PolicyStatus::STATE_REJECTED as u8, None),
            State::Failed => (PolicyStatus::STATE_FAILED as u8, None),
            State::Withdrawn(digest) | State::Expired(digest) | State::Lost(digest) => {
                (PolicyStatus::STATE_WITHDRAWN as u8, Some(digest))
            }
        };
        PolicyStatus {
            stamp: self.logger.now(),
            session_id: self.session.id.to_vec(),
            epoch: if digest.is_some() {
                self.session.epoch
            } else {
                0
            },
            sequence: self.sequence,
            state,
            manifest_digest: digest.map_or([0; 32], |digest| *digest.as_bytes()).to_vec(),
            reason: self.state.reason(),
            lease: RosDuration {
                sec: self.lease.as_secs() as i32,
                nanosec: self.lease.subsec_nanos(),
            },
        }
    }
}

impl State {
    /// The constant `REASON_*`.
    const fn reason(self) -> u8 {
        match self {
            Self::Loading | Self::Ready(_) => PolicyStatus::REASON_NONE as u8,
            Self::Rejected(rejection) => rejection.number(),
            Self::Failed | Self::Lost(_) => PolicyStatus::REASON_COULD_NOT_CHECK as u8,
            Self::Withdrawn(_) => PolicyStatus::REASON_WITHDRAWN as u8,
            Self::Expired(_) => Rejection::ManifestExpired.number(),
        }
    }
}
