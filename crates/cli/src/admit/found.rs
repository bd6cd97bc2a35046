//! What was fetched and passed a first survey: what a reviewer looks at, and is asked about.

use serde_json::Value;
use tensorgate_hub::{Fetched, Target};
use tensorgate_verify::{Asked, Directory, FileEntry, FilePath, Kind, Rules, Sha256, Survey};

use super::decisions::Decisions;
use crate::disk;
use crate::facts::Facts;
use crate::failure::Failure;
use crate::fetch;
use crate::html::Shown;
use crate::text::{count, table, thousands, total};

/// A commit in quarantine. While it lives, nobody else changes it.
pub(super) struct Found {
    pub(super) target: Target,
    pub(super) asked: Asked,
    pub(super) path: String,
    directory: Directory,
    fetched: Fetched,
}

impl Found {
    /// # Errors
    /// Every rejection that no decision of a person can change.
    pub(super) fn of(
        target: Target,
        fetched: Fetched,
        rules: &Rules,
        shown: &mut Shown,
    ) -> Result<Self, Failure> {
        let directory = disk::guarded(fetched.directory()?);
        let (survey, repo_type) = (Survey::new(rules).of(target.repo_type), target.repo_type);
        let asked = shown.asking(survey, &directory, repo_type, &rules.limits)?;
        let path = fetched.path.display().to_string();
        Ok(Self {
            target,
            asked,
            path,
            directory,
            fetched,
        })
    }

    /// The same with the answers: now there is nothing left to refuse. That it is the same bytes is
    /// seen, too.
    pub(super) fn passes(&self, rules: &Rules, decided: &Decisions) -> Result<(), Failure> {
        let again = Survey::new(rules)
            .of(self.target.repo_type)
            .with_externals(&decided.externals)
            .with_reviewed_code(&decided.reviewed_code)
            .run(&self.directory)?;
        if again.files == self.asked.files {
            return Ok(());
        }
        Err(self.changed())
    }

    /// `type` of config.json, where LeRobot's policies have theirs.
    pub(super) fn policy_type(&self) -> Result<Option<String>, Failure> {
        let mut files = self.asked.files.iter();
        let config = files.find(|file| file.path.as_str() == "config.json");
        match config {
            Some(config) => Ok(type_of(&self.text(&config.path, &config.sha256)?)),
            None => Ok(None),
        }
    }

    /// The text of a small file, which has the digest that it is known by.
    pub(super) fn text(&self, path: &FilePath, sha256: &Sha256) -> Result<String, Failure> {
        let hold = self.directory.open(path)?.hold(Kind::Config);
        let hold = hold.map_err(|error| Failure::io("read", path.as_str().as_ref(), &error))?;
        match str::from_utf8(&hold) {
            Ok(text) if Sha256::of(&hold) == *sha256 => Ok(text.to_owned()),
            // Nor was it found to be text.
            _ => Err(self.changed()),
        }
    }

    fn changed(&self) -> Failure {
        let detail = "the files changed while they were reviewed; nothing was signed";
        Failure::about(&self.fetched.path, detail)
    }

    /// What a person sees before the first question.
    pub(super) fn lines(&self, facts: &Facts) -> Vec<String> {
        let files = &self.asked.files;
        let bytes = total(files.iter().map(|file| file.size));
        let mut lines = vec![
            format!("in quarantine, untrusted: {:?}", self.target.to_string()),
            format!(
                "  files      {}, {} bytes, in {:?}",
                count(files.len(), "file"),
                thousands(bytes),
                self.path
            ),
        ];
        let rows: Vec<_> = files.iter().map(row).collect();
        lines.extend(table(&rows, &[0]).lines().map(|line| format!("    {line}")));
        let left_out = self.fetched.left_out.iter();
        lines.extend(left_out.map(|path| format!("  left out   {path}: {}", fetch::LEFT_OUT)));
        lines.extend(facts.lines());
        lines
    }
}

fn row(file: &FileEntry) -> Vec<String> {
    let kind = match &file.tensors {
        Some(tensors) => format!("{}, {}", file.kind, count(tensors.len(), "tensor")),
        None => file.kind.to_string(),
    };
    vec![thousands(file.size), file.path.to_string(), kind]
}

fn type_of(config: &str) -> Option<String> {
    let config: Value = serde_json::from_str(config).ok()?;
    let text = config["type"].as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned)
}
