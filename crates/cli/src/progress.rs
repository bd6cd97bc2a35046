//! How far a download is: a bar on a terminal, lines in a log, silence beside JSON.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use tensorgate_hub::Progress;
use tensorgate_verify::FilePath;

use crate::output::say;
use crate::text::{count, thousands};

/// The way that fits where standard error goes.
pub(crate) fn choose(json: bool) -> Box<dyn Progress> {
    if json {
        Box::new(tensorgate_hub::Silent)
    } else if std::io::stderr().is_terminal() {
        Box::new(Bar::new())
    } else {
        Box::new(Lines::default())
    }
}

/// One bar for all files.
struct Bar {
    bar: ProgressBar,
    arrived: Mutex<BTreeMap<FilePath, u64>>,
}

/// A line for each file that is complete.
#[derive(Default)]
struct Lines {
    sizes: Mutex<BTreeMap<FilePath, u64>>,
}

/// How far the reading of much is: a bar, or a line for each GiB.
pub(crate) struct Reading {
    total: u64,
    done: Cell<u64>,
    how: How,
}

enum How {
    Silent,
    Bar(ProgressBar),
    Lines,
}

impl Reading {
    pub(crate) fn of(total: u64, json: bool) -> Self {
        let how = if json {
            How::Silent
        } else if std::io::stderr().is_terminal() {
            let bar = bar();
            bar.set_length(total);
            How::Bar(bar)
        } else {
            How::Lines
        };
        let done = Cell::new(0);
        Self { total, done, how }
    }

    pub(crate) fn advance(&self, bytes: u64) {
        let before = self.done.get();
        let now = before.saturating_add(bytes);
        self.done.set(now);
        match &self.how {
            How::Silent => {}
            How::Bar(bar) => bar.inc(bytes),
            How::Lines if before >> 30 == now >> 30 => {}
            How::Lines => {
                let (now, total) = (thousands(now), thousands(self.total));
                say(&format!("  read {now} of {total} bytes"));
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let How::Bar(bar) = &self.how {
            bar.finish_and_clear();
        }
    }
}

/// Without a length it is hidden.
fn bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    let template = "{bar:24} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left  {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

impl Bar {
    fn new() -> Self {
        Self {
            bar: bar(),
            arrived: Mutex::default(),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn start(&self, _files: usize, bytes: u64) {
        self.bar.set_length(bytes);
    }

    fn file_started(&self, path: &FilePath, _size: u64) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        // A second attempt begins at nothing.
        if let Some(bytes) = arrived.insert(path.clone(), 0) {
            self.bar.dec(bytes);
        }
        self.bar.set_message(path.to_string());
    }

    fn file_advanced(&self, path: &FilePath, bytes: u64) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        *arrived.entry(path.clone()).or_default() += bytes;
        self.bar.inc(bytes);
    }

    fn notice(&self, text: &str) {
        self.bar.suspend(|| say(&format!("note: {text}")));
    }
}

impl Progress for Lines {
    fn start(&self, files: usize, bytes: u64) {
        let files = count(files, "file");
        say(&format!("fetching {files}, {} bytes", thousands(bytes)));
    }

    fn file_started(&self, path: &FilePath, size: u64) {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.insert(path.clone(), size);
    }

    fn file_finished(&self, path: &FilePath) {
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let size = sizes.get(path).copied().unwrap_or_default();
        say(&format!("  {path}, {} bytes", thousands(size)));
    }

    fn notice(&self, text: &str) {
        say(&format!("note: {text}"));
    }
}
