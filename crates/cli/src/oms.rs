//! `tensorgate verify` of a directory by a bundle of OpenSSF Model Signing.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use tensorgate_oms::{
    Anchor, Attested, BUNDLE_FILE, Bundle, NOT_PROMISED, RootCertificate, Signer, Statement,
};
use tensorgate_verify::{
    Directory, FileEntry, KeyId, MANIFEST_FILE, OmsAnchor, OmsTrust, Rejection, Survey, TrustPolicy,
};

use crate::args::Verify;
use crate::disk;
use crate::facts::Facts;
use crate::failure::Failure;
use crate::html::Shown;
use crate::memory::Memory;
use crate::output::Report;
use crate::text::{count, thousands, total};
use crate::verify::{context, revocations};

/// A bundle as it lies on disk.
pub(crate) struct Found {
    bytes: Vec<u8>,
    /// Its name, if it lies in the directory that it is about.
    inside: Option<String>,
}

/// The bundle that decides, if one does: the one that the user names, or the one in a directory
/// without a manifest, where it counts for the repository.
///
/// # Errors
/// It cannot be read; `manifest-missing`, where there is only one that does not count.
pub(crate) fn find(
    args: &Verify,
    trust: &TrustPolicy,
    directory: &Directory,
    memory: &Memory,
) -> Result<Option<Found>, Failure> {
    let limit = trust.limits().manifest_bytes;
    if let Some(file) = &args.oms {
        let bytes = disk::read_at_most(file, limit);
        let bytes = bytes.map_err(|error| Failure::io("read the bundle", file, &error))?;
        let inside = name_inside(file, &args.dir).map(str::to_owned);
        return Ok(Some(Found { bytes, inside }));
    }
    if args.manifest.is_some() || disk::untrusted_bytes(directory, MANIFEST_FILE, 0)?.is_some() {
        return Ok(None);
    }
    let Some(bytes) = disk::untrusted_bytes(directory, BUNDLE_FILE, limit)? else {
        return Ok(None);
    };
    if let Some(hint) = why_not(args, trust, memory)? {
        return Err(disk::manifest_missing().hint(hint));
    }
    let inside = Some(BUNDLE_FILE.to_owned());
    Ok(Some(Found { bytes, inside }))
}

/// What would have to be otherwise for the bundle in the directory to count.
fn why_not(args: &Verify, trust: &TrustPolicy, memory: &Memory) -> Result<Option<String>, Failure> {
    let Some(repo) = &args.repo else {
        let hint = "give --repo ID: model.sig counts for repositories that the trust policy has under [[oms]]";
        return Ok(Some(hint.to_owned()));
    };
    if !trust.oms().iter().any(|oms| oms.is_for(repo)) {
        return Ok(Some(format!(
            "model.sig counts where the trust policy has `[[oms]]` with repos = [\"{repo}\"] and a public_key_file or root_certificate_file"
        )));
    }
    let hint = "model.sig proves no commit: leave out --revision, or have a manifest signed";
    if args.revision.is_some() {
        return Ok(Some(hint.to_owned()));
    }
    // Whoever takes the manifest away must not gain by it.
    let accepted = memory.has_accepted(args.repo_type.into(), repo)?;
    let hint = "a manifest of this repository was accepted here before: fetch one, or settle for less with --oms";
    Ok(accepted.then(|| hint.to_owned()))
}

pub(crate) fn verify(
    args: &Verify,
    found: &Found,
    trust: &TrustPolicy,
    directory: &Directory,
    memory: &Memory,
    shown: &mut Shown,
) -> Result<Report, Failure> {
    let anchors = anchors(args, trust)?;
    let mut context = context(args, memory);
    let revocations = revocations(args, trust, memory, &context)?;
    context.revocations = revocations.as_ref();
    let now = context.judged_at()?;
    let limits = trust.limits();
    let statement = Bundle::parse(&found.bytes, limits)?.authenticate(&anchors, now, limits)?;
    let inside = found.inside.as_deref();
    let survey = Survey::new(trust.rules())
        .of(args.repo_type.into())
        .beside(inside.as_slice());
    let attested = statement.open(directory, survey);
    let attested = attested.map_err(|error| hints(error.into()))?;
    trust.refuse_revoked(
        &keys(&attested),
        attested.statement,
        &attested.files,
        &context,
    )?;
    if args.html.file().is_some() {
        shown.facts = Some(Facts::of(directory, &attested.files, limits)?);
    }
    let mut report = report(args, trust, &statement, attested, now);
    let list = context.revocations.map(|list| &list.evidence().notices);
    report.waived.extend(list.into_iter().flatten().cloned());
    Ok(report)
}

/// Whose bundles count for the repository that the user names: a bundle names none.
fn anchors(args: &Verify, trust: &TrustPolicy) -> Result<Vec<Anchor>, Failure> {
    let repo = args.repo.as_ref();
    let mut anchors = Vec::new();
    for oms in trust.oms() {
        // Each is read, so that an unreadable one is found before it is needed.
        let anchor = anchor(oms, &args.trust)?;
        if repo.is_some_and(|repo| oms.is_for(repo)) {
            anchors.push(anchor);
        }
    }
    match (anchors.is_empty(), repo) {
        (true, Some(repo)) => Err(Failure::rejected(
            Rejection::OmsUnsupported,
            repo.as_str(),
            "the trust policy has no [[oms]] for this repository",
        )),
        _ => Ok(anchors),
    }
}

