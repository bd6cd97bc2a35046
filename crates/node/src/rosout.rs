//! Log lines for people at a terminal and for `/rosout`.
//!
//! rcl creates the publisher on `/rosout` in a call that r2r does not make from Jazzy on, so the
//! node has one of its own, with the profile that ROS gives to `/rosout`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use r2r::rcl_interfaces::msg::Log;
use r2r::{Clock, Node, Publisher, QosProfile};

use crate::announce::ros_string;

/// Where the node says what happens.
#[derive(Clone)]
pub(crate) struct Logger {
    name: String,
    publisher: Publisher<Log>,
    clock: Arc<Mutex<Clock>>,
}

/// Levels that the node uses, with the numbers of `rcl_interfaces/msg/Log`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

impl Logger {
    pub(crate) fn new(node: &mut Node) -> r2r::Result<Self> {
        let qos = QosProfile::default()
            .reliable()
            .transient_local()
            .keep_last(1000);
        let publisher = node.create_publisher("/rosout", qos.lifespan(Duration::from_secs(10)))?;
        Ok(Self {
            name: node.logger().to_owned(),
            publisher,
            clock: node.get_ros_clock(),
        })
    }

    pub(crate) fn info(&self, text: &str) {
        self.log(Level::Info, text);
    }

    pub(crate) fn warn(&self, text: &str) {
        self.log(Level::Warn, text);
    }

    pub(crate) fn error(&self, text: &str) {
        self.log(Level::Error, text);
    }

    /// The time by the ROS clock, simulated where that is asked for.
    pub(crate) fn now(&self) -> r2r::builtin_interfaces::msg::Time {
        let mut clock = self
            .clock
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        clock
            .get_now()
            .map(|now| Clock::to_builtin_time(&now))
            .unwrap_or_default()
    }

    pub(crate) fn log(&self, level: Level, text: &str) {
        let text = line(text);
        let level = match level {
            Level::Info => {
                r2r::log_info!(&self.name, "{text}");
                Log::INFO as u8
            }
            Level::Warn => {
                r2r::log_warn!(&self.name, "{text}");
                Log::WARN as u8
            }
            Level::Error => {
                r2r::log_error!(&self.name, "{text}");
                Log::ERROR as u8
            }
        };
        let line = Log {
            stamp: self.now(),
            level,
            name: self.name.clone(),
            msg: text,
            ..Log::default()
        };
        if let Err(error) = self.publisher.publish(&line) {
            r2r::log_warn!(&self.name, "a log line did not reach /rosout: {error}");
        }
    }
}

/// Of a longer line the rest is left out: what others name is in it.
const LONGEST: usize = 4096;

/// A NUL would end rcutils' C string and poison its lock for every later line; a terminal obeys the
/// other controls.
fn line(text: &str) -> String {
    let mut chars = text.char_indices();
    match chars.nth(LONGEST) {
        None => ros_string(text),
        Some((end, _)) => {
            let (kept, rest) = text.split_at(end);
            format!("{}… ({} bytes more)", ros_string(kept), rest.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_short_and_printable() {
        assert_eq!(line("verified acme/walk"), "verified acme/walk");
        assert_eq!(line("a\0b\x1b[2J\nc"), "a\u{fffd}b\u{fffd}[2J\u{fffd}c");
        assert_eq!(line(&"é".repeat(LONGEST)), "é".repeat(LONGEST));
        let long = line(&"é".repeat(1 << 20));
        assert_eq!(long.chars().filter(|c| *c == 'é').count(), LONGEST);
        assert!(long.ends_with("… (2088960 bytes more)"), "{long}");
    }
}
