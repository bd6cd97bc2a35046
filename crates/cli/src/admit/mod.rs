//! `tensorgate admit`: from "I found a policy on the Hub" to the robot's store.
//!
//! ```text
//! fetch ─▶ quarantine ─▶ first survey ─▶ questions ─▶ second survey ─▶ sign ─▶ Gate::admit ─▶ store
//!          (untrusted)   (refuses what   (decisions,   (with answers,           (as fetch
//!                         is no decision) or a person)  the same bytes)          --manifest)
//! ```
//! Only what the first survey saw is signed: the second has to see the same bytes, and the gate takes
//! none other from quarantine or Hub.

mod changes;
mod decisions;
mod found;
mod pinned;
mod place;
mod points;
mod report;
mod review;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use tensorgate_hub::{AdmitError, Expected, Request, Target};
use tensorgate_verify::{
    About, Context, Error, KeyHolder, Manifest, Predicate, Rejection, Repo, Revoked,
    SignedManifest, TrustPolicy,
};

use crate::args_admit::Admit;
use crate::failure::Failure;
use crate::fetch::{self, Session};
use crate::keys;
use crate::output::{Report, say};
use crate::sign::{differences, refuse_expired};
use crate::stop;
use crate::terminal;
use crate::text::{now_in_seconds, thousands};
use crate::trust;
use crate::trust_check::Standing;
use decisions::Decisions;
use found::Found;
use place::Place;
use points::Point;
use review::{Review, agree};

pub(crate) fn run(args: &Admit, json: bool) -> Result<Report, Failure> {
    let admission = Admission::prepare(args, json)?;
    stop::to_the_end(async move { Box::pin(admission.run()).await })
}

/// Everything that can be known to be wrong before a byte is fetched is known.
struct Admission {
    args: Admit,
    target: Target,
    trust: TrustPolicy,
    signer: Box<dyn KeyHolder + Send + Sync>,
    decisions: Decisions,
    place: Place,
    session: Session,
    asks: bool,
    json: bool,
}

impl Admission {
    fn prepare(args: &Admit, json: bool) -> Result<Self, Failure> {
        let asks = !args.yes && !json && terminal::is_there();
        if !asks && !args.yes {
            let detail = "there is nobody to ask: standard input and standard error are no terminal, or --json was given";
            let hint = "`--yes --decisions FILE` answers in advance; see `tensorgate admit --help`";
            return Err(Failure::about(Path::new("terminal"), detail).hint(hint));
        }
        let target = fetch::target(&args.target, args.repo_type)?;
        let trust = trust::load(&args.trust)?;
        let decisions = args.decisions.as_deref().map(Decisions::read).transpose()?;
        let place = Place::of(args, trust.threshold() > 1, trust.limits())?;
        let signer = keys::signer(&args.signing)?;
        refuse_idle_key(&trust, signer.as_ref(), &target, args)?;
        if let Some(signed) = &place.proposed {
            refuse_signed_before(signed, signer.as_ref(), &target)?;
        }
        let session = Session::open(&args.source, json)?;
        refuse_revoked_key(&session, &trust, signer.as_ref())?;
        Ok(Self {
            target,
            decisions: decisions.unwrap_or_default(),
            session,
            args: args.clone(),
            trust,
            signer,
            place,
            asks,
            json,
        })
    }

