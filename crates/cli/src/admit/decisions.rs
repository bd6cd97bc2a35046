//! `--decisions FILE` and `--save-decisions FILE`: what a person would be asked, answered before.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use tensorgate_verify::{External, FilePath, ReviewedCode, Undecided};

use crate::beside;
use crate::declarations::{Accept, Declarations, MAX_BYTES};
use crate::disk;
use crate::failure::Failure;

/// How a saved file begins. What a person wrote by hand, comments and all, is not written over.
const START: &str = "# What was decided in `tensorgate admit`\n";

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
        let (declared, accept) = Declarations::with_accept(path)?;
        let decisions = Self {
            externals: declared.externals,
            reviewed_code: declared.reviewed_code,
            accept,
        };
        match decisions.twice() {
            None => Ok(decisions),
            Some(what) => {
                let detail = format!("the decisions {path:?} answer {what} twice");
                Err(Failure::about(path, detail).hint("leave one of the two"))
            }
        }
    }

    /// What has two answers: which of them counts would be a guess.
    fn twice(&self) -> Option<String> {
        let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
        let mut externals = self.externals.iter();
        let external = externals.find(|one| !names.insert((&one.field, &one.name)));
        let mut reviews = self.reviewed_code.iter();
        let review = reviews.find(|one| !paths.insert(&one.path));
        external
            .map(|one| format!("{:?} naming {:?}", one.field, one.name))
            .or_else(|| review.map(|one| format!("{:?}", one.path.as_str())))
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
        let is_asked = |decided: &&External| {
            let External { field, name, .. } = decided;
            let (field, name) = (field.clone(), name.clone());
            asked.contains(&Undecided::External { field, name })
        };
        let is_code = |review: &&ReviewedCode| {
            let of = |asked: &Undecided| matches!(asked, Undecided::Code { path, .. } if *path == review.path);
            asked.iter().any(of)
        };
        let externals = self.externals.iter().filter(|one| !is_asked(one));
        let reviews = self.reviewed_code.iter().filter(|one| !is_code(one));
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

    /// Whether they could be saved there, said before anybody is asked.
    pub(super) fn refuse_taken(path: &Path) -> Result<(), Failure> {
        let free = disk::refuse_taken(path, START.as_bytes());
        free.map_err(|error| beside::cannot("the decisions", path, &error))
    }

    /// Puts them in a file, whole or not at all.
    pub(super) fn save(&self, path: &Path) -> Result<(), Failure> {
        let saved = Saved {
            accept: &self.accept,
            externals: &self.externals,
            reviewed_code: &self.reviewed_code,
        };
        let text = toml::to_string(&saved).map_err(|error| Failure::about(path, error))?;
        let text = format!("{START}{text}");
        if text.len() as u64 > MAX_BYTES {
            let detail = "what was decided has more than 1 MiB, which no --decisions would read";
            return Err(Failure::about(path, detail).hint("leave out --save-decisions"));
        }
        let saved = disk::put(path, START.as_bytes(), text.as_bytes());
        saved.map_err(|error| beside::cannot("the decisions", path, &error))
    }
}
