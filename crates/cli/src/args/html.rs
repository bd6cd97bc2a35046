//! `--html FILE`, of every command that gives a verdict or a comparison.

use std::path::{Path, PathBuf};

use clap::Args;

// A doc comment would become the command's.
#[derive(Args, Clone, Debug)]
pub(crate) struct Html {
    /// Write a report for people into this file: one page without scripts or requests, whatever the
    /// verdict. It replaces an earlier report, and nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Html {
    /// Where the report goes, if one is wanted.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.html.as_deref()
    }
}
