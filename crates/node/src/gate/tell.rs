//! What people are told of a policy.

use std::time::Instant;

use tensorgate_verify::{Holding, Policy, Unguarded, Verified};

use crate::diagnostics::{About, Channel, Health};
use crate::gate::Gate;
use crate::loading::Held;

impl Gate {
    pub(super) fn tell_held(&self, held: &Held) {
        self.logger.info(&describe(held));
        self.tell_notices(held.announcement.policy());
        self.tell_holds(held.announcement.policy());
    }

    /// What the trust policy lets pass is still said.
    fn tell_notices(&self, policy: &Verified<Policy>) {
        for notice in policy.notices() {
            self.logger.warn(&format!("let pass: {notice}"));
        }
    }

    /// A guarded file costs no memory; one that is not says why.
    fn tell_holds(&self, policy: &Verified<Policy>) {
        for file in policy.tensor_files() {
            let holding = file.hold().holding();
            let line = format!("{} is held {holding}", file.path());
            match holding {
                Holding::Sealed(why) if why != Unguarded::NotAsked => self.logger.warn(&line),
                _ => self.logger.info(&line),
            }
        }
    }

    /// How it does, for `/diagnostics`.
    pub(super) fn diagnose(&mut self) {
        let now = Instant::now();
        let params = self.parameters.params();
        let channel = (!params.channel.is_empty()).then(|| Channel {
            name: params.channel.clone(),
            interval: params.update_interval().unwrap_or_default(),
            polled: self.following.answered(),
        });
        let health = || Health {
            state: self.heartbeat.state(),
            session_id: self.session_id,
            policy: self.held.as_ref().map(|held| About::of(&held.announcement)),
            announced: self.announced.as_ref().map(|announced| announced.since),
            lease: params.lease(),
            channel,
            last_rejection: self.last_rejection.clone(),
        };
        self.diagnostics.tell(&self.node, now, health);
    }

    pub(super) fn tell_announced(&self, held: &Held, epoch: u64) {
        let evidence = held.announcement.policy().evidence();
        self.logger.info(&format!(
            "publishing {}@{}: {} fragments, {} bytes of weights, epoch {epoch}",
            evidence.repo,
            evidence.revision,
            held.announcement.fragment_count(),
            held.announcement.weights_size(),
        ));
    }
}

fn describe(held: &Held) -> String {
    let policy = held.announcement.policy();
    let evidence = policy.evidence();
    let signers: Vec<&str> = evidence
        .signers
        .iter()
        .map(|signer| signer.name.as_str())
        .collect();
    format!(
        "verified {}@{} (sequence {}, manifest {}), signed by {}, {} files, in {:.3} s",
        evidence.repo,
        evidence.revision,
        evidence.sequence,
        evidence.manifest,
        signers.join(", "),
        policy.files().len(),
        held.took.as_secs_f64()
    )
}
