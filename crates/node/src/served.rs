//! A service, answered between two spins.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::{FutureExt, Stream, StreamExt};
use r2r::{Node, QosProfile, ServiceRequest, WrappedServiceTypeSupport};

use crate::rosout::Logger;

/// How long answers may keep the gate from its next step. Before it answers, rmw_fastrtps waits
/// 100 ms for the caller's reader to be matched, and then gives up (`__rmw_send_response` in
/// `rmw_response.cpp`): callers whom no answer reaches may take that much, and no more.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);

/// The requests of a service.
pub(crate) struct Served<S: WrappedServiceTypeSupport> {
    requests: Pin<Box<dyn Stream<Item = ServiceRequest<S>>>>,
    /// When it was last said that an answer was lost.
    said: Option<Instant>,
}

impl<S: WrappedServiceTypeSupport + 'static> Served<S> {
    pub(crate) fn new(node: &mut Node, name: &str, qos: QosProfile) -> r2r::Result<Self> {
        let requests = Box::pin(node.create_service::<S>(name, qos)?);
        Ok(Self {
            requests,
            said: None,
        })
    }

    /// Answers one request, where there is one.
    pub(crate) fn answer(
        &mut self,
        logger: &Logger,
        answer: impl FnOnce(&S::Request) -> S::Response,
    ) -> bool {
        let Some(request) = self.take() else {
            return false;
        };
        let response = answer(&request.message);
        self.respond(logger, request, response);
        true
    }

    /// Takes one request, to be answered when its outcome is known.
    pub(crate) fn take(&mut self) -> Option<ServiceRequest<S>> {
        self.requests.next().now_or_never().flatten()
    }

    /// Answers what was taken; whether that reached the caller.
    pub(crate) fn respond(
        &mut self,
        logger: &Logger,
        request: ServiceRequest<S>,
        response: S::Response,
    ) -> bool {
        let sent = request.respond(response);
        if let Err(error) = &sent {
            self.lament(logger, error);
        }
        sent.is_ok()
    }

    /// One line a second: whoever may call could fill the disk with lines otherwise.
    fn lament(&mut self, logger: &Logger, error: &r2r::Error) {
        let long_ago = |said: Instant| said.elapsed() >= Duration::from_secs(1);
        if self.said.is_none_or(long_ago) {
            self.said = Some(Instant::now());
            logger.warn(&format!("a caller of a service got no answer: {error}"));
        }
    }
}
