//! `tensorgate verify`: a directory against a trust policy.

use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Value, json};
use tensorgate_verify::{
    Context, Directory, Evidence, File, Limits, Manifest, Policy, Proof, RevocationEvidence,
    Revocations, SignedManifest, Signer, TrustPolicy, Verified,
};

use crate::args::Verify;
use crate::claims;
use crate::disk;
use crate::failure::Failure;
use crate::fetch;
use crate::html::{self, Shown};
use crate::memory::Memory;
use crate::oms;
use crate::output::{Report, say_waiting};
use crate::sarif;
use crate::text::{count, thousands};
use crate::trust;
use crate::vsa::{self, Seen};

pub(crate) fn run(args: &Verify, json: bool) -> Result<Report, Failure> {
    let summary = vsa::Writer::of(&args.summary)?;
    let (mut shown, mut seen) = (Shown::default(), Seen::default());
    let trust = trust::load(&args.trust);
    let outcome = trust.and_then(|trust| {
        if let Some(summary) = &summary {
            summary.refuse_signers(&trust)?;
        }
        seen.trust(&trust);
        judge(args, &trust, json, &mut shown, &mut seen)
    });
    let outcome = match &summary {
        Some(summary) => summary.write(&seen, outcome),
        None => outcome,
    };
    let outcome = sarif::write(args.sarif.file(), Some(&args.dir), outcome);
    let subject = args.dir.display().to_string();
    html::write(args.html.file(), ("verify", &subject), outcome, &shown)
}

fn judge(
    args: &Verify,
    trust: &TrustPolicy,
    json: bool,
    shown: &mut Shown,
    seen: &mut Seen,
) -> Result<Report, Failure> {
    let started = Instant::now();
    let directory = disk::hold_directory(&args.dir);
    let directory = directory.map_err(|failure| fetch::or_at_hub(failure, &args.dir, "fetch"))?;
    let memory = Memory::open(args.state.as_deref(), move |lock| say_waiting(json, lock))?;
    if let Some(bundle) = oms::find(args, trust, &directory, &memory)? {
        return oms::verify(args, &bundle, trust, &directory, &memory, shown);
    }
    let signed = manifest(args, &directory, trust.limits())?;
    seen.signed(&signed);
    let mut context = context(args, &memory);
    let revocations = revocations(args, trust, &memory, &context)?;
    if let Some(list) = &revocations {
        seen.revocations(list.evidence());
    }
    context.revocations = revocations.as_ref();
    let manifest = trust.authenticate(&signed, &context)?;
    seen.authenticated(&manifest, manifest.evidence());
    let proof = if args.full {
        Proof::Whole
    } else {
        Proof::Tensors
    };
    let policy = manifest.open(&directory, proof, trust.rules())?;
    let notices = notices(args, policy.evidence(), &memory)?;
    if args.html.file().is_some() {
        shown.policy(&policy, trust.limits());
    }
    Ok(report(args, &policy, notices, started))
}

fn manifest(
    args: &Verify,
    directory: &Directory,
    limits: &Limits,
) -> Result<SignedManifest, Failure> {
    match &args.manifest {
        Some(file) => disk::manifest_at(file, limits),
        None => disk::manifest_in(directory, limits),
    }
}

pub(crate) fn context<'a>(args: &'a Verify, memory: &'a Memory) -> Context<'a> {
    let mut context = Context::new(args.now.unwrap_or_else(Timestamp::now));
    context.history = Some(memory);
    context.repo = args.repo.as_ref();
    context.repo_type = args.repo_type.into();
    context.revision = args.revision.as_ref();
    context
}

/// The list of revocations. What is judged as of another instant than now leaves nothing behind.
pub(crate) fn revocations(
    args: &Verify,
    trust: &TrustPolicy,
    memory: &Memory,
    context: &Context<'_>,
) -> Result<Option<Verified<Revocations, RevocationEvidence>>, Failure> {
    let remember = args.now.is_none();
    memory.revocations(args.revocations.as_deref(), trust, context, remember)
}

