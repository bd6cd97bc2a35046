//! Lines that anybody can cause: a few at once, then one a second, or they would fill the disk.

use std::time::Instant;

/// How many come at once.
const BURST: u32 = 16;

/// What may still be told.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Lines that were told and not made up for yet.
    spent: u32,
    since: Option<Instant>,
    untold: u64,
}

impl Pace {
    /// What to add to a line about those that were left out before it; `None` where it is to be left
    /// out itself.
    pub(crate) fn step(&mut self, now: Instant) -> Option<String> {
        self.refill(now);
        if self.spent >= BURST {
            self.untold += 1;
            return None;
        }
        self.spent += 1;
        Some(match std::mem::take(&mut self.untold) {
            0 => String::new(),
            untold => format!(" ({untold} lines before it left out)"),
        })
    }

    fn refill(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let seconds = now.saturating_duration_since(since).as_secs();
        if seconds > 0 {
            self.since = Some(now);
            self.spent = (self.spent).saturating_sub(u32::try_from(seconds).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_a_burst_and_then_a_line_a_second() {
        let (mut pace, begin) = (Pace::default(), Instant::now());
        let mut told = |millis: u64| pace.step(begin + Duration::from_millis(millis));
        let burst = (0..100).filter(|_| told(0).is_some()).count();
        assert_eq!(burst, BURST as usize);
        assert_eq!(told(999), None);
        assert_eq!(
            told(1000).as_deref(),
            Some(" (85 lines before it left out)")
        );
        assert_eq!(told(1001), None);
        assert_eq!(told(9000).as_deref(), Some(" (1 lines before it left out)"));
        assert_eq!(told(9000).as_deref(), Some(""));
    }
}