    async fn run(self) -> Result<Report, Failure> {
        let limits = self.trust.limits();
        let signed = self.place.proposed.as_ref();
        let proposed = signed.map(|signed| signed.untrusted(limits)).transpose()?;
        let revision = self.session.pin(&self.target).await?;
        let target = self.target.clone().pinned(revision.clone());
        let mut expected = Expected::of(target.repo_type, target.repo.clone());
        expected.revision = Some(revision.clone());
        let mut repo = Repo::model(target.repo.clone(), revision);
        repo.repo_type = target.repo_type;
        refuse_other_repo(proposed.as_ref(), &repo)?;
        let release = self.release(&target, proposed.as_ref())?;

        let fetched = self.session.download(Request::new(&target)).await?;
        let found = Found::of(target, fetched, self.trust.rules())?;
        let about = self.about(&found, proposed.as_ref())?;
        let points = Point::of(
            &found.surveyed.notices,
            &found.facts,
            &about.policy_type,
            &found.surveyed.files,
        );
        self.show(&found)?;
        let review = Review {
            session: &self.session,
            found: &found,
            decisions: &self.decisions,
            proposed: proposed.as_ref(),
            asks: self.asks,
        };
        let decided = review.decide(&points).await?;
        found.passes(self.trust.rules(), &decided)?;

        let span = (release.issued, release.expires);
        let files = found.surveyed.files.clone();
        let mut manifest = Manifest::new(repo, release.sequence, span, about, files);
        manifest.externals.clone_from(&decided.externals);
        manifest.reviewed_code.clone_from(&decided.reviewed_code);
        if let Some(proposed) = &proposed {
            self.refuse_other_review(&manifest, proposed)?;
        }
        self.last_question(&manifest).await?;
        if let Some(path) = &self.args.save_decisions {
            decided.save(path, self.json)?;
        }
        let signed = match signed.cloned() {
            Some(mut signed) => {
                signed.add_signature(self.signer.as_ref(), limits)?;
                signed
            }
            None => SignedManifest::sign(&manifest, self.signer.as_ref(), limits)?,
        };
        let facts = found.facts.json();
        let mut idle = self.decisions.idle(&found.surveyed.undecided);
        // The gate takes the quarantine for itself.
        drop(found);
        let mut report = self.prove(&signed, &manifest, &expected).await?;
        report.notices.append(&mut idle);
        report.more.insert("facts".to_owned(), facts);
        Ok(report)
    }

    /// Proves it as a robot would, and keeps it, unless others have to sign first.
    async fn prove(
        &self,
        signed: &SignedManifest,
        manifest: &Manifest,
        expected: &Expected,
    ) -> Result<Report, Failure> {
        let gate = self.session.gate(&self.trust);
        match gate.authenticate(signed, expected) {
            Err(error) if lacks_signers_alone(&error) => {
                let alone = keys::trust_in(&self.signer.public())?;
                let alone = self.session.gate(&alone).authenticate(signed, expected);
                alone.map_err(|error| self.session.explain(error, expected))?;
                let path = self.place.pending(signed, self.json)?;
                return Ok(report::pending(
                    &self.args,
                    &self.trust,
                    signed,
                    manifest,
                    path,
                ));
            }
            other => other.map_err(|error| self.session.explain(error, expected))?,
        };
        let admitted = gate.admit(signed, expected).await;
        let admitted = admitted.map_err(|error| self.session.explain(error, expected))?;
        let written = self.place.complete(signed, self.json);
        let written =
            written.map_err(|failure| failure.note("the policy is in the store all the same"))?;
        Ok(report::admitted(
            &self.args,
            self.session.report(&admitted),
            written,
        ))
    }

    /// Which release it is to be, and until when.
    fn release(&self, target: &Target, proposed: Option<&Manifest>) -> Result<Release, Failure> {
        let accepted = self.session.accepted(target)?;
        let next = accepted.map_or(1, |accepted| accepted.sequence.saturating_add(1));
        let sequence = self
            .args
            .sequence
            .or_else(|| proposed.map(|manifest| manifest.sequence));
        let sequence = sequence.unwrap_or(next);
        if sequence < next {
            let detail = format!("{sequence}, but {} was accepted here before", next - 1);
            return Err(Failure::rejected(
                Rejection::ManifestRollback,
                "sequence",
                detail,
            ));
        }
        let issued = now_in_seconds();
        let expires = self.expires(issued, proposed)?;
        refuse_expired(expires, issued)?;
        Ok(Release {
            sequence,
            issued: proposed.map_or(issued, |manifest| manifest.issued),
            expires,
        })
    }

