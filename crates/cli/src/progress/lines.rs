//! Lines for a log: the beginning, what is complete, and now and then how far it is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tensorgate_hub::Progress;
use tensorgate_verify::FilePath;

use super::{LONG, left, rate, size};
use crate::output::say;
use crate::text::{count, thousands};

/// Says what a log should have.
pub(super) struct Lines(Mutex<Log>);

/// What is known of a download; each event may be worth a line.
struct Log {
    files: usize,
    complete: usize,
    bytes: u64,
    /// Bytes that are there, whenever they came.
    there: u64,
    /// Bytes that came since the last line on how far it is.
    came: u64,
    told: Told,
    running: BTreeMap<FilePath, Running>,
}

/// When the last line on how far it is was said, and at which tenth that was.
struct Told {
    at: Instant,
    tenth: u64,
}

struct Running {
    since: Instant,
    size: u64,
    there: u64,
    /// Bytes of it that were there before.
    before: u64,
}

/// Between two lines on how far it is: at least this, whatever came.
const SOONEST: Duration = Duration::from_secs(10);
/// And at most this, as long as anything comes.
const LATEST: Duration = Duration::from_secs(60);
/// Of more files than this, the small ones are only counted.
const MANY: usize = 20;
/// A file that gets a line of its own among many.
const LARGE: u64 = 1 << 20;

impl Lines {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Log::new(Instant::now())))
    }

    fn tell(&self, event: impl FnOnce(&mut Log, Instant) -> Option<String>) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = event(&mut log, Instant::now()) {
            say(&line);
        }
    }
}

impl Progress for Lines {
    fn start(&self, files: usize, bytes: u64) {
        self.tell(|log, now| {
            *log = Log::new(now);
            (log.files, log.bytes) = (files, bytes);
            let files = count(files, "file");
            Some(format!("fetching {files}, {} bytes", thousands(bytes)))
        });
    }

    fn file_started(&self, path: &FilePath, size: u64) {
        self.tell(|log, now| log.started(path, size, now));
    }

    fn file_resumed(&self, path: &FilePath, bytes: u64) {
        self.tell(|log, _| log.resumed(path, bytes));
    }

    fn file_advanced(&self, path: &FilePath, bytes: u64) {
        self.tell(|log, now| log.advanced(path, bytes, now));
    }

    fn file_finished(&self, path: &FilePath) {
        self.tell(|log, now| log.finished(path, now));
    }

    fn step(&self, what: &'static str, bytes: u64) {
        self.tell(|_, _| (bytes >= LONG).then(|| format!("{what} {}", size(bytes))));
    }

    fn notice(&self, text: &str) {
        say(&format!("note: {text}"));
    }
}

impl Log {
    fn new(now: Instant) -> Self {
        Self {
            files: 0,
            complete: 0,
            bytes: 0,
            there: 0,
            came: 0,
            told: Told { at: now, tenth: 0 },
            running: BTreeMap::new(),
        }
    }

    /// A second attempt begins anew.
    fn started(&mut self, path: &FilePath, size: u64, now: Instant) -> Option<String> {
        let file = Running {
            since: now,
            size,
            there: 0,
            before: 0,
        };
        if let Some(given_up) = self.running.insert(path.clone(), file) {
            self.there = self.there.saturating_sub(given_up.there);
        }
        None
    }

    fn resumed(&mut self, path: &FilePath, bytes: u64) -> Option<String> {
        let file = self.running.get_mut(path)?;
        (file.there, file.before) = (bytes, bytes);
        self.there = self.there.saturating_add(bytes);
        None
    }

    fn advanced(&mut self, path: &FilePath, bytes: u64, now: Instant) -> Option<String> {
        let file = self.running.get_mut(path)?;
        file.there = file.there.saturating_add(bytes);
        self.there = self.there.saturating_add(bytes);
        self.came = self.came.saturating_add(bytes);
        self.how_far(now)
    }

    fn finished(&mut self, path: &FilePath, now: Instant) -> Option<String> {
        let file = self.running.remove(path)?;
        self.complete += 1;
        if self.files > MANY && file.size < LARGE {
            return self.how_far(now);
        }
        let mut line = format!("  {path}, {} bytes", thousands(file.size));
        let time = now.saturating_duration_since(file.since);
        let rate = rate(file.size.saturating_sub(file.before), time);
        match (file.before, rate.filter(|_| time >= Duration::from_secs(1))) {
            (before, _) if before == file.size && before > 0 => line += ", there already",
            (_, Some(rate)) => line += &format!(", {rate}"),
            (_, None) => {}
        }
        Some(line)
    }

    /// How far it is, if that is worth a line now.
    fn how_far(&mut self, now: Instant) -> Option<String> {
        let since = now.saturating_duration_since(self.told.at);
        let percent = percent(self.there, self.bytes);
        let tenth = percent / 10;
        if since < SOONEST || (tenth <= self.told.tenth && since < LATEST) {
            return None;
        }
        let missing = self.bytes.saturating_sub(self.there);
        let mut line = format!(
            "  {percent} % of {}, {} of {}",
            size(self.bytes),
            thousands(self.complete as u64),
            count(self.files, "file")
        );
        if let Some(rate) = rate(self.came, since) {
            line += &format!(", {rate}");
        }
        if self.came > 0 {
            let time = since.as_secs_f64() * missing as f64 / self.came as f64;
            if let Ok(time) = Duration::try_from_secs_f64(time) {
                line += &format!(", {} left", left(time));
            }
        }
        (self.told, self.came) = (Told { at: now, tenth }, 0);
        Some(line)
    }
}

/// How much of `whole` that is; of nothing, all is there.
fn percent(part: u64, whole: u64) -> u64 {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    u64::try_from(percent.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests;
