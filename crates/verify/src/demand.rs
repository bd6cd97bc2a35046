//! Proof on demand: the header now, each tensor when somebody asks for it.

use std::fmt;
use std::sync::Arc;

use rayon::prelude::*;
use safetensors::tensor::TensorView;

use crate::claim::Claim;
use crate::error::{Error, Findings, Rejected, Rejections, Result};
use crate::once::Once;
use crate::{
    Directory, Evidence, File, FilePath, Header, Hold, Kind, Manifest, Policy, Proof, Rules,
    Verified,
};

/// A policy of which everything is proven but its weights, and of those what was asked for.
///
/// Proven are the signatures, the set of files, every file that holds no weights, the sizes and
/// headers of those that do, and what all of them say together. Nobody is given a byte of a tensor
/// before it was proven, too: it comes as [`Verified`]. The whole is none before
/// [`finish`](Self::finish).
///
/// # Weights while somebody waits
/// ```
/// use std::sync::Arc;
/// use tensorgate_verify::{Directory, Manifest, Policy, Result, Rules, Verified};
///
/// fn start(manifest: Verified<Manifest>, directory: &Directory, rules: &Rules) -> Result<()> {
///     let policy = Arc::new(manifest.open_on_demand(directory, rules)?);
///     // The rest is proven in the background, on all cores.
///     let rest = Arc::clone(&policy);
///     let proven = std::thread::spawn(move || rest.prove_all());
///     // What is needed first is there first, at the cost of its own size.
///     if let Some(gain) = policy.tensor("gain")? {
///         assert_eq!(gain.data().len(), 8);
///     }
///     proven.join().unwrap()
/// }
/// ```
///
/// ```compile_fail,E0308
/// use tensorgate_verify::{OnDemand, Policy, Verified};
///
/// // It is no verified policy: what publishes or hands off does not take it.
/// fn publish(policy: &Verified<Policy>) {}
/// fn early(policy: &OnDemand) {
///     publish(policy);
/// }
/// ```
///
/// ```compile_fail,E0599
/// use tensorgate_verify::OnDemand;
///
/// // A file of weights is not given out, nor its bytes.
/// fn early(policy: &OnDemand) -> &[u8] {
///     policy.bytes()
/// }
/// ```
pub struct OnDemand {
    manifest: Verified<Manifest>,
    rules: Rules,
    /// In the manifest's order.
    parts: Vec<Part>,
    notices: Vec<Rejected>,
}

/// One file of a policy whose weights are not proven yet.
pub(crate) enum Part {
    Proven(Verified<File>),
    Weights(Weights),
}

/// A file of weights, of which the header is proven.
pub(crate) struct Weights {
    file: File,
    /// Of each tensor, in the order of the table.
    verdicts: Box<[Once<Verdict>]>,
}

/// What was found of a tensor: let pass, or refused.
type Verdict = Result<Vec<Rejected>, Rejections>;

impl Verified<Manifest> {
    /// Opens a directory without reading its weights: they are proven when somebody asks for them.
    ///
    /// What is not held under a lease is copied into sealed memory first, as
    /// [`open`](Self::open) does.
    ///
    /// # Errors
    /// As [`open`](Self::open), of everything but the tensors of weights.
    pub fn open_on_demand(self, directory: &Directory, rules: &Rules) -> Result<OnDemand> {
        let begin = |claim: Claim<'_>, file| Part::begin(claim, claim.hold(file)?);
        let parts = self.check_files(directory, rules, begin)?;
        OnDemand::new(self, parts, rules)
    }

    /// The same for bytes that are held already: of every file of the manifest, once.
    ///
    /// # Errors
    /// As [`open_on_demand`](Self::open_on_demand).
    pub fn open_holds_on_demand(
        self,
        holds: Vec<(FilePath, Hold)>,
        rules: &Rules,
    ) -> Result<OnDemand> {
        let parts = self.check_holds(holds, rules, Part::begin)?;
        OnDemand::new(self, parts, rules)
    }
}

impl OnDemand {
    fn new(manifest: Verified<Manifest>, parts: Vec<Part>, rules: &Rules) -> Result<Self> {
        let notices = manifest.audit(parts.iter().map(Part::file), rules)?;
        let rules = rules.clone();
        Ok(Self {
            manifest,
            rules,
            parts,
            notices,
        })
    }

