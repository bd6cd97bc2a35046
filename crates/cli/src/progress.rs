//! How far a download is: a bar on a terminal, lines in a log, silence beside JSON.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use tensorgate_hub::Progress;
use tensorgate_verify::FilePath;

use crate::output::say;
use crate::text::{count, thousands};

/// The way that fits where standard error goes.
pub(crate) fn choose(json: bool) -> Arc<dyn Progress> {
    if json {
        Arc::new(tensorgate_hub::Silent)
    } else if std::io::stderr().is_terminal() {
        Arc::new(Bar::new())
    } else {
        Arc::new(Lines::default())
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

impl Bar {
    fn new() -> Self {
        // Hidden until it is known how much there is.
        let bar = ProgressBar::no_length();
        let template = "{bar:24} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left  {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar,
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
