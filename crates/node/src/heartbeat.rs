//! The rhythm of `~/status`, on a thread of its own: while the gate answers a caller that rmw has
//! not matched yet, its spin waits 100 ms (`__rmw_send_response` in rmw_fastrtps).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use r2r::tensorgate_msgs::msg::PolicyStatus;
use r2r::{Node, Publisher, QosProfile};

use crate::rosout::Logger;
use crate::status::State;

/// 10 Hz.
const PERIOD: Duration = Duration::from_millis(100);

/// A gate that hangs is not to be believed.
const SILENT_AFTER: Duration = Duration::from_secs(2);

/// Publishes the state at a steady 10 Hz, and at once when it changes.
pub(crate) struct Heartbeat {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    beat: Mutex<Beat>,
    changed: Condvar,
}

struct Beat {
    publisher: Publisher<PolicyStatus>,
    logger: Logger,
    session_id: [u8; 16],
    lease: Duration,
    state: State,
    sequence: u64,
    next: Instant,
    /// When the gate's loop was last seen to turn.
    alive: Instant,
    ended: bool,
}

impl Heartbeat {
    pub(crate) fn start(
        node: &mut Node,
        logger: Logger,
        session_id: [u8; 16],
        lease: Duration,
    ) -> Result<Self, String> {
        let beat = Beat::new(node, logger, session_id, lease, Instant::now())
            .map_err(|error| format!("~/status: {error}"))?;
        let shared = Arc::new(Shared {
            beat: Mutex::new(beat),
            changed: Condvar::new(),
        });
        let ours = Arc::clone(&shared);
        let thread = thread::Builder::new().name("heartbeat".to_owned());
        let thread = thread.spawn(move || ours.run());
        let thread = thread.map_err(|error| format!("no thread for the heartbeat: {error}"))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Changes the state; it has been sent when this returns.
    pub(crate) fn set(&self, state: State) {
        let mut beat = self.shared.lock();
        beat.state = state;
        beat.next = Instant::now();
        beat.alive = beat.next;
        let now = beat.next;
        beat.step(now);
    }

    /// Counts from the next status on.
    pub(crate) fn set_lease(&self, lease: Duration) {
        self.shared.lock().lease = lease;
    }

    pub(crate) fn state(&self) -> State {
        self.shared.lock().state
    }

    /// The gate's loop still turns.
    pub(crate) fn alive(&self) {
        self.shared.lock().alive = Instant::now();
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Beat> {
        self.beat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut beat = self.lock();
        while !beat.ended {
            let now = Instant::now();
            beat.step(now);
            let pause = beat.next.saturating_duration_since(now);
            let woken = self.changed.wait_timeout(beat, pause);
            beat = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Beat {
    fn new(
        node: &mut Node,
        logger: Logger,
        session_id: [u8; 16],
        lease: Duration,
        now: Instant,
    ) -> r2r::Result<Self> {
        let qos = QosProfile::default().reliable().volatile().keep_last(1);
        Ok(Self {
            publisher: node.create_publisher("~/status", qos)?,
            logger,
            session_id,
            lease,
            state: State::NoPolicy,
            sequence: 0,
            next: now,
            alive: now,
            ended: false,
        })
    }

    /// Sends a status where one is due.
    fn step(&mut self, now: Instant) {
        if now < self.next {
            return;
        }
        // After a pause the rhythm starts anew; missed beats are not made up for.
        let next = self.next + PERIOD;
        self.next = if next > now { next } else { now + PERIOD };
        if now.saturating_duration_since(self.alive) > SILENT_AFTER {
            return;
        }
        self.sequence += 1;
        if let Err(error) = self.publisher.publish(&self.message()) {
            self.logger
                .error(&format!("a status was not sent: {error}"));
        }
    }

    fn message(&self) -> PolicyStatus {
        PolicyStatus {
            stamp: self.logger.now(),
            session_id: self.session_id.to_vec(),
            sequence: self.sequence,
            ..self.state.message(self.lease)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use r2r::Context;
    use tensorgate_verify::Sha256;

    use super::*;
    use crate::status::Named;

    const BEATS: u64 = 24 * 60 * 60 * 10;

    fn beat(now: Instant) -> (Node, Beat) {
        let mut node = Node::create(Context::create().unwrap(), "heartbeat", "").unwrap();
        let logger = Logger::new(&mut node).unwrap();
        let lease = Duration::from_millis(500);
        let mut beat = Beat::new(&mut node, logger, [7; 16], lease, now).unwrap();
        beat.state = State::Ready(Named {
            manifest: Sha256::of(b"manifest"),
            epoch: 1,
        });
        (node, beat)
    }

    /// Private memory of the process in KiB.
    fn memory() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("RssAnon"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    #[ignore = "the test below runs it, alone in its process"]
    fn a_day() {
        let begin = Instant::now();
        let (_node, mut beat) = beat(begin);
        let mut before = 0;
        for number in 0..BEATS {
            let now = begin + PERIOD * u32::try_from(number).unwrap();
            beat.alive = now;
            beat.step(now);
            // What a first hour warms up is not growth.
            if number == BEATS / 24 {
                before = memory();
            }
        }
        assert_eq!(beat.sequence, BEATS);
        let growth = memory().saturating_sub(before);
        assert!(growth < 1024, "{growth} KiB in 23 hours");
    }

    #[test]
    fn a_day_of_heartbeats_does_not_grow() {
        let ours = std::env::current_exe().unwrap();
        let mut day = Command::new(ours);
        day.args(["--exact", "heartbeat::tests::a_day", "--ignored"])
            .env("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF");
        let done = day.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    fn it_is_silent_while_the_gate_hangs() {
        let begin = Instant::now();
        let (_node, mut beat) = beat(begin);
        for tenth in 0..60 {
            beat.step(begin + PERIOD * tenth);
        }
        // 0.0 s to 2.0 s.
        assert_eq!(beat.sequence, 21);
        beat.alive = begin + PERIOD * 60;
        beat.step(begin + PERIOD * 60);
        assert_eq!(beat.sequence, 22);
    }

    #[test]
    fn missed_beats_are_not_made_up_for() {
        let begin = Instant::now();
        let (_node, mut beat) = beat(begin);
        beat.step(begin);
        let later = begin + Duration::from_secs(1);
        beat.step(later);
        beat.step(later);
        assert_eq!(beat.sequence, 2);
    }
}
