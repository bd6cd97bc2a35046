//! How far a download is: bars on a terminal, lines in a log, silence beside JSON.

mod bars;
mod lines;
mod reading;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use tensorgate_hub::{Progress, Silent};

use bars::Bars;
use lines::Lines;
pub(crate) use reading::Reading;

/// The way that fits where standard error goes.
pub(crate) fn choose(json: bool) -> Arc<dyn Progress> {
    if json {
        Arc::new(Silent)
    } else if can_draw() {
        Arc::new(Bars::on_terminal())
    } else {
        Arc::new(Lines::new())
    }
}

/// A terminal on which something can be drawn over; one that is called dumb gets lines.
fn can_draw() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !dumb
}

/// From here on, reading and proving take a second or more on a slow machine: worth a word.
const LONG: u64 = 256 << 20;

/// `14.5 GB`, to three digits.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    let digits = match value {
        _ if unit == 0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    format!("{value:.digits$} {unit}")
}

/// `12.3 MB/s`; nothing where that cannot be said.
fn rate(bytes: u64, within: Duration) -> Option<String> {
    let per_second = bytes as f64 / within.as_secs_f64();
    per_second
        .is_finite()
        .then(|| format!("{}/s", size(per_second as u64)))
}

/// `2 h 5 min`, as exactly as anybody can foretell.
fn left(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_000, "1.00 kB"),
            (9_996, "10.0 kB"),
            (99_960, "100 kB"),
            (999_600, "1.00 MB"),
            (14_500_000_000, "14.5 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_are_as_exact_as_a_forecast() {
        let seconds = [0, 59, 60, 3599, 3600, 7500];
        let texts = seconds.map(|seconds| left(Duration::from_secs(seconds)));
        assert_eq!(
            texts,
            ["0 s", "59 s", "1 min", "59 min", "1 h 0 min", "2 h 5 min"]
        );
        assert_eq!(rate(10, Duration::ZERO), None);
        assert_eq!(
            rate(24_600_000, Duration::from_secs(2)).unwrap(),
            "12.3 MB/s"
        );
    }
}
