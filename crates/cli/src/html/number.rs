//! Numbers as people read them.

/// `14.5 GB`: powers of ten, as the Hub counts.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1e3;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1e3;
        unit += 1;
    }
    let digits = if value < 9.95 {
        2
    } else {
        usize::from(value < 99.5)
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A part of a whole, between 0 and 100, for the geometry of a plot.
pub(super) fn percent(part: f64, whole: f64) -> String {
    let share = part / whole * 100.0;
    let share = if share.is_finite() {
        share.clamp(0.0, 100.0)
    } else {
        0.0
    };
    format!("{share:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_ten() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (14_500_000_000, "14.5 GB"),
            (999_600, "1.00 MB"),
            (206_701_096, "207 MB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn what_is_no_share_has_no_length() {
        assert_eq!(percent(1.0, 4.0), "25.000");
        assert_eq!(percent(9.0, 4.0), "100.000");
        assert_eq!(percent(1.0, 0.0), "0.000");
        assert_eq!(percent(f64::NAN, 1.0), "0.000");
    }
}
