//! Reports for people who were not at the terminal: one file, without a script, without a request.
//!
//! Nearly all words in it are a stranger's. They reach the page through `foreign` and the escaping
//! of the templates; only the style sheet of this directory goes in as it is.

mod changes;
mod facts;
mod foreign;
mod number;
mod plots;
mod section;
mod statistics;
mod tensors;
#[cfg(test)]
mod tests;
mod verdict;

use std::path::Path;

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use tensorgate_verify::{
    Asked, Directory, External, FileEntry, FilePath, Limits, Policy, RepoType, ReviewedCode,
    Survey, Surveyed, Verified,
};

use crate::beside::{self, Form};
use crate::facts::Facts;
use crate::failure::Failure;
use crate::output::Report;
use crate::text::now_in_seconds;
use verdict::Verdict;

const STYLE: &str = include_str!("style.css");
/// Whatever got into the page, nothing is loaded and nothing is run.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// How a page begins: an earlier one is known by it.
const START: &str = concat!(
    r#"<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">"#,
    r#"<meta name="generator" content="tensorgate "#
);

pub(crate) const PAGE: Form = Form {
    what: "the report",
    head: || START.to_owned(),
};

/// What a report shows beside the outcome.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// What is in the files, as far as they were not refused.
    pub(crate) facts: Option<Facts>,
    /// What loading the policy would pull in, as declared.
    pub(crate) externals: Vec<External>,
    /// The code that a person is said to have reviewed.
    pub(crate) reviewed_code: Vec<ReviewedCode>,
}

impl Shown {
    /// Runs a survey and looks into the very bytes that it checks.
    ///
    /// # Errors
    /// As the survey's.
    pub(crate) fn survey(
        &mut self,
        survey: Survey<'_>,
        directory: &Directory,
        repo_type: RepoType,
        limits: &Limits,
    ) -> Result<Surveyed, Failure> {
        let mut facts = Facts::default();
        let see = |path: &FilePath, bytes: &[u8]| facts.see(path, repo_type, bytes, limits);
        let surveyed = survey.run_with(directory, see).map_err(Failure::from);
        self.keep(facts, surveyed, |surveyed| &surveyed.files)
    }

    /// The same of a first survey.
    ///
    /// # Errors
    /// As the survey's.
    pub(crate) fn asking(
        &mut self,
        survey: Survey<'_>,
        directory: &Directory,
        repo_type: RepoType,
        limits: &Limits,
    ) -> Result<Asked, Failure> {
        let mut facts = Facts::default();
        let see = |path: &FilePath, bytes: &[u8]| facts.see(path, repo_type, bytes, limits);
        let asked = survey.asking(directory, see).map_err(Failure::from);
        self.keep(facts, asked, |asked| &asked.files)
    }

    /// Keeps what was seen of the files that were not refused.
    fn keep<S>(
        &mut self,
        mut facts: Facts,
        surveyed: Result<S, Failure>,
        files: impl Fn(&S) -> &[FileEntry],
    ) -> Result<S, Failure> {
        match &surveyed {
            Ok(surveyed) => facts.name_digests(files(surveyed)),
            Err(Failure::Rejected(refused)) => facts.forget(refused),
            Err(Failure::Error(_)) => return surveyed,
        }
        self.facts = Some(facts);
        surveyed
    }

    /// Looks into the files of a policy that was proven.
    pub(crate) fn policy(&mut self, policy: &Verified<Policy>, limits: &Limits) {
        let manifest = policy.manifest();
        let facts = self.facts.insert(Facts::default());
        for file in policy.files() {
            facts.see(file.path(), manifest.repo.repo_type, file.bytes(), limits);
        }
        facts.name_digests(&manifest.files);
        self.externals.clone_from(&manifest.externals);
        self.reviewed_code.clone_from(&manifest.reviewed_code);
    }
}

/// Writes the report that was asked for, whatever the outcome, and gives the outcome back.
pub(crate) fn write(
    file: Option<&Path>,
    (command, subject): (&str, &str),
    outcome: Result<Report, Failure>,
    shown: &Shown,
) -> Result<Report, Failure> {
    let Some(file) = file else {
        return outcome;
    };
    let page = page((command, subject), &outcome, shown, now_in_seconds());
    beside::write(PAGE, file, page.into_string().as_bytes(), outcome)
}

fn page(
    (command, subject): (&str, &str),
    outcome: &Result<Report, Failure>,
    shown: &Shown,
    now: Timestamp,
) -> Markup {
    let verdict = Verdict::of(outcome);
    let about = if subject.is_empty() { "" } else { ": " };
    let title = format!("{}{about}{}", verdict.word(), foreign::words(subject));
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{title} (tensorgate {command})")))
            body {
                div.top { span { b { "tensorgate " (command) } } span { (now) } }
                main {
                    (verdict.banner(subject, outcome))
                    (verdict::reasons(outcome))
                    (verdict::evidence(outcome))
                    @if let Ok(report) = outcome { (changes::sections(&report.more)) }
                    (inside(shown, outcome.is_err()))
                }
                (footer(command, now))
            }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="generator" content=(concat!("tensorgate ", env!("CARGO_PKG_VERSION")));
            meta http-equiv="Content-Security-Policy" content=(POLICY);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            style { (PreEscaped(STYLE)) }
        }
    }
}

/// What is in the files, and what was said of them.
fn inside(shown: &Shown, is_partial: bool) -> Markup {
    let facts = shown.facts.as_ref();
    html! {
        @if let Some(facts) = facts { (facts::sections(facts, is_partial)) }
        (facts::declared(&shown.externals, &shown.reviewed_code))
        @if let Some(facts) = facts {
            (tensors::sections(&facts.tensors))
            (statistics::sections(&facts.statistics))
        }
    }
}

fn footer(command: &str, now: Timestamp) -> Markup {
    html! {
        footer {
            p {
                "Made by tensorgate " (env!("CARGO_PKG_VERSION")) " (" code { (command) } ") on "
                time datetime=(now) { (now) } ". Names and values are the policy's own words, "
                "escaped where they could not be read safely by eye."
            }
        }
    }
}