/// What an `[[oms]]` of the trust policy names.
pub(crate) fn anchor(oms: &OmsTrust, trust: &Path) -> Result<Anchor, Failure> {
    let anchor = match &oms.anchor {
        OmsAnchor::PublicKey(pem) => Anchor::public_key(pem).map_err(|error| error.to_string()),
        OmsAnchor::RootCertificate { pem, subject } => RootCertificate::from_pem(pem)
            .map(|root| match subject {
                Some(subject) => root.only_for(subject),
                None => root,
            })
            .map(Anchor::Root)
            .map_err(|error| error.to_string()),
        other => Err(format!("{other:?} is not known")),
    };
    anchor.map_err(|why| {
        let whose = oms.repos.iter().map(ToString::to_string);
        let whose = whose.collect::<Vec<_>>().join(" and ");
        let detail =
            format!("the trust policy {trust:?} cannot be used: [[oms]] for {whose}: {why}");
        Failure::about(trust, detail)
    })
}

/// The bundle's name, if it lies in the directory that it is about.
fn name_inside<'a>(file: &'a Path, dir: &Path) -> Option<&'a str> {
    let (parent, dir) = (disk::parent(file).canonicalize(), dir.canonicalize());
    match (parent, dir) {
        (Ok(parent), Ok(dir)) if parent == dir => file.file_name()?.to_str(),
        _ => None,
    }
}

/// The keys that the evidence rests on: the signers' and those of who certified them.
fn keys(attested: &Attested) -> Vec<KeyId> {
    let of = |signer: &Signer| [&[signer.key], &*signer.issuers].concat();
    attested.signers.iter().flat_map(of).collect()
}

fn report(
    args: &Verify,
    trust: &TrustPolicy,
    statement: &Statement,
    attested: Attested,
    now: Timestamp,
) -> Report {
    let mut prose = vec![format!(
        "verified: {:?}, by OpenSSF Model Signing",
        args.dir
    )];
    prose.extend(evidence_lines(statement, &attested.files));
    let mut evidence = evidence_json(statement, &attested.files);
    evidence["trust_policy"] = trust.digest().to_string().into();
    evidence["now"] = now.to_string().into();
    evidence["now_given"] = args.now.is_some().into();
    Report {
        verdict: Some("verified"),
        subject: args.dir.display().to_string(),
        prose,
        notices: notices(args, &attested),
        waived: attested.notices,
        evidence,
        ..Report::default()
    }
}

fn notices(args: &Verify, attested: &Attested) -> Vec<String> {
    let found = "there is no manifest: model.sig decided, as the trust policy's [[oms]] allows";
    let found = args.oms.is_none().then(|| found.to_owned());
    let given = args
        .now
        .map(|now| format!("judged as of {now}, as --now says"));
    let remarks = attested.remarks.iter().map(ToString::to_string);
    found
        .into_iter()
        .chain(given)
        .chain(remarks)
        .chain(weaker())
        .collect()
}

/// What to do where a manifest would help, and a bundle does not.
pub(crate) fn hints(error: Failure) -> Failure {
    use Rejection::{CodeUnreviewed, ExternalUnpinned};
    error
        .hint_where(
            |found| found.subject == MANIFEST_FILE,
            "the directory has a manifest, which proves more: leave out OMS, or move it away",
        )
        .hint_where(
            |found| matches!(found.rejection, CodeUnreviewed | ExternalUnpinned),
            "OMS has no place for a declaration: remove what needs one, or sign a manifest",
        )
}

/// A line for each thing that a manifest would prove.
pub(crate) fn weaker() -> impl Iterator<Item = String> {
    let line = |what| format!("weaker than a manifest: {what}");
    NOT_PROMISED.iter().map(line)
}

/// What was signed and by whom, for people.
pub(crate) fn evidence_lines(statement: &Statement, files: &[FileEntry]) -> Vec<String> {
    let bytes = total(files.iter().map(|file| file.size));
    let amount = format!("{}, {} bytes", count(files.len(), "file"), thousands(bytes));
    let name = statement.name();
    let mut lines = vec![format!("  model      {name:?}, as the signer calls it")];
    lines.extend(statement.signers().iter().map(signer_line));
    lines.push(format!("  statement  sha256 {}", statement.digest()));
    lines.push(format!("  files      {amount}"));
    lines
}

/// What was signed and by whom, for programs.
pub(crate) fn evidence_json(statement: &Statement, files: &[FileEntry]) -> Value {
    json!({
        "method": "oms",
        "signers": statement.signers().iter().map(signer_json).collect::<Vec<_>>(),
        "statement": statement.digest().to_string(),
        "name": statement.name(),
        "not_promised": NOT_PROMISED,
        "files": files.len(),
        "bytes": total(files.iter().map(|file| file.size)),
    })
}

fn signer_line(signer: &Signer) -> String {
    match &signer.subject {
        Some(subject) => format!("  signed by  {subject:?}, key {}", signer.key),
        None => format!("  signed by  key {}", signer.key),
    }
}

fn signer_json(signer: &Signer) -> Value {
    let issuers: Vec<String> = signer.issuers.iter().map(ToString::to_string).collect();
    json!({ "key": signer.key.to_string(), "subject": signer.subject, "issuers": issuers })
}
