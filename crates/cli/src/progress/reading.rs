//! How far the reading of much is.

use std::cell::Cell;

use indicatif::{ProgressBar, ProgressStyle};

use super::can_draw;
use crate::output::say;
use crate::text::thousands;

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
        } else if can_draw() {
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
    let template = "{bar:24} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left  {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
