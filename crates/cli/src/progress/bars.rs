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
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    /// Bars on a terminal of 100 columns.
    fn bars() -> (Bars, InMemoryTerm) {
        let term = InMemoryTerm::new(12, 100);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 255);
        (Bars::on(target), term)
    }

    fn path(name: &str) -> FilePath {
        name.parse().unwrap()
    }

    /// Draws what the limit on drawings held back.
    fn screen(bars: &Bars, term: &InMemoryTerm) -> String {
        std::thread::sleep(Duration::from_millis(10));
        bars.change(|state| {
            for bar in state.running.values().filter_map(|file| file.bar.as_ref()) {
                bar.tick();
            }
        });
        bars.total.tick();
        term.contents()
    }

    #[test]
    fn a_large_file_has_a_bar_and_small_ones_are_counted() {
        let (bars, term) = bars();
        bars.start(1_001, 100_000_000 + 1_000);
        for n in 0..500 {
            let small = path(&format!("{n}.json"));
            bars.file_started(&small, 1);
            bars.file_advanced(&small, 1);
            bars.file_finished(&small);
        }
        let weights = path("model.safetensors");
        bars.file_started(&weights, 100_000_000);
        bars.file_advanced(&weights, 50_000_000);
        let text = screen(&bars, &term);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].contains(" 50 % of 100.00 MB, ") && lines[0].ends_with("model.safetensors"),
            "{text}"
        );
        assert!(lines[1].ends_with("500 of 1,001 files"), "{text}");
        bars.file_finished(&weights);
        let text = screen(&bars, &term);
        assert_eq!(text.lines().count(), 1, "{text}");
        drop(bars);
        assert_eq!(term.contents(), "");
    }

    #[test]
    fn a_file_that_goes_on_begins_where_it_was() {
        let (bars, term) = bars();
        bars.start(1, 100_000_000);
        let weights = path("model.safetensors");
        for _attempt in 0..2 {
            bars.file_started(&weights, 100_000_000);
            bars.file_resumed(&weights, 40_000_000);
            bars.file_advanced(&weights, 10_000_000);
        }
        let text = screen(&bars, &term);
        assert!(text.contains(" 50 % of 100.00 MB, "), "{text}");
        assert!(text.contains("50.00 MB of 100.00 MB"), "{text}");
    }

    /// What a bar says of its speed, and of the seconds that are left.
    fn told(line: &str) -> (&str, u64) {
        let (before, _) = line.split_once(" left ").unwrap();
        let mut words = before.rsplit(", ");
        let (left, rate) = (words.next().unwrap(), words.next().unwrap());
        let seconds = left.split(' ').map(|part| {
            let (number, unit) = part.split_at(part.len() - 1);
            let unit = ["s", "m", "h"].iter().position(|known| *known == unit);
            number.parse::<u64>().unwrap() * 60_u64.pow(unit.unwrap() as u32)
        });
        (rate, seconds.sum())
    }

    #[test]
    fn each_bar_says_how_fast_it_is_and_how_long_it_will_take() {
        let (bars, term) = bars();
        bars.start(2, 100_000_000_000);
        assert_eq!(told(&screen(&bars, &term)), ("0 B/s", 0));
        let weights = path("model.safetensors");
        bars.file_started(&weights, 1_000_000_000);
        for _ in 0..20 {
            bars.file_advanced(&weights, 2_000_000);
            std::thread::sleep(Duration::from_millis(10));
        }
        let text = screen(&bars, &term);
        let told: Vec<_> = text.lines().map(told).collect();
        assert!(
            told.len() == 2 && told.iter().all(|(rate, _)| rate.ends_with("MB/s")),
            "{text}"
        );
        // No more than 200 MB come in a second: 1 GB takes some, 100 GB take many more.
        let (file, total) = (told[0].1, told[1].1);
        assert!(file >= 4 && total > 20 * file, "{text}");
    }

    #[test]
    fn what_is_done_is_said_while_no_bytes_come() {
        let (bars, term) = bars();
        bars.step("proving", LONG - 1);
        assert_eq!(term.contents(), "");
        bars.step("proving", 14_500_000_000);
        assert!(screen(&bars, &term).ends_with(" proving 14.5 GB"));
        // The next download has its bar again.
        bars.start(1, 10);
        assert!(screen(&bars, &term).ends_with("0 of 1 file"));
    }

    #[test]
    fn nothing_is_drawn_while_somebody_else_has_the_floor() {
        let (bars, term) = bars();
        bars.start(2, 100);
        bars.file_started(&path("config.json"), 100);
        bars.file_advanced(&path("config.json"), 10);
        assert_ne!(screen(&bars, &term), "");
        bars.pause();
        assert_eq!(term.contents(), "");
        // What is in the store already is read again, with a spinner that would turn on its own.
        bars.step("reading again", LONG);
        assert_ne!(screen(&bars, &term), "");
        bars.pause();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(term.contents(), "");
        bars.start(1, 10);
        assert!(screen(&bars, &term).ends_with("0 of 1 file"));
    }

    #[test]
    fn of_a_long_name_the_end_is_shown() {
        let long = format!(
            "{}/model-00001-of-00007.safetensors",
            "directory".repeat(20)
        );
        assert_eq!(name(&path(&long)), "…01-of-00007.safetensors");
        assert_eq!(name(&path(&long)).chars().count(), NAME);
        let fits = "f".repeat(NAME);
        assert_eq!(name(&path(&fits)), fits);
    }
}