/// Remembers the release, and says what is worth knowing beside the verdict.
fn notices(args: &Verify, evidence: &Evidence, memory: &Memory) -> Result<Vec<String>, Failure> {
    let mut notices = Vec::new();
    match args.now {
        // An instant that is not now may let pass what is not to count now.
        Some(now) => notices.push(format!("judged as of {now}, as --now says; not remembered")),
        None => notices.extend(memory.record(evidence)?),
    }
    if evidence.ignored_signatures > 0 {
        let ignored = count(evidence.ignored_signatures, "more signature");
        notices.push(format!(
            "{ignored}, wrong or by no key that counts here, did not count"
        ));
    }
    Ok(notices)
}

fn report(
    args: &Verify,
    policy: &Verified<Policy>,
    notices: Vec<String>,
    started: Instant,
) -> Report {
    let evidence = policy.evidence();
    let seconds = started.elapsed().as_secs_f64();
    let bytes = claims::bytes(policy.manifest());
    let files = policy.files().len();
    let mut json = evidence_json(evidence, policy.manifest());
    json["now_given"] = args.now.is_some().into();
    json["full"] = args.full.into();
    json["files"] = files.into();
    json["bytes"] = bytes.into();
    json["seconds"] = seconds.into();
    json["holds"] = policy.tensor_files().map(hold_json).collect();
    let mut prose = vec![format!("verified: {:?}", args.dir)];
    prose.extend(evidence_lines(evidence));
    prose.push(format!("  expires    {}", policy.manifest().expires));
    prose.push(format!(
        "  files      {}, {} bytes, in {seconds:.2} s",
        count(files, "file"),
        thousands(bytes)
    ));
    prose.extend(held_lines(policy));
    Report {
        verdict: Some("verified"),
        subject: args.dir.display().to_string(),
        prose,
        notices,
        waived: policy.notices().to_vec(),
        evidence: json,
        ..Report::default()
    }
}

/// How the weights were kept as they are while they were proven: in one line for all that were kept
/// alike.
fn held_lines(policy: &Verified<Policy>) -> Vec<String> {
    let holding = |file: &File| file.hold().holding().to_string();
    let mut ways: Vec<String> = policy.tensor_files().map(holding).collect();
    ways.sort();
    ways.dedup();
    ways.iter()
        .map(|way| format!("  held       {way}"))
        .collect()
}

fn hold_json(file: &File) -> Value {
    let holding = file.hold().holding();
    json!({ "path": file.path(), "holding": holding.name(), "words": holding.to_string() })
}

/// What a verdict rests on, for people.
pub(crate) fn evidence_lines(evidence: &Evidence) -> Vec<String> {
    let mut lines = vec![
        claims::repo(evidence.repo_type, &evidence.repo, &evidence.revision),
        format!("  sequence   {}", evidence.sequence),
    ];
    for signer in &evidence.signers {
        lines.push(format!(
            "  signed by  {:?}, key {}",
            signer.name, signer.key
        ));
    }
    lines.push(format!("  manifest   sha256 {}", evidence.manifest));
    lines
}

/// What a verdict rests on, for programs.
pub(crate) fn evidence_json(evidence: &Evidence, manifest: &Manifest) -> Value {
    let signer = |signer: &Signer| json!({ "name": signer.name, "key": signer.key.to_string() });
    json!({
        "repo": {
            "type": evidence.repo_type.to_string(),
            "id": evidence.repo.as_str(),
            "revision": evidence.revision.as_str(),
        },
        "sequence": evidence.sequence,
        "policy": manifest.policy,
        "expires": manifest.expires.to_string(),
        "signers": evidence.signers.iter().map(signer).collect::<Vec<_>>(),
        "ignored_signatures": evidence.ignored_signatures,
        "manifest": evidence.manifest.to_string(),
        "trust_policy": evidence.trust_policy.to_string(),
        "now": evidence.now.to_string(),
    })
}
