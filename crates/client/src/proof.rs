//! A policy that is there in full, and must be proven: every byte, which takes its time.

use tensorgate_handoff::Handed;
use tensorgate_verify::{Assembly, Manifest, Policy, Proof, Rules, Verified};

use crate::error::Result;
use crate::lease::Lease;

/// A policy that arrived in full, and is not proven yet.
///
/// To [`prove`](Self::prove) it takes as long as hashing its weights does: about a second for 8 GB.
/// It needs no [`Receiver`](crate::Receiver), so that another thread can do it while heartbeats are
/// taken.
#[derive(Debug)]
#[must_use = "it is proven and settled, or what arrived is lost"]
pub struct Candidate {
    pub(crate) lease: Lease,
    pub(crate) source: Source,
    pub(crate) rules: Rules,
}

#[derive(Debug)]
pub(crate) enum Source {
    Arrived(Box<Assembly>),
    Handed(Box<Verified<Manifest>>, Box<Handed>),
}

/// What came of a proof: for [`Receiver::settle`](crate::Receiver::settle).
#[derive(Debug)]
#[must_use = "nothing comes into force before it is settled"]
pub struct Proven {
    pub(crate) lease: Lease,
    /// Whether it is the one that was being received.
    pub(crate) arrived: bool,
    pub(crate) policy: Result<Verified<Policy>>,
}

impl Candidate {
    /// Proves every byte, on all cores.
    pub fn prove(self) -> Proven {
        let Self {
            lease,
            source,
            rules,
        } = self;
        let arrived = matches!(source, Source::Arrived(_));
        let policy = match source {
            Source::Arrived(assembly) => assembly.finish(),
            Source::Handed(manifest, handed) => open(*manifest, *handed, &rules),
        };
        Proven {
            lease,
            arrived,
            policy: policy.map_err(Into::into),
        }
    }
}

fn open(
    manifest: Verified<Manifest>,
    handed: Handed,
    rules: &Rules,
) -> tensorgate_verify::Result<Verified<Policy>> {
    let holds = handed.into_holds(&manifest)?;
    manifest.open_holds(holds, Proof::Tensors, rules)
}
