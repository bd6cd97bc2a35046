//! `tensorgate verify --oms`: a directory against a bundle of OpenSSF Model Signing.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use tensorgate_oms::{Anchor, Attested, Bundle, NOT_PROMISED, Signer};
use tensorgate_verify::{
    Directory, KeyId, OmsAnchor, OmsTrust, Rejection, RepoId, Survey, TrustPolicy,
};

use crate::args::Verify;
use crate::disk;
use crate::failure::Failure;
use crate::memory::Memory;
use crate::output::Report;
use crate::text::{count, thousands, total};
use crate::verify::{context, revocations};

pub(crate) fn verify(
    args: &Verify,
    file: &Path,
    trust: &TrustPolicy,
    directory: &Directory,
    memory: &Memory,
) -> Result<Report, Failure> {
    let anchors = anchors(args, trust)?;
    let mut context = context(args, memory);
    let revocations = revocations(args, trust, memory, &context)?;
    context.revocations = revocations.as_ref();
    let now = context.judged_at()?;
    let limits = trust.limits();
    let bytes = disk::read_at_most(file, limits.manifest_bytes)
        .map_err(|error| Failure::io("read the bundle", file, &error))?;
    let statement = Bundle::parse(&bytes, limits)?.authenticate(&anchors, now, limits)?;
    let inside = name_inside(file, &args.dir);
    let survey = Survey::new(trust.rules()).beside(inside.as_slice());
    let attested = statement.open(directory, survey)?;
    trust.refuse_revoked(
        &keys(&attested),
        attested.statement,
        &attested.files,
        &context,
    )?;
    let mut report = report(args, trust, &attested, now);
    report.waived = attested.notices;
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
        if repo.is_some_and(|repo| is_for(oms, repo)) {
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
        OmsAnchor::RootCertificate(pem) => {
            Anchor::root_certificate(pem).map_err(|error| error.to_string())
        }
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

fn is_for(oms: &OmsTrust, repo: &RepoId) -> bool {
    oms.repos.iter().any(|glob| glob.matches(repo))
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

fn report(args: &Verify, trust: &TrustPolicy, attested: &Attested, now: Timestamp) -> Report {
    let bytes = total(attested.files.iter().map(|file| file.size));
    let files = attested.files.len();
    let mut prose = vec![
        format!("verified: {:?}, by OpenSSF Model Signing", args.dir),
        format!("  model      {:?}, as the signer calls it", attested.name),
    ];
    prose.extend(attested.signers.iter().map(signer_line));
    prose.push(format!("  statement  sha256 {}", attested.statement));
    let files_line = format!("{}, {} bytes", count(files, "file"), thousands(bytes));
    prose.push(format!("  files      {files_line}"));
    Report {
        verdict: Some("verified"),
        subject: args.dir.display().to_string(),
        prose,
        notices: notices(args, attested),
        evidence: json!({
            "method": "oms",
            "signers": attested.signers.iter().map(signer_json).collect::<Vec<_>>(),
            "statement": attested.statement.to_string(),
            "name": attested.name,
            "not_promised": NOT_PROMISED,
            "trust_policy": trust.digest().to_string(),
            "now": now.to_string(),
            "now_given": args.now.is_some(),
            "files": files,
            "bytes": bytes,
        }),
        ..Report::default()
    }
}

fn notices(args: &Verify, attested: &Attested) -> Vec<String> {
    let given = args
        .now
        .map(|now| format!("judged as of {now}, as --now says"));
    let remarks = attested.remarks.iter().map(ToString::to_string);
    let missing = NOT_PROMISED
        .iter()
        .map(|what| format!("weaker than a manifest: {what}"));
    given.into_iter().chain(remarks).chain(missing).collect()
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
