//! Bars on a terminal: one for all files, and one for each that takes its time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tensorgate_hub::Progress;
use tensorgate_verify::FilePath;

use super::{LONG, size};
use crate::output::say;
use crate::text::{count, thousands};

/// Draws how far it is; when it is dropped, the terminal is as before.
pub(super) struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: usize,
    complete: usize,
    running: BTreeMap<FilePath, Running>,
}

struct Running {
    since: Instant,
    size: u64,
    there: u64,
    /// Not before it takes its time: a thousand small files would only flicker.
    bar: Option<ProgressBar>,
}

const TOTAL: &str = "{bar:24} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left  {wide_msg}";
const FILE: &str = "  {bar:12} {percent:>3} % of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left  {wide_msg}";
const STEP: &str = "{spinner} {wide_msg}";
/// A file that gets a bar at once.
const LARGE: u64 = 32 << 20;
/// Any other gets one after this time.
const AWHILE: Duration = Duration::from_secs(1);
/// Characters of a name on a terminal of 80 columns; of a longer one the end, which tells shards apart.
const NAME: usize = 24;

impl Bars {
    pub(super) fn on_terminal() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let all = MultiProgress::with_draw_target(target);
        // Hidden until it is known how much there is.
        let total = all.add(ProgressBar::no_length());
        Self {
            all,
            total,
            state: Mutex::default(),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state)
    }

    fn tell_count(&self, state: &State) {
        let complete = thousands(state.complete as u64);
        let files = count(state.files, "file");
        self.total.set_message(format!("{complete} of {files}"));
    }

    /// A bar above the one for all.
    fn bar(&self, path: &FilePath, file: &Running) -> ProgressBar {
        let bar = ProgressBar::new(file.size).with_position(file.there);
        let bar = self.all.insert_before(&self.total, bar);
        set_style(&bar, FILE);
        bar.set_message(name(path));
        bar.reset_eta();
        bar
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.pause();
        // Nothing is left to be drawn; a terminal that is gone does not matter.
        self.all.clear().ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bars {
    fn start(&self, files: usize, bytes: u64) {
        self.total.disable_steady_tick();
        set_style(&self.total, TOTAL);
        self.total.reset();
        self.total.set_length(bytes);
        self.change(|state| {
            *state = State {
                files,
                ..State::default()
            };
            self.tell_count(state);
        });
    }

    fn file_started(&self, path: &FilePath, size: u64) {
        let file = Running {
            since: Instant::now(),
            size,
            there: 0,
            bar: None,
        };
        self.change(|state| {
            // A second attempt begins anew.
            if let Some(given_up) = state.running.insert(path.clone(), file) {
                self.total.dec(given_up.there);
            }
        });
    }

    fn file_resumed(&self, path: &FilePath, bytes: u64) {
        self.change(|state| {
            let Some(file) = state.running.get_mut(path) else {
                return;
            };
            file.there = bytes;
            self.total.inc(bytes);
            // What was there is no speed.
            self.total.reset_eta();
        });
    }

    fn file_advanced(&self, path: &FilePath, bytes: u64) {
        self.change(|state| {
            let Some(file) = state.running.get_mut(path) else {
                return;
            };
            if file.bar.is_none() && (file.size >= LARGE || file.since.elapsed() >= AWHILE) {
                file.bar = Some(self.bar(path, file));
            }
            file.there = file.there.saturating_add(bytes);
            if let Some(bar) = &file.bar {
                bar.set_position(file.there);
            }
            self.total.inc(bytes);
        });
    }

    fn file_finished(&self, path: &FilePath) {
        self.change(|state| {
            state.running.remove(path);
            state.complete += 1;
            self.tell_count(state);
        });
    }

    fn step(&self, what: &'static str, bytes: u64) {
        if bytes < LONG {
            return;
        }
        set_style(&self.total, STEP);
        self.total.reset();
        self.total.set_message(format!("{what} {}", size(bytes)));
        // What works has no time to draw.
        self.total.enable_steady_tick(Duration::from_millis(100));
    }

    fn pause(&self) {
        self.change(|state| state.running.clear());
        self.total.finish_and_clear();
    }

    fn notice(&self, text: &str) {
        self.all.suspend(|| say(&format!("note: {text}")));
    }
}

/// The templates are ours, and good.
fn set_style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

/// A name that is no longer than a bar has room for. A `FilePath` is printable ASCII.
fn name(path: &FilePath) -> String {
    let name = path.as_str();
    let too_many = name.len().saturating_sub(NAME);
    match name.get(too_many + 1..) {
        Some(end) if too_many > 0 => format!("…{end}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
