//! Every question about what was found, answered by what was decided before, or by a person, or not at
//! all: then nothing is signed.

use std::path::Path;

use tensorgate_verify::{External, FilePath, Manifest, ReviewedCode, Sha256, Undecided};

use super::decisions::Decisions;
use super::found::Found;
use super::pages;
use super::points::Point;
use crate::declarations::Accept;
use crate::failure::Failure;
use crate::fetch::Session;
use crate::output::say;
use crate::terminal::{self, agree, declined};

/// What a reviewer has at hand.
#[derive(Clone, Copy)]
pub(super) struct Review<'a> {
    pub(super) session: &'a Session,
    pub(super) found: &'a Found,
    /// What was decided before.
    pub(super) decisions: &'a Decisions,
    /// What another signer declares: shown to a person, who says whether it is so.
    pub(super) proposed: Option<&'a Manifest>,
    /// Whether there is somebody to ask.
    pub(super) asks: bool,
}

impl Review<'_> {
    /// Answers every question, or says which are open.
    pub(super) async fn decide(self, points: &[Point]) -> Result<Decisions, Failure> {
        let mut decided = Decisions {
            accept: self.decisions.accept.clone(),
            ..Decisions::default()
        };
        let mut open = Vec::new();
        for asked in &self.found.asked.undecided {
            open.extend(self.answer(asked, &mut decided).await?);
        }
        for point in points {
            open.extend(self.agree_to(point, &mut decided.accept).await?);
        }
        match open.is_empty() {
            true => Ok(decided),
            false => Err(left_open(&open)),
        }
    }

    /// Answers one question, or says that it is open.
    async fn answer(
        self,
        asked: &Undecided,
        decided: &mut Decisions,
    ) -> Result<Option<String>, Failure> {
        match asked {
            Undecided::External { field, name } => match self.external(field, name).await? {
                Some(external) => decided.externals.push(external),
                None => return Ok(Some(open_external(field, name))),
            },
            Undecided::Code { path, sha256 } => match self.code(path, sha256).await? {
                Some(review) => decided.reviewed_code.push(review),
                None => return Ok(Some(open_code(path, sha256))),
            },
            // What is not answered, the second survey refuses.
            _ => {}
        }
        Ok(None)
    }

    /// Agrees to one thing, or says that it is open.
    async fn agree_to(self, point: &Point, accept: &mut Accept) -> Result<Option<String>, Failure> {
        if !point.is_accepted(accept) {
            if !self.asks {
                let answer = point.toml();
                return Ok(Some(format!("{point}: `{answer}` under [accept]")));
            }
            if point.is_asked_alone() {
                let what = point.to_string();
                if let Some(text) = point.long() {
                    pages::show(&what, &text).await?;
                }
                agree(&format!("{what}; let it pass? [y/N] "), &what).await?;
            }
        }
        point.accept(accept);
        Ok(None)
    }

    async fn external(self, field: &str, name: &str) -> Result<Option<External>, Failure> {
        if let Some(decided) = self.decisions.external(field, name) {
            return Ok(Some(decided.clone()));
        }
        if !self.asks {
            return Ok(None);
        }
        say(&format!(
            "{field:?} names {name:?}, which loading the policy would fetch"
        ));
        let subject = format!("{field:?} naming {name:?}");
        let proposed = self.proposed.into_iter();
        let mut proposed = proposed.flat_map(|manifest| &manifest.externals);
        match proposed.find(|one| one.field == field && one.name == name) {
            Some(declared) => {
                show(declared);
                agree("the manifest declares that; do you? [y/N] ", &subject).await?;
                Ok(Some(declared.clone()))
            }
            None => self.declare(field, name, &subject).await.map(Some),
        }
    }

    async fn declare(self, field: &str, name: &str, subject: &str) -> Result<External, Failure> {
        let (field, name) = (field.to_owned(), name.to_owned());
        match &*terminal::line("absent, pinned, or neither? [a/p/N] ").await? {
            "a" | "absent" => {
                let reason = text("why is it not needed? ", subject).await?;
                Ok(External::absent(field, name, reason))
            }
            "p" | "pinned" => {
                let target = text("pinned to REPO@REVISION: ", subject).await?;
                let pinned = self.session.pinned(&field, &name, &target).await?;
                show(&pinned);
                agree("declare that? [y/N] ", subject).await?;
                Ok(pinned)
            }
            _ => Err(declined(subject)),
        }
    }

    async fn code(self, path: &FilePath, sha256: &Sha256) -> Result<Option<ReviewedCode>, Failure> {
        // One of other bytes is `code-changed`, whoever is asked.
        if let Some(review) = self.decisions.review(path) {
            return Ok(Some(review.clone()));
        }
        if !self.asks {
            return Ok(None);
        }
        let subject = format!("the code {:?}", path.as_str());
        say(&format!(
            "code, which tensorgate never runs: {:?}, sha256 {sha256}",
            path.as_str()
        ));
        pages::show(&subject, &self.found.text(path, sha256)?).await?;
        let proposed = self.proposed.into_iter();
        let mut proposed = proposed.flat_map(|manifest| &manifest.reviewed_code);
        match proposed.find(|one| one.path == *path && one.sha256 == *sha256) {
            Some(review) => {
                let ReviewedCode { reviewer, note, .. } = review;
                say(&format!("  reviewed by {reviewer:?}: {note:?}"));
                agree("the manifest says that; do you agree? [y/N] ", &subject).await?;
                Ok(Some(review.clone()))
            }
            None => review(path, sha256, &subject).await.map(Some),
        }
    }
}