    fn expires(&self, now: Timestamp, proposed: Option<&Manifest>) -> Result<Timestamp, Failure> {
        let days = self.decisions.accept.valid_days;
        let latest = days.and_then(|days| {
            let span = SignedDuration::from_hours(24 * i64::from(days));
            now.checked_add(span).ok()
        });
        match (self.args.expires, proposed, latest) {
            (Some(expires), ..) => Ok(expires),
            (None, None, Some(latest)) => Ok(latest),
            (None, Some(manifest), Some(latest)) if manifest.expires <= latest => {
                Ok(manifest.expires)
            }
            (None, Some(manifest), Some(latest)) => {
                let detail = format!(
                    "the manifest counts until {}, `valid_days` allows {latest}",
                    manifest.expires
                );
                Err(Failure::about(Path::new("expires"), detail)
                    .hint("give --expires if that is meant"))
            }
            (None, Some(manifest), None) if self.asks => Ok(manifest.expires),
            (None, _, None) => {
                let failure = Failure::about(
                    Path::new("expires"),
                    "nothing says when the signature stops to count",
                );
                Err(failure
                    .hint("give --expires INSTANT, or `valid_days` under [accept] in --decisions"))
            }
        }
    }

    fn about(&self, found: &Found, proposed: Option<&Manifest>) -> Result<About, Failure> {
        let given = self
            .args
            .policy_type
            .as_ref()
            .or(found.policy_type.as_ref());
        let policy_type = given.ok_or_else(|| {
            let detail = "config.json does not say what type the policy is";
            let failure = Failure::about(Path::new(&found.path), detail);
            failure.hint("give --policy-type, for instance `--policy-type act`")
        })?;
        let mut about = About::of_type(policy_type);
        let shown = proposed.filter(|_| self.asks);
        let shown = shown.and_then(|manifest| manifest.policy.robot.clone());
        about.robot = self.args.robot.clone().or(shown);
        Ok(about)
    }

    /// What a reviewer looks at, before anything is asked.
    fn show(&self, found: &Found) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        let mut lines = found.lines();
        if let Some(accepted) = self.session.accepted(&found.target)? {
            let files = &found.surveyed.files;
            lines.extend(
                self.session
                    .changes(&accepted, &found.target, files, &found.path)?,
            );
        }
        lines.iter().for_each(|line| say(line));
        Ok(())
    }

    /// A second signer says exactly what the first did, or nothing.
    fn refuse_other_review(&self, ours: &Manifest, theirs: &Manifest) -> Result<(), Failure> {
        let limits = self.trust.limits();
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
        let hint = "compare with whoever signed first: `tensorgate inspect FILE` shows what the manifest says";
        Err(Failure::about(Path::new("manifest"), detail).hint(hint))
    }

    async fn last_question(&self, manifest: &Manifest) -> Result<(), Failure> {
        if !self.asks {
            return Ok(());
        }
        let robot = match &manifest.policy.robot {
            Some(robot) => format!(" for {robot:?}"),
            None => String::new(),
        };
        let bytes = crate::claims::bytes(manifest);
        let question = format!(
            "sign it as release {} of {}, type {:?}{robot}, {} bytes, until {}, with key {}? [y/N] ",
            manifest.sequence,
            manifest.repo.id,
            manifest.policy.policy_type,
            thousands(bytes),
            manifest.expires,
            self.signer.public().id()
        );
        agree(&question, "to sign").await
    }
}

/// What a manifest says beside the files.
struct Release {
    sequence: u64,
    issued: Timestamp,
    expires: Timestamp,
}

/// A signature that would not count is not worth the questions.
fn refuse_idle_key(
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
            Err(Failure::about(&args.trust, detail)
                .hint("sign with a key that does: `tensorgate trust check` lists them"))
        }
    }
}

/// The same where it was called back by a signed list, as the store remembers it.
fn refuse_revoked_key(
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
            Err(failure.hint("sign with another key: `tensorgate trust check` lists them"))
        }
    }
}

fn refuse_signed_before(
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

fn refuse_other_repo(proposed: Option<&Manifest>, ours: &Repo) -> Result<(), Failure> {
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

/// Whether all that is missing is another's signature.
fn lacks_signers_alone(error: &AdmitError) -> bool {
    match error {
        AdmitError::Check(Error::Rejected(all)) => all
            .iter()
            .all(|found| found.rejection == Rejection::ThresholdNotMet),
        _ => false,
    }
}
