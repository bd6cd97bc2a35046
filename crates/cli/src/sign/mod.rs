//! `tensorgate sign`: say what the files of a directory are, and vouch for it.

mod oms;

use jiff::Timestamp;
use serde_json::{Value, json};
use tensorgate_oms::BUNDLE_FILE;
use tensorgate_verify::{
    About, Code, Context, Directory, FileEntry, KeyHolder, Limits, MANIFEST_FILE, Manifest,
    Predicate, PublicKey, Repo, Rules, SignedManifest, Survey, Surveyed,
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
    let signer = keys::signer(&args.signing)?;
    let target = Target::of(args, MANIFEST_FILE)?;
    let directory = target.directory(&args.dir)?;
    let declared = declared(release)?;
    let surveyed = survey(args, &directory, &declared, &[MANIFEST_FILE]).map_err(no_bundle)?;
    let about = about(args, release, &directory)?;
    let manifest = manifest(args, release, about, declared, surveyed.files)?;
    let signing = Signing {
        signer: signer.as_ref(),
        target: &target,
        limits: Limits::default(),
    };
    let (signed, action) = signing.put(manifest, release.replace, json)?;
    let mut report = report(args, &signing, &signed, action)?;
    report.waived = surveyed.notices;
    Ok(report)
}

fn declared(release: &Release) -> Result<Declarations, Failure> {
    match &release.externals {
        Some(file) => Declarations::read_own(file),
        None => Ok(Declarations::default()),
    }
}

fn no_bundle(failure: Failure) -> Failure {
    failure.hint_where(
        |found| found.subject == BUNDLE_FILE,
        "a manifest has no other proof beside it: move model.sig away",
    )
}

/// What this release is.
fn manifest(
    args: &Sign,
    release: &Release,
    about: About,
    declared: Declarations,
    files: Vec<FileEntry>,
) -> Result<Manifest, Failure> {
    let issued = now_in_seconds();
    refuse_expired(release.expires, issued)?;
    let mut repo = Repo::model(release.repo.clone(), release.revision.clone());
    repo.repo_type = args.repo_type.into();
    let validity = (issued, release.expires);
    let mut manifest = Manifest::new(repo, release.sequence, validity, about, files);
    manifest.externals = declared.externals;
    manifest.reviewed_code = declared.reviewed_code;
    Ok(manifest)
}

/// Who signs, and where it goes.
struct Signing<'a> {
    signer: &'a dyn KeyHolder,
    target: &'a Target,
    limits: Limits,
}

impl Signing<'_> {
    /// Signs it, proves that, and puts it in its place; or adds to what is there.
    fn put(
        &self,
        ours: Manifest,
        replace: bool,
        json: bool,
    ) -> Result<(SignedManifest, Action), Failure> {
        // Until it is dropped, nobody else adds a signature that this one would overwrite.
        let folder = self.target.lock(json)?;
        let now = Timestamp::now();
        let earlier = self.target.read(&self.limits)?.filter(|_| !replace);
        let (signed, action) = match earlier {
            Some(earlier) => self.add_signature(earlier, ours, now)?,
            None => {
                let signed = SignedManifest::sign(&ours, self.signer, &self.limits)?;
                (signed, Action::Signed)
            }
        };
        prove(&signed, &self.signer.public(), now)?;
        if action != Action::Nothing {
            self.target.write(&folder, &signed.to_bytes())?;
        }
        Ok((signed, action))
    }

    /// Signs the payload that is there, if it says what we would say now.
    fn add_signature(
        &self,
        mut signed: SignedManifest,
        mut ours: Manifest,
        now: Timestamp,
    ) -> Result<(SignedManifest, Action), Failure> {
        let (limits, path) = (&self.limits, &self.target.path);
        let theirs = signed.untrusted(limits)?;
        ours.issued = theirs.issued;
        if ours.to_payload(limits)? != theirs.to_payload(limits)? {
            let what = differences(&ours, &theirs).join(", ");
            let detail = format!("{path:?} says something else ({what}); nothing was touched");
            return Err(Failure::about(path, detail).hint(
                "--replace puts the new manifest in its place, and drops the signatures there",
            ));
        }
        if prove(&signed, &self.signer.public(), now).is_ok() {
            return Ok((signed, Action::Nothing));
        }
        signed.add_signature(self.signer, limits)?;
        Ok((signed, Action::Added))
    }
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

impl Action {
    const fn words(self) -> &'static str {
        match self {
            Self::Signed => "signed:",
            Self::Added => "added a signature to",
            Self::Nothing => "this key had signed before, nothing was added to",
        }
    }
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

fn about(args: &Sign, release: &Release, directory: &Directory) -> Result<About, Failure> {
    let policy_type = match &release.policy_type {
        Some(policy_type) => policy_type.clone(),
        None => type_in_config(directory, &Limits::default())?.ok_or_else(|| {
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
    signing: &Signing<'_>,
    signed: &SignedManifest,
    action: Action,
) -> Result<Report, Failure> {
    let (key, path) = (signing.signer.public().id(), &signing.target.path);
    let manifest = signed.untrusted(&signing.limits)?;
    let mut prose = vec![
        format!("{} {path:?}", action.words()),
        format!("  key        {key}"),
    ];
    prose.extend(claims::lines(signed, &manifest));
    let more = json!({ "written": path.display().to_string(), "added_signature": action == Action::Added });
    Ok(Report {
        verdict: Some("done"),
        subject: args.dir.display().to_string(),
        prose,
        evidence: claims::json(
            signed,
            &manifest,
            [
                ("key", key.to_string().into()),
                ("files", manifest.files.len().into()),
                ("bytes", claims::bytes(&manifest).into()),
                ("externals", manifest.externals.len().into()),
                ("reviewed_code", manifest.reviewed_code.len().into()),
            ],
        ),
        more: more.as_object().cloned().unwrap_or_default(),
        ..Report::default()
    })
}
