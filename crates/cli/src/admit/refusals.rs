//! What is wrong before anything is signed, and mostly before anything is fetched.

use std::path::Path;

use jiff::Timestamp;
use tensorgate_hub::Target;
use tensorgate_verify::{
    Context, KeyHolder, Limits, Manifest, Predicate, Rejection, Repo, Revoked, SignedManifest,
    TrustPolicy,
};

use crate::args::admit::Admit;
use crate::failure::Failure;
use crate::fetch::Session;
use crate::sign::differences;
use crate::trust::check::Standing;

/// A signature that would not count is not worth the questions.
pub(super) fn idle_key(
    trust: &TrustPolicy,
    signer: &dyn KeyHolder,
    target: &Target,
    args: &Admit,
) -> Result<(), Failure> {
    let id = signer.public().id();
    let file = args.trust.display();
    let Some(key) = trust.keys().iter().find(|key| key.id() == id) else {
        let detail = format!("the key {id} is not in {file}: what it signs would not count");
        let hint = format!(
            "`tensorgate trust add-key {file} NAME.pub.pem --name NAME` adds one; or give another key"
        );
        return Err(Failure::about(&args.trust, detail).hint(hint));
    };
    match Standing::of(key, trust, Some(&target.repo), Timestamp::now()).against {
        None => Ok(()),
        Some(why) => {
            let detail = format!(
                "the key {:?} does not count for {}: {why}",
                key.name, target.repo
            );
            Err(Failure::about(&args.trust, detail).hint(format!(
                "sign with a key that does: `tensorgate trust check {file}` lists them"
            )))
        }
    }
}

/// The same where it was called back by a signed list, as the store remembers it.
pub(super) fn revoked_key(
    session: &Session,
    trust: &TrustPolicy,
    signer: &dyn KeyHolder,
) -> Result<(), Failure> {
    let context = Context::new(Timestamp::now());
    let Some(list) = session.store.state().revocations(trust, &context)? else {
        return Ok(());
    };
    let id = signer.public().id();
    match list
        .revoked
        .iter()
        .find(|entry| entry.what == Revoked::Key(id))
    {
        None => Ok(()),
        Some(entry) => {
            let detail = format!("it was called back: {}", entry.reason);
            let failure = Failure::rejected(Rejection::KeyRevoked, &id.to_string(), detail);
            Err(failure.hint("sign with another key: `tensorgate trust check FILE` lists them"))
        }
    }
}

pub(super) fn signed_before(
    signed: &SignedManifest,
    signer: &dyn KeyHolder,
    target: &Target,
) -> Result<(), Failure> {
    if !signed.is_signed_by(&signer.public()) {
        return Ok(());
    }
    let detail = "this key has signed the manifest before, and a key counts once";
    let hint = format!(
        "another key must sign; once all have, `tensorgate fetch {target} --manifest FILE --trust FILE` takes it"
    );
    Err(Failure::about(Path::new("manifest"), detail).hint(hint))
}

pub(super) fn other_repo(proposed: Option<&Manifest>, ours: &Repo) -> Result<(), Failure> {
    let Some(theirs) = proposed.map(|manifest| &manifest.repo) else {
        return Ok(());
    };
    let (rejection, found) = if (theirs.repo_type, &theirs.id) != (ours.repo_type, &ours.id) {
        (Rejection::RepoMismatch, theirs.id.to_string())
    } else if theirs.revision != ours.revision {
        (Rejection::RevisionMismatch, theirs.revision.to_string())
    } else {
        return Ok(());
    };
    let subject = if rejection == Rejection::RepoMismatch {
        "repo"
    } else {
        "revision"
    };
    Err(Failure::rejected(
        rejection,
        subject,
        format!("the manifest is of {found}"),
    ))
}

/// A second signer says exactly what the first did, or nothing.
pub(super) fn other_review(
    ours: &Manifest,
    theirs: &Manifest,
    limits: &Limits,
) -> Result<(), Failure> {
    if ours.to_payload(limits)? == theirs.to_payload(limits)? {
        return Ok(());
    }
    let mut what = differences(ours, theirs);
    if what.is_empty() {
        what.push("how it is written");
    }
    let detail = format!(
        "this review says something else than the manifest ({}); nothing was signed",
        what.join(", ")
    );
    let hint =
        "compare with whoever signed first: `tensorgate inspect FILE` shows what the manifest says";
    Err(Failure::about(Path::new("manifest"), detail).hint(hint))
}
