//! `tensorgate audit`: what a policy's files say, judged before anybody signs them.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tensorgate_hub::Fetched;
use tensorgate_oms::BUNDLE_FILE;
use tensorgate_verify::{
    Directory, FileEntry, Limits, MANIFEST_FILE, Rejection, RepoType, Rules, Survey, Surveyed,
};

use crate::args::Audit;
use crate::declarations::Declarations;
use crate::disk;
use crate::failure::Failure;
use crate::fetch;
use crate::html::{self, Shown};
use crate::output::Report;
use crate::sarif;
use crate::text::{count, thousands, total};
use crate::trust;

pub(crate) fn run(args: &Audit, json: bool) -> Result<Report, Failure> {
    let (mut shown, mut place) = (Shown::default(), None);
    let outcome = judge(args, json, &mut shown, &mut place);
    let outcome = sarif::write(args.sarif.file(), place.as_deref(), outcome);
    html::write(args.html.file(), ("audit", &args.target), outcome, &shown)
}

fn judge(
    args: &Audit,
    json: bool,
    shown: &mut Shown,
    place: &mut Option<PathBuf>,
) -> Result<Report, Failure> {
    let rules = match &args.trust {
        Some(file) => trust::load(file)?.rules().clone(),
        None => Rules::default(),
    };
    let subject = Subject::of(args, json)?;
    *place = Some(subject.path(args));
    let (declared, told) = declarations(args, &subject.directory, &rules.limits)?;
    // What vouches for the files is none of them: the manifest or, where there is none, a bundle.
    let manifest = disk::untrusted_bytes(&subject.directory, MANIFEST_FILE, 0)?;
    let beside = manifest.map_or(BUNDLE_FILE, |_| MANIFEST_FILE);
    let beside = [beside];
    let survey = Survey::new(&rules)
        .beside(&beside)
        .of(subject.repo_type)
        .with_externals(&declared.externals)
        .with_reviewed_code(&declared.reviewed_code);
    let surveyed = match args.html.file() {
        None => survey.run(&subject.directory)?,
        Some(_) => {
            shown.externals.clone_from(&declared.externals);
            shown.reviewed_code.clone_from(&declared.reviewed_code);
            shown.survey(survey, &subject.directory, subject.repo_type, &rules.limits)?
        }
    };
    let mut report = report(&subject, &declared, surveyed);
    report.notices.extend(told);
    Ok(report)
}

/// What is judged.
struct Subject {
    name: String,
    repo_type: RepoType,
    directory: Directory,
    /// While it lives, nobody else changes what was fetched.
    fetched: Option<Fetched>,
}

impl Subject {
    /// The directory of this name or, where there is none, a repository at a commit.
    fn of(args: &Audit, json: bool) -> Result<Self, Failure> {
        let path = Path::new(&args.target);
        if path.exists() || !args.target.contains('@') {
            return Ok(Self {
                name: args.target.clone(),
                repo_type: args.repo_type.map_or(RepoType::Model, RepoType::from),
                directory: disk::hold_directory(path)
                    .map_err(|failure| fetch::or_at_hub(failure, path, "audit"))?,
                fetched: None,
            });
        }
        let target = fetch::target(&args.target, args.repo_type)?;
        let (target, fetched) = fetch::untrusted(target, &args.source, json)?;
        Ok(Self {
            name: target.to_string(),
            repo_type: target.repo_type,
            directory: disk::guarded(fetched.directory()?),
            fetched: Some(fetched),
        })
    }

    /// Where the files lie.
    fn path(&self, args: &Audit) -> PathBuf {
        let fetched = self.fetched.as_ref().map(|fetched| fetched.path.clone());
        fetched.unwrap_or_else(|| PathBuf::from(&args.target))
    }

    /// What a fetch did not take, and so nobody judged.
    fn left_out(&self) -> Vec<String> {
        let left_out = self.fetched.iter().flat_map(|fetched| &fetched.left_out);
        let line = |path| format!("not fetched and not judged: {path}: {}", fetch::LEFT_OUT);
        left_out.map(line).collect()
    }
}

/// What is declared in the file that the user names or else in a manifest that lies there, and a
/// word on the latter: nobody proved that it is the signer's.
fn declarations(
    args: &Audit,
    directory: &Directory,
    limits: &Limits,
) -> Result<(Declarations, Option<String>), Failure> {
    if let Some(file) = &args.externals {
        return Ok((Declarations::read(file)?, None));
    }
    let claimed =
        disk::manifest_in(directory, limits).and_then(|signed| Ok(signed.untrusted(limits)?));
    match claimed {
        Ok(manifest) => {
            let declared = Declarations {
                externals: manifest.externals,
                reviewed_code: manifest.reviewed_code,
            };
            let told = (!declared.is_empty()).then(|| {
                format!("externals and reviewed code are as {MANIFEST_FILE} declares, which was not verified")
            });
            Ok((declared, told))
        }
        Err(Failure::Rejected(found)) => {
            let found = found
                .first()
                .filter(|found| found.rejection != Rejection::ManifestMissing);
            let told = found.map(|found| {
                let (code, detail) = (found.rejection, &found.detail);
                format!("{MANIFEST_FILE} was not judged and declares nothing: {code}: {detail}")
            });
            Ok((Declarations::default(), told))
        }
        Err(error) => Err(error),
    }
}

fn report(subject: &Subject, declared: &Declarations, surveyed: Surveyed) -> Report {
    let Surveyed { files, notices, .. } = surveyed;
    let bytes = total(files.iter().map(|file| file.size));
    let amount = format!("{}, {} bytes", count(files.len(), "file"), thousands(bytes));
    let evidence = json!({
        "authenticated": false,
        "repo_type": subject.repo_type,
        "files": files.len(),
        "bytes": bytes,
        "externals": declared.externals.len(),
        "reviewed_code": declared.reviewed_code.len(),
    });
    let path = subject
        .fetched
        .as_ref()
        .map(|fetched| fetched.path.display().to_string());
    let more = [
        ("files", files.iter().map(file_json).collect()),
        ("path", path.into()),
    ];
    Report {
        verdict: Some("passed"),
        subject: subject.name.clone(),
        prose: vec![
            format!(
                "passed: {:?}, as far as content goes; nobody vouches for it",
                subject.name
            ),
            format!("  files      {amount}"),
        ],
        notices: subject.left_out(),
        waived: notices,
        evidence,
        more: more
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect::<Map<_, _>>(),
        ..Report::default()
    }
}

fn file_json(file: &FileEntry) -> Value {
    json!({ "path": file.path, "kind": file.kind, "size": file.size, "sha256": file.sha256 })
}