    /// One tensor of the network's weights, proven now unless it was before; whoever asks for it
    /// meanwhile waits. A large one is hashed on all cores.
    ///
    /// # Errors
    /// `digest-mismatch`, `tensor-bool-invalid`, `weights-non-finite`: the same each time.
    /// [`Error::Io`] where the bytes cannot be kept any longer.
    pub fn tensor(&self, name: &str) -> Result<Option<Verified<TensorView<'_>>>> {
        let found = self.weights().find_map(|(claim, weights)| {
            let index = weights.file.position(name)?;
            Some((claim, weights, index))
        });
        let Some((claim, weights, index)) = found else {
            return Ok(None);
        };
        let verdict = weights.verdict(&claim, index)?;
        verdict
            .as_ref()
            .map_err(|refused| Error::Rejected(refused.clone()))?;
        let evidence = Arc::clone(self.manifest.shared_evidence());
        let view = weights.file.tensor_at(index);
        Ok(view.map(|view| Verified::assertion(view, evidence)))
    }

    /// Proves every tensor that is not proven yet, on all cores. To be called in the background.
    ///
    /// # Errors
    /// Every refusal, those found before among them; [`Error::Io`] as [`tensor`](Self::tensor).
    pub fn prove_all(&self) -> Result<()> {
        let tensors: Vec<_> = self
            .weights()
            .flat_map(|(claim, weights)| {
                (0..weights.verdicts.len()).map(move |i| (claim, weights, i))
            })
            .collect();
        // First what nobody is at, then what others were at.
        let unproven = tensors.par_iter();
        unproven.for_each(|(claim, weights, index)| weights.prove(claim, *index));
        let mut findings = Findings::default();
        for (claim, weights, index) in tensors {
            if let Err(refused) = weights.verdict(&claim, index)? {
                findings.note::<()>(Err(Error::Rejected(refused.clone())))?;
            }
        }
        findings.into_result().map(drop)
    }

    /// Proves the rest; the same as if all had been proven when it was opened.
    ///
    /// # Errors
    /// As [`prove_all`](Self::prove_all).
    pub fn finish(self) -> Result<Verified<Policy>> {
        self.prove_all()?;
        let (manifest, rules) = (self.manifest, self.rules);
        let claims = manifest.claims(&rules);
        let files = claims
            .zip(self.parts)
            .map(|(claim, part)| part.finish(&claim));
        let files = files.collect::<Result<Vec<File>>>()?;
        manifest.into_audited(files, &rules)
    }

    /// What was signed.
    pub const fn manifest(&self) -> &Verified<Manifest> {
        &self.manifest
    }

    /// What the proof rests on.
    pub fn evidence(&self) -> &Evidence {
        self.manifest.evidence()
    }

    /// What was found when it was opened, and let pass by the trust policy.
    pub fn notices(&self) -> &[Rejected] {
        &self.notices
    }

    /// The files that were proven when it was opened: all that hold no weights.
    pub fn files(&self) -> impl Iterator<Item = &Verified<File>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Proven(file) => Some(file),
            Part::Weights(_) => None,
        })
    }

    /// The proven tables of the files of weights: names, shapes and places of what may be asked for.
    pub fn headers(&self) -> impl Iterator<Item = (&FilePath, &Header)> {
        self.weights()
            .filter_map(|(_, weights)| Some((weights.file.path(), weights.file.header()?)))
    }

    /// A tensor that nobody proved: for [`Vouched`](crate::Vouched), whose name says so.
    pub(crate) fn unproven(&self, name: &str) -> Option<TensorView<'_>> {
        self.weights()
            .find_map(|(_, weights)| weights.file.tensor(name))
    }

    fn weights(&self) -> impl Iterator<Item = (Claim<'_>, &Weights)> {
        let claims = self.manifest.claims(&self.rules);
        claims
            .zip(&self.parts)
            .filter_map(|(claim, part)| match part {
                Part::Proven(_) => None,
                Part::Weights(weights) => Some((claim, weights)),
            })
    }
}

impl Part {
    fn begin(claim: Claim<'_>, hold: Hold) -> Result<Self> {
        if claim.entry().kind != Kind::Weights {
            return claim.check_hold(hold, Proof::Tensors).map(Self::Proven);
        }
        let file = claim.check_table(hold)?;
        let tensors = file.header().map_or(0, |header| header.tensors.len());
        let verdicts = (0..tensors).map(|_| Once::new()).collect();
        Ok(Self::Weights(Weights { file, verdicts }))
    }

    fn file(&self) -> &File {
        match self {
            Self::Proven(file) => file,
            Self::Weights(weights) => &weights.file,
        }
    }

    fn finish(self, claim: &Claim<'_>) -> Result<File> {
        match self {
            Self::Proven(file) => Ok(file.into_inner()),
            Self::Weights(weights) => weights.finish(claim),
        }
    }
}

impl Weights {
    /// What is to be said of a tensor, once it was looked at.
    fn verdict(&self, claim: &Claim<'_>, index: usize) -> Result<&Verdict> {
        claim.refuse_lost(self.file.hold())?;
        let verdict = self.verdicts.get(index);
        verdict
            .map(|once| once.get_or(|| claim.check_tensor(&self.file, index)))
            .ok_or_else(|| claim.unproven(index))
    }

    /// Looks at a tensor, unless that was done or somebody is at it.
    fn prove(&self, claim: &Claim<'_>, index: usize) {
        // What cannot be kept must be let go of soon.
        let kept = !self.file.hold().is_lost();
        if let Some(once) = self.verdicts.get(index).filter(|_| kept) {
            once.make(|| claim.check_tensor(&self.file, index));
        }
    }

    /// The file, if each of its tensors was looked at and none refused.
    fn finish(self, claim: &Claim<'_>) -> Result<File> {
        let mut notices = Vec::new();
        for (index, verdict) in self.verdicts.into_iter().enumerate() {
            let verdict = verdict.into_inner().ok_or_else(|| claim.unproven(index))?;
            notices.extend(verdict.map_err(Error::Rejected)?);
        }
        claim.refuse_lost(self.file.hold())?;
        Ok(self.file.with_notices(notices))
    }
}

/// Without the files: among them are bytes that nobody proved.
impl fmt::Debug for OnDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnDemand")
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}
