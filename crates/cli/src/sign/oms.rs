//! `tensorgate sign --format oms`: vouch for the same files where only OpenSSF Model Signing is read.

use std::path::Path;

use jiff::Timestamp;
use serde_json::json;
use tensorgate_oms::{Anchor, BUNDLE_FILE, Bundle, EcSigningKey, Statement};
use tensorgate_verify::{FileEntry, Limits, Surveyed};

use crate::args::sign::Sign;
use crate::declarations::Declarations;
use crate::failure::Failure;
use crate::keys;
use crate::oms;
use crate::output::Report;
use crate::sign::survey;
use crate::target::Target;

pub(crate) fn run(args: &Sign, json: bool) -> Result<Report, Failure> {
    let limits = Limits::default();
    let Some(key) = &args.signing.key else {
        let detail = "an ssh-agent signs manifests, not bundles of OpenSSF Model Signing";
        return Err(Failure::about(&args.dir, detail).hint("give --key FILE, a key on P-256"));
    };
    let key = keys::load_p256(key, args.signing.passphrase_file.as_deref())?;
    let target = Target::of(args, BUNDLE_FILE)?;
    let directory = target.directory(&args.dir)?;
    target.refuse_existing()?;
    let beside = target.inside();
    let surveyed = survey(
        args,
        &directory,
        &Declarations::default(),
        beside.as_slice(),
    );
    let surveyed = surveyed.map_err(oms::hints)?;
    let name = name(&args.dir);
    let bundle = tensorgate_oms::sign(&surveyed.files, &name, beside.as_slice(), &key, &limits)?;
    let statement = prove(&bundle, &key, &limits)?;
    let folder = target.lock(json)?;
    // Others who sign may have been faster.
    target.refuse_existing()?;
    target.write(&folder, &bundle)?;
    Ok(report(args, &target.path, &statement, surveyed))
}

/// What the model is called: as its directory is. Nothing is bound to it.
fn name(dir: &Path) -> String {
    let real = dir.canonicalize().unwrap_or_default();
    let name = real.file_name().unwrap_or_else(|| "model".as_ref());
    name.to_string_lossy().into_owned()
}

/// Asks the verifier: somebody who trusts this key must accept this bundle now.
fn prove(bundle: &[u8], key: &EcSigningKey, limits: &Limits) -> Result<Statement, Failure> {
    let anchor = Anchor::Key(key.public().clone());
    let bundle = Bundle::parse(bundle, limits)?;
    Ok(bundle.authenticate(&[anchor], Timestamp::now(), limits)?)
}

fn report(args: &Sign, target: &Path, statement: &Statement, surveyed: Surveyed) -> Report {
    let Surveyed { files, notices, .. } = surveyed;
    let mut prose = vec![format!("signed: {target:?}, by OpenSSF Model Signing")];
    prose.extend(oms::evidence_lines(statement, &files));
    let more = json!({ "written": target.display().to_string() });
    Report {
        verdict: Some("done"),
        subject: args.dir.display().to_string(),
        prose,
        notices: of_git(&files).into_iter().chain(oms::weaker()).collect(),
        waived: notices,
        evidence: oms::evidence_json(statement, &files),
        more: more.as_object().cloned().unwrap_or_default(),
        ..Report::default()
    }
}

/// What readers must be told that leave files of git out unless they are.
fn of_git(files: &[FileEntry]) -> Option<String> {
    let path = &files
        .iter()
        .find(|file| file.path.as_str() == ".gitattributes")?
        .path;
    Some(format!(
        "{path} is signed, too: `model_signing verify` takes --no-ignore-git-paths"
    ))
}