async fn review(path: &FilePath, sha256: &Sha256, subject: &str) -> Result<ReviewedCode, Failure> {
    agree("let it pass to the robot's disk? [y/N] ", subject).await?;
    let reviewer = text("reviewed by: ", subject).await?;
    let note = text("note: ", subject).await?;
    Ok(ReviewedCode::new(path.clone(), *sha256, reviewer, note))
}

/// Asks for words that a manifest and a terminal can carry.
async fn text(question: &str, subject: &str) -> Result<String, Failure> {
    let text = terminal::line(question).await?;
    match text.is_empty() || text.chars().any(char::is_control) {
        true => Err(declined(subject)),
        false => Ok(text),
    }
}

/// What is declared, a line for each file.
fn show(external: &External) {
    lines_of(external).iter().for_each(|line| say(line));
}

fn lines_of(external: &External) -> Vec<String> {
    if let Some(reason) = &external.reason {
        return vec![format!("  absent, because {reason:?}")];
    }
    let (Some(repo), Some(revision)) = (&external.repo, &external.revision) else {
        return Vec::new();
    };
    let files = external.files.iter().flatten();
    let row = |file: &tensorgate_verify::ExternalFile| {
        format!("    {} sha256 {} {}", file.path, file.sha256, file.size)
    };
    let head = format!("  pinned to {repo}@{revision}:");
    std::iter::once(head).chain(files.map(row)).collect()
}

fn open_external(field: &str, name: &str) -> String {
    format!("{field:?} names {name:?}, which loading the policy would fetch: a table [[externals]]")
}

fn open_code(path: &FilePath, sha256: &Sha256) -> String {
    let path = path.as_str();
    format!("the code {path:?}, sha256 {sha256}, was not reviewed: a table [[reviewed_code]]")
}

fn left_open(open: &[String]) -> Failure {
    let lines: Vec<String> = open.iter().map(|line| format!("\n  {line}")).collect();
    let detail = format!(
        "--decisions does not answer, and nothing is assumed:{}",
        lines.concat()
    );
    Failure::about(Path::new("decisions"), detail)
        .hint("look at each, and answer it in the file; or run it without --yes, on a terminal")
}
