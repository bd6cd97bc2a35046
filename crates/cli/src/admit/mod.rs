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
mod pages;
mod pinned;
mod place;
mod points;
mod refusals;
mod release;
mod report;
mod review;

use std::path::Path;

use tensorgate_hub::{AdmitError, Expected, Request, Target};
use tensorgate_verify::{
    About, Error, KeyHolder, Manifest, Rejection, Repo, SignedManifest, TrustPolicy,
};

use crate::args::admit::Admit;
use crate::facts::Facts;
use crate::failure::Failure;
use crate::fetch::{self, Session};
use crate::html::{self, Shown};
use crate::keys;
use crate::output::{Report, say};
use crate::stop;
use crate::terminal::{self, agree};
use crate::text::thousands;
use crate::trust;
use decisions::Decisions;
use found::Found;
use place::Place;
use points::Point;
use release::Release;
use review::Review;

pub(crate) fn run(args: &Admit, json: bool) -> Result<Report, Failure> {
    let (outcome, shown) = match admit(args, json) {
        Ok(ended) => ended,
        Err(failure) => (Err(failure), Shown::default()),
    };
    html::write(args.html.file(), ("admit", &args.target), outcome, &shown)
}

/// What came of it, and what there was to see, whatever came of it.
fn admit(args: &Admit, json: bool) -> Result<(Result<Report, Failure>, Shown), Failure> {
    let admission = Admission::prepare(args, json)?;
    stop::to_the_end(async move {
        let mut shown = Shown::default();
        let outcome = Box::pin(admission.run(&mut shown)).await;
        Ok((outcome, shown))
    })
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
        let saved = args.save_decisions.as_deref();
        saved.map(Decisions::refuse_taken).transpose()?;
        let signer = keys::signer(&args.signing)?;
        refusals::idle_key(&trust, signer.as_ref(), &target, args)?;
        if let Some(signed) = &place.proposed {
            refusals::signed_before(signed, signer.as_ref(), &target)?;
        }
        let session = Session::open(&args.source, json)?;
        refusals::revoked_key(&session, &trust, signer.as_ref())?;
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

    async fn run(self, shown: &mut Shown) -> Result<Report, Failure> {
        let plan = self.plan().await?;
        let fetched = self.session.download(Request::new(&plan.target)).await?;
        let found = Found::of(plan.target.clone(), fetched, self.trust.rules(), shown)?;
        let facts = shown.facts.get_or_insert_default();
        let (manifest, decided) = self.review(&plan, &found, facts).await?;
        if let Some(path) = &self.args.save_decisions {
            decided.save(path)?;
        }
        let signed = self.sign(&manifest)?;
        let facts = facts.json();
        shown.externals = decided.externals;
        shown.reviewed_code = decided.reviewed_code;
        let mut idle = self.decisions.idle(&found.asked.undecided);
        // The gate takes the quarantine for itself.
        drop(found);
        let mut report = self.prove(&signed, &manifest, &plan.expected).await?;
        report.notices.append(&mut idle);
        report.more.insert("facts".to_owned(), facts);
        Ok(report)
    }

    /// What is fetched, and which release it is to become.
    async fn plan(&self) -> Result<Plan, Failure> {
        let signed = self.place.proposed.as_ref();
        let proposed = signed.map(|signed| signed.untrusted(self.trust.limits()));
        let proposed = proposed.transpose()?;
        let revision = self.session.pin(&self.target).await?;
        let target = self.target.clone().pinned(revision.clone());
        let mut expected = Expected::of(target.repo_type, target.repo.clone());
        expected.revision = Some(revision.clone());
        let mut repo = Repo::model(target.repo.clone(), revision);
        repo.repo_type = target.repo_type;
        refusals::other_repo(proposed.as_ref(), &repo)?;
        Ok(Plan {
            release: self.release(&target, proposed.as_ref())?,
            target,
            expected,
            repo,
            proposed,
        })
    }

    /// What is to be signed, after every question was answered and the files were found the same.
    async fn review(
        &self,
        plan: &Plan,
        found: &Found,
        facts: &Facts,
    ) -> Result<(Manifest, Decisions), Failure> {
        let proposed = plan.proposed.as_ref();
        let about = self.about(found, proposed)?;
        self.show(found, facts)?;
        let points = Point::of(&found.asked, facts, &about.policy_type)?;
        let review = Review {
            session: &self.session,
            found,
            decisions: &self.decisions,
            proposed,
            asks: self.asks,
        };
        let decided = review.decide(&points).await?;
        found.passes(self.trust.rules(), &decided)?;
        let (repo, release) = (plan.repo.clone(), &plan.release);
        let (span, files) = ((release.issued, release.expires), found.asked.files.clone());
        let mut manifest = Manifest::new(repo, release.sequence, span, about, files);
        manifest.externals.clone_from(&decided.externals);
        manifest.reviewed_code.clone_from(&decided.reviewed_code);
        if let Some(proposed) = proposed {
            refusals::other_review(&manifest, proposed, self.trust.limits())?;
        }
        self.last_question(&manifest).await?;
        Ok((manifest, decided))
    }

    /// A new manifest, or one more signature over the payload of another signer, which says the same.
    fn sign(&self, manifest: &Manifest) -> Result<SignedManifest, Failure> {
        let (signer, limits) = (self.signer.as_ref(), self.trust.limits());
        let Some(mut signed) = self.place.proposed.clone() else {
            return Ok(SignedManifest::sign(manifest, signer, limits)?);
        };
        signed.add_signature(signer, limits)?;
        Ok(signed)
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
                return self.leave_to_others(signed, manifest, expected);
            }
            other => other.map_err(|error| self.session.explain(error, expected))?,
        };
        let admitted = gate.admit(signed, expected).await;
        let admitted = admitted.map_err(|error| self.session.explain(error, expected))?;
        let written = self.place.complete(signed);
        let written =
            written.map_err(|failure| failure.note("the policy is in the store all the same"))?;
        Ok(report::admitted(
            &self.args,
            self.session.report(&admitted),
            written,
        ))
    }

    /// Writes it for those who have to sign it, too, if it counts by this key alone.
    fn leave_to_others(
        &self,
        signed: &SignedManifest,
        manifest: &Manifest,
        expected: &Expected,
    ) -> Result<Report, Failure> {
        let alone = keys::trust_in(&self.signer.public())?;
        let alone = self.session.gate(&alone).authenticate(signed, expected);
        alone.map_err(|error| self.session.explain(error, expected))?;
        let (args, trust) = (&self.args, &self.trust);
        let path = self.place.pending(signed)?;
        Ok(report::pending(args, trust, signed, manifest, path))
    }

    fn about(&self, found: &Found, proposed: Option<&Manifest>) -> Result<About, Failure> {
        let given = match &self.args.policy_type {
            Some(given) => Some(given.clone()),
            None => found.policy_type()?,
        };
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
    fn show(&self, found: &Found, facts: &Facts) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        let mut lines = found.lines(facts);
        if let Some(accepted) = self.session.accepted(&found.target)? {
            let files = &found.asked.files;
            lines.extend(
                self.session
                    .changes(&accepted, &found.target, files, &found.path)?,
            );
        }
        lines.iter().for_each(|line| say(line));
        Ok(())
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

/// What is fetched, and which release it is to become.
struct Plan {
    target: Target,
    expected: Expected,
    repo: Repo,
    release: Release,
    /// What another signer says of it.
    proposed: Option<Manifest>,
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
