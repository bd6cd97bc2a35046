//! `tensorgate fetch --manifest`: what was signed, proven and kept.

use std::path::Path;

use jiff::Timestamp;
use serde_json::json;
use tensorgate_hub::{AdmitError, Admitted, Channel, Expected, FetchError, Gate, Reason, Target};
use tensorgate_verify::{
    MANIFEST_FILE, Manifest, Rejection, SignedManifest, TrustPolicy, Verified,
};

use crate::args::Signed;
use crate::disk;
use crate::failure::Failure;
use crate::fetch::{Asked, Brought, Session};
use crate::memory;
use crate::output::Report;
use crate::trust;
use crate::verify::{evidence_json, evidence_lines};

/// Where the manifest comes from.
pub(crate) enum Origin {
    File(SignedManifest),
    Hub(Channel),
}

impl Session {
    /// Authenticates the manifest, fetches what it lists, proves every byte, and keeps that.
    pub(crate) async fn signed(
        &self,
        asked: &Asked,
        signed: Signed<'_>,
    ) -> Result<Report, Failure> {
        let trust = trust::load(signed.trust)?;
        let expected = asked.expected(self).await?;
        let origin = self.origin(signed.manifest, &trust, &expected)?;
        let gate = self.gate(&trust);
        let admitted = match &origin {
            Origin::File(signed) => gate.admit(signed, &expected).await,
            Origin::Hub(channel) => channel.check(&gate).await,
        };
        let admitted = admitted.map_err(|error| self.explain(error, &expected))?;
        Ok(self.report(&admitted))
    }

    /// The same without the files: what the manifest says, if it counts.
    pub(crate) async fn manifest(
        &self,
        signed: Signed<'_>,
        trust: &TrustPolicy,
        expected: &Expected,
    ) -> Result<Verified<Manifest>, Failure> {
        let gate = self.gate(trust);
        let manifest = match self.origin(signed.manifest, trust, expected)? {
            Origin::File(signed) => gate.authenticate(&signed, expected),
            Origin::Hub(channel) => channel.preview(&gate).await,
        };
        manifest.map_err(|error| self.explain(error, expected))
    }

    pub(crate) fn gate<'a>(&'a self, trust: &'a TrustPolicy) -> Gate<'a> {
        let (hub, progress) = (self.hub.as_ref(), self.progress.as_ref());
        let gate = Gate::new(&self.store, hub, trust, Timestamp::now(), progress);
        match disk::lease_holder() {
            Some(holder) => gate.guarded_by(holder),
            None => gate,
        }
    }

    /// A file or, where there is none of this name, a place on a Hub.
    pub(crate) fn origin(
        &self,
        place: &str,
        trust: &TrustPolicy,
        expected: &Expected,
    ) -> Result<Origin, Failure> {
        let path = Path::new(place);
        let file = || {
            let signed = disk::manifest_at(path, trust.limits());
            let signed = signed.map_err(|failure| failure.or_hint(MANIFEST_PLACE));
            signed.map(Origin::File)
        };
        match place.parse::<Target>() {
            Ok(_) if path.exists() => {
                let notice = format!("the manifest is the file {place:?} here, not one on a Hub");
                self.progress.notice(&notice);
                file()
            }
            _ if path.exists() => file(),
            Err(FetchError::NotATarget { .. }) => file(),
            Ok(_) if self.hub.is_none() => {
                let detail = format!(
                    "the manifest {place:?} is on a Hub, and the network is not to be used"
                );
                Err(Failure::about(path, detail).hint("give --manifest FILE"))
            }
            place => Ok(Origin::Hub(Channel::new(place?, expected.clone()))),
        }
    }

    /// What to do where more is known than the kind of the refusal.
    pub(crate) fn explain(&self, error: AdmitError, expected: &Expected) -> Failure {
        let (no_manifest, other_commit) = match &error {
            AdmitError::Fetch(FetchError::Refused(refused)) => {
                let of_manifest = refused.url.ends_with(MANIFEST_FILE);
                (of_manifest && refused.reason == Reason::FileNotFound, false)
            }
            AdmitError::Check(error) => (
                false,
                error.rejection() == Some(Rejection::RevisionMismatch),
            ),
            _ => (false, false),
        };
        let failure = Failure::from(error);
        match expected.revision {
            Some(_) if other_commit => failure.hint(format!(
                "what was signed is of another commit: `tensorgate fetch {}`, without @ and with the same options, takes that one",
                expected.name()
            )),
            _ if no_manifest => failure.or_hint(MANIFEST_PLACE),
            _ => failure,
        }
    }

    pub(crate) fn report(&self, admitted: &Admitted) -> Report {
        let evidence = admitted.policy.evidence();
        let place = format!("{}@{}", repository(admitted), evidence.revision);
        let news = match admitted.is_new {
            true => "",
            false => ", up to date",
        };
        let path = admitted.directory.path().display().to_string();
        let first = admitted
            .is_first
            .then(|| memory::first_at(self.store.state()));
        let twice = admitted
            .not_shared
            .as_ref()
            .map(|error| format!("it lies on the disk twice: {error}"));
        let mut report = Report {
            verdict: Some("verified"),
            prose: vec![format!("verified: {place:?}{news}")],
            subject: place,
            data: format!("{path}\n"),
            evidence: evidence_json(evidence, admitted.policy.manifest()),
            notices: first.into_iter().chain(twice).collect(),
            waived: admitted.policy.notices().to_vec(),
            ..Report::default()
        };
        report.prose.extend(evidence_lines(evidence));
        let expires = &admitted.policy.manifest().expires;
        report.prose.push(format!("  expires    {expires}"));
        brought(admitted).describe(&mut report);
        let more = [
            ("path", path.into()),
            ("revision", evidence.revision.as_str().into()),
            ("new", admitted.is_new.into()),
        ];
        report
            .more
            .extend(more.map(|(name, value)| (name.to_owned(), value)));
        report
    }
}

/// `OWNER/NAME` as it is typed.
fn repository(admitted: &Admitted) -> String {
    let evidence = admitted.policy.evidence();
    Expected::of(evidence.repo_type, evidence.repo.clone()).name()
}

fn brought(admitted: &Admitted) -> Brought<'_> {
    let signed = &admitted.policy.manifest().files;
    Brought {
        files: signed
            .iter()
            .map(|file| json!({ "path": file.path, "size": file.size, "sha256": file.sha256, "blake3": file.blake3 }))
            .collect(),
        bytes: signed.iter().map(|file| file.size).fold(0, u64::saturating_add),
        received: admitted.received,
        from_store: admitted.from_store,
        left_out: &admitted.left_out,
        why_left_out: "not in the manifest",
    }
}

const MANIFEST_PLACE: &str = "--manifest FILE takes one from here; --manifest OWNER/NAME@main takes policy.dsse.json at a branch or commit on a Hub";
