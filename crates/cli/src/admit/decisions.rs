//! `--decisions FILE` and `--save-decisions FILE`: what a person would be asked, answered before.

use std::path::Path;

use serde::Serialize;
use tensorgate_verify::{External, FilePath, ReviewedCode, Undecided};

use crate::declarations::{Accept, Declarations};
use crate::disk;
use crate::failure::Failure;
use crate::output::say_waiting;

/// What was decided: about what is not in the files, and about what is.
#[derive(Clone, Debug, Default)]
pub(super) struct Decisions {
    pub(super) externals: Vec<External>,
    pub(super) reviewed_code: Vec<ReviewedCode>,
    pub(super) accept: Accept,
}

/// The same as TOML has it: values before tables.
#[derive(Serialize)]
struct Saved<'d> {
    accept: &'d Accept,
    externals: &'d [External],
    reviewed_code: &'d [ReviewedCode],
}

impl Decisions {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let (declared, accept) = Declarations::read_with_accept(path)?;
        Ok(Self {
            externals: declared.externals,
            reviewed_code: declared.reviewed_code,
            accept: accept.unwrap_or_default(),
        })
    }

    /// The decision about an artifact.
    pub(super) fn external(&self, field: &str, name: &str) -> Option<&External> {
        let mut all = self.externals.iter();
        all.find(|decided| decided.field == field && decided.name == name)
    }

    /// The review of a file, of these bytes or of others.
    pub(super) fn review(&self, path: &FilePath) -> Option<&ReviewedCode> {
        self.reviewed_code
            .iter()
            .find(|review| review.path == *path)
    }

    /// A word on each answer to what nobody asks.
    pub(super) fn idle(&self, asked: &[Undecided]) -> Vec<String> {
        let externals = self.externals.iter().filter(|decided| {
            !asked.iter().any(|asked| matches!(asked, Undecided::External { field, name } if *field == decided.field && *name == decided.name))
        });
        let reviews = self.reviewed_code.iter().filter(|review| {
            !asked
                .iter()
                .any(|asked| matches!(asked, Undecided::Code { path, .. } if *path == review.path))
        });
        let external = |decided: &External| {
            let (field, name) = (&decided.field, &decided.name);
            format!(
                "the decisions answer {field:?} naming {name:?}, which nothing here asks: left out"
            )
        };
        let review = |review: &ReviewedCode| {
            let path = review.path.as_str();
            format!("the decisions have a review of {path:?}, which is no code here: left out")
        };
        externals.map(external).chain(reviews.map(review)).collect()
    }

    /// Puts them in a file, whole or not at all.
    pub(super) fn save(&self, path: &Path, json: bool) -> Result<(), Failure> {
        let saved = Saved {
            accept: &self.accept,
            externals: &self.externals,
            reviewed_code: &self.reviewed_code,
        };
        let text = toml::to_string(&saved).map_err(|error| Failure::about(path, error))?;
        write(path, text.as_bytes(), json)
    }
}

/// Puts a file in place as a whole; whoever else writes there is waited for.
pub(super) fn write(path: &Path, bytes: &[u8], json: bool) -> Result<(), Failure> {
    let failed = |error| Failure::io("write", path, &error);
    let Some(name) = path.file_name() else {
        return Err(Failure::about(path, format!("{path:?} names no file")));
    };
    let parent = disk::parent(path);
    let folder = disk::lock_parent(path, || say_waiting(json, parent)).map_err(failed)?;
    disk::replace(&folder, name, ".", bytes).map_err(failed)
}
