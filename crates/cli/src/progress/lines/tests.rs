//! What is said, line by line, where there is no terminal.

use super::*;

const GB: u64 = 1_000_000_000;

/// A log whose clock is set by hand.
struct Clock {
    log: Log,
    begin: Instant,
}

impl Clock {
    fn new(files: usize, bytes: u64) -> Self {
        let begin = Instant::now();
        let mut log = Log::new(begin);
        (log.files, log.bytes) = (files, bytes);
        Self { log, begin }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.begin + Duration::from_secs(seconds)
    }
}

fn path(name: &str) -> FilePath {
    name.parse().unwrap()
}

#[test]
fn a_large_file_gets_a_line_for_each_tenth_or_minute() {
    let mut clock = Clock::new(1, 10 * GB);
    let weights = path("model.safetensors");
    clock.log.started(&weights, 10 * GB, clock.at(0));
    // A chunk of a hundredth, each second.
    let lines: Vec<String> = (1..=99)
        .filter_map(|second| clock.log.advanced(&weights, GB / 10, clock.at(second)))
        .collect();
    assert_eq!(lines.len(), 9);
    assert_eq!(
        lines[0],
        "  10 % of 10.0 GB, 0 of 1 file, 100 MB/s, 1 min left"
    );
    assert_eq!(
        lines[8],
        "  90 % of 10.0 GB, 0 of 1 file, 100 MB/s, 10 s left"
    );
    // On a slow link, minutes pass before there is a tenth more.
    let mut clock = Clock::new(1, 10 * GB);
    clock.log.started(&weights, 10 * GB, clock.at(0));
    let lines: Vec<String> = (1..=150)
        .filter_map(|second| clock.log.advanced(&weights, GB / 1000, clock.at(second)))
        .collect();
    assert_eq!(
        lines,
        [
            "  0 % of 10.0 GB, 0 of 1 file, 1.00 MB/s, 2 h 45 min left",
            "  1 % of 10.0 GB, 0 of 1 file, 1.00 MB/s, 2 h 44 min left"
        ]
    );
}

#[test]
fn a_file_that_is_complete_gets_a_line_with_its_rate() {
    let mut clock = Clock::new(2, 3 * GB);
    let (config, weights) = (path("config.json"), path("model.safetensors"));
    for (path, size) in [(&config, 1_234), (&weights, 3 * GB)] {
        clock.log.started(path, size, clock.at(0));
        clock.log.advanced(path, size, clock.at(0));
    }
    let line = clock.log.finished(&config, clock.at(0));
    assert_eq!(line.unwrap(), "  config.json, 1,234 bytes");
    let line = clock.log.finished(&weights, clock.at(4));
    assert_eq!(
        line.unwrap(),
        "  model.safetensors, 3,000,000,000 bytes, 750 MB/s"
    );
}

#[test]
fn many_small_files_are_counted() {
    let mut clock = Clock::new(1_000, 1_000 * 50_000);
    let mut lines = Vec::new();
    for n in 0..1_000_u64 {
        let file = path(&format!("{n}.json"));
        clock.log.started(&file, 50_000, clock.at(n / 10));
        lines.extend(clock.log.advanced(&file, 50_000, clock.at(n / 10)));
        lines.extend(clock.log.finished(&file, clock.at(n / 10)));
    }
    assert_eq!(lines.len(), 9);
    assert_eq!(
        lines[0],
        "  10 % of 50.0 MB, 100 of 1,000 files, 505 kB/s, 1 min left"
    );
}

#[test]
fn what_was_there_before_is_no_speed() {
    let mut clock = Clock::new(1, 10 * GB);
    let weights = path("model.safetensors");
    clock.log.started(&weights, 10 * GB, clock.at(0));
    clock.log.resumed(&weights, 8 * GB);
    let line = clock.log.advanced(&weights, GB, clock.at(10));
    assert_eq!(
        line.unwrap(),
        "  90 % of 10.0 GB, 0 of 1 file, 100 MB/s, 10 s left"
    );
    clock.log.advanced(&weights, GB, clock.at(11));
    let line = clock.log.finished(&weights, clock.at(20));
    assert_eq!(
        line.unwrap(),
        "  model.safetensors, 10,000,000,000 bytes, 100 MB/s"
    );
    let config = path("config.json");
    clock.log.started(&config, 7, clock.at(20));
    clock.log.resumed(&config, 7);
    let line = clock.log.finished(&config, clock.at(29));
    assert_eq!(line.unwrap(), "  config.json, 7 bytes, there already");
}

#[test]
fn a_second_attempt_does_not_count_twice() {
    let mut clock = Clock::new(1, 100);
    let weights = path("model.safetensors");
    for _attempt in 0..3 {
        clock.log.started(&weights, 100, clock.at(0));
        clock.log.advanced(&weights, 90, clock.at(0));
    }
    let line = clock.log.advanced(&weights, 5, clock.at(10));
    assert!(line.unwrap().starts_with("  95 % of 100 bytes"));
}

#[test]
fn what_nobody_announced_is_no_event() {
    let mut clock = Clock::new(0, 0);
    let stranger = path("model.safetensors");
    assert_eq!(clock.log.advanced(&stranger, 1, clock.at(99)), None);
    assert_eq!(clock.log.finished(&stranger, clock.at(99)), None);
    assert_eq!(percent(0, 0), 0);
    assert_eq!(percent(u64::MAX, u64::MAX), 100);
}
