//! `tensorgate sign`: say what the files of a directory are, and vouch for it.

mod oms;

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use tensorgate_oms::BUNDLE_FILE;
use tensorgate_verify::{
    About, Code, Context, Directory, KeyHolder, Limits, MANIFEST_FILE, Manifest, Predicate,
    PublicKey, Repo, Rules, SignedManifest, Survey, Surveyed,
};

use crate::args::sign::{Format, Release, Sign};
use crate::claims;
use crate::declarations::Declarations;
use crate::disk;
use crate::failure::Failure;
use crate::keys;
use crate::output::Report;
use crate::target::Target;
use crate::text::now_in_seconds;

pub(crate) fn run(args: &Sign, json: bool) -> Result<Report, Failure> {
    match (args.format, &args.release) {
        (Format::Tensorgate, Some(release)) => sign(args, release, json),
        // A release is demanded for the one format, and refused for the other.
        _ => oms::run(args, json),
    }
}

fn sign(args: &Sign, release: &Release, json: bool) -> Result<Report, Failure> {
    let limits = Limits::default();
    let signer = keys::signer(&args.signing)?;
    let signer = signer.as_ref();
    let target = Target::of(args, MANIFEST_FILE)?;
    let directory = target.directory(&args.dir)?;
    let declared = match &release.externals {
        Some(file) => Declarations::read(file)?,
        None => Declarations::default(),
    };
    let surveyed = survey(args, &directory, &declared, &[MANIFEST_FILE]).map_err(|error| {
        error.hint_where(
            |found| found.subject == BUNDLE_FILE,
            "a manifest has no other proof beside it: move model.sig away",
        )
    })?;
    let about = about(args, release, &directory, &limits)?;
    let issued = now_in_seconds();
    refuse_expired(release.expires, issued)?;
    let mut repo = Repo::model(release.repo.clone(), release.revision.clone());
    repo.repo_type = args.repo_type.into();
    let validity = (issued, release.expires);
    let mut manifest = Manifest::new(repo, release.sequence, validity, about, surveyed.files);
    manifest.externals = declared.externals;
    manifest.reviewed_code = declared.reviewed_code;

    // Until it is dropped, nobody else adds a signature that this one would overwrite.
    let folder = target.lock(json)?;
    let now = Timestamp::now();
    let earlier = target.read(&limits)?.filter(|_| !release.replace);
    let (signed, action) = match earlier {
        Some(earlier) => add_signature(earlier, manifest, signer, &target.path, &limits, now)?,
        None => (
            SignedManifest::sign(&manifest, signer, &limits)?,
            Action::Signed,
        ),
    };
    prove(&signed, &signer.public(), now)?;
    if action != Action::Nothing {
        target.write(&folder, &signed.to_bytes())?;
    }
    let manifest = signed.untrusted(&limits)?;
    let mut report = report(
        args,
        &manifest,
        &signed,
        &signer.public(),
        &target.path,
        action,
    );
    report.waived = surveyed.notices;
    Ok(report)
}

/// Refuses what a verifier would. Code passes if the signer vouches for it, byte for byte: whether
/// it may reach a robot, that robot's trust policy says.
pub(crate) fn survey(
    args: &Sign,
    directory: &Directory,
    declared: &Declarations,
    beside: &[&str],
) -> Result<Surveyed, Failure> {
    let mut rules = Rules::default();
    rules.content.reviewed_code = Code::Allow;
    let surveyed = Survey::new(&rules)
        .of(args.repo_type.into())
        .with_externals(&declared.externals)
        .with_reviewed_code(&declared.reviewed_code)
        .beside(beside)
        .run(directory)?;
    Ok(surveyed)
}

/// What came of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Action {
    Signed,
    Added,
    /// This key had signed the same before.
    Nothing,
}

/// What a verifier would say, in better words than "expires before it is issued".
pub(crate) fn refuse_expired(expires: Timestamp, issued: Timestamp) -> Result<(), Failure> {
    if expires > issued {
        return Ok(());
    }
    Err(Failure::rejected(
        tensorgate_verify::Rejection::ManifestExpired,
        "expires",
        format!("the manifest would expire at {expires}, and it is {issued}"),
    ))
}

fn about(
    args: &Sign,
    release: &Release,
    directory: &Directory,
    limits: &Limits,
) -> Result<About, Failure> {
    let policy_type = match &release.policy_type {
        Some(policy_type) => policy_type.clone(),
        None => type_in_config(directory, limits)?.ok_or_else(|| {
            Failure::about(
                &args.dir,
                "\"config.json\" does not say what type the policy is",
            )
            .hint("give --policy-type, for instance `--policy-type act`")
        })?,
    };
    let mut about = About::of_type(policy_type);
    about.robot.clone_from(&release.robot);
    Ok(about)
}

/// `type` of config.json, where LeRobot's policies have theirs.
fn type_in_config(directory: &Directory, limits: &Limits) -> Result<Option<String>, Failure> {
    let bytes = disk::untrusted_bytes(directory, "config.json", limits.small_file_bytes)?;
    let config: Option<Value> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let policy_type = config.as_ref().and_then(|config| config["type"].as_str());
    Ok(policy_type
        .filter(|text| !text.is_empty())
        .map(str::to_owned))
}

/// Signs the payload that is there, if it says what we would say now.
fn add_signature(
    mut signed: SignedManifest,
    mut ours: Manifest,
    signer: &dyn KeyHolder,
    target: &Path,
    limits: &Limits,
    now: Timestamp,
) -> Result<(SignedManifest, Action), Failure> {
    let theirs = signed.untrusted(limits)?;
    ours.issued = theirs.issued;
    if ours.to_payload(limits)? != theirs.to_payload(limits)? {
        let what = differences(&ours, &theirs).join(", ");
        let detail = format!("{target:?} says something else ({what}); nothing was touched");
        return Err(Failure::about(target, detail)
            .hint("--replace puts the new manifest in its place, and drops the signatures there"));
    }
    if prove(&signed, &signer.public(), now).is_ok() {
        return Ok((signed, Action::Nothing));
    }
    signed.add_signature(signer, limits)?;
    Ok((signed, Action::Added))
}

/// The fields in which two manifests differ.
pub(crate) fn differences(ours: &Manifest, theirs: &Manifest) -> Vec<&'static str> {
    let fields = [
        ("repo or revision", ours.repo != theirs.repo),
        ("sequence", ours.sequence != theirs.sequence),
        ("expires", ours.expires != theirs.expires),
        ("policy type or robot", ours.policy != theirs.policy),
        ("files", ours.files != theirs.files),
        ("externals", ours.externals != theirs.externals),
        ("reviewed code", ours.reviewed_code != theirs.reviewed_code),
    ];
    fields
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
}

/// Asks the verifier: somebody who trusts this key must accept this manifest now.
pub(crate) fn prove(
    signed: &SignedManifest,
    key: &PublicKey,
    now: Timestamp,
) -> Result<(), Failure> {
    let trust = keys::trust_in(key)?;
    trust.authenticate(signed, &Context::new(now))?;
    Ok(())
}

fn report(
    args: &Sign,
    manifest: &Manifest,
    signed: &SignedManifest,
    key: &PublicKey,
    target: &Path,
    action: Action,
) -> Report {
    let key = key.id();
    let outcome = match action {
        Action::Signed => "signed:",
        Action::Added => "added a signature to",
        Action::Nothing => "this key had signed before, nothing was added to",
    };
    let mut prose = vec![
        format!("{outcome} {target:?}"),
        format!("  key        {key}"),
    ];
    prose.extend(claims::lines(signed, manifest));
    let evidence = json!({
        "repo": manifest.repo,
        "sequence": manifest.sequence,
        "issued": manifest.issued,
        "expires": manifest.expires,
        "policy": manifest.policy,
        "manifest": signed.digest(),
        "key": key.to_string(),
        "files": manifest.files.len(),
        "bytes": claims::bytes(manifest),
        "externals": manifest.externals.len(),
        "reviewed_code": manifest.reviewed_code.len(),
    });
    let more = json!({ "written": target.display().to_string(), "added_signature": action == Action::Added });
    Report {
        verdict: Some("done"),
        subject: args.dir.display().to_string(),
        prose,
        evidence,
        more: more.as_object().cloned().unwrap_or_default(),
        ..Report::default()
    }
}
