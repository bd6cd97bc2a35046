//! Whether the trust policy can be used, today and in a month.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use tensorgate_verify::TrustPolicy;

use super::check::Check;
use crate::args::operator::Check as CheckArgs;
use crate::text::count;
use crate::trust;

/// Time to have a key exchanged, and every robot told.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

pub(super) struct Trusted {
    pub(super) checks: Vec<Check>,
    pub(super) policy: Option<TrustPolicy>,
}

pub(super) fn look(file: Option<&Path>, now: Timestamp) -> Trusted {
    const NAME: &str = "trust";
    let Some(file) = file else {
        let check = Check::skipped(NAME, "no trust policy was named");
        let checks = vec![check.hint("give --trust FILE")];
        return Trusted {
            checks,
            policy: None,
        };
    };
    let args = CheckArgs {
        trust: file.to_owned(),
        repo: None,
        now: Some(now),
    };
    let judged = trust::check::run(&args).and_then(|_| trust::load(file));
    match judged {
        Ok(policy) => Trusted {
            checks: vec![usable(file, &policy), keys(&policy, now)],
            policy: Some(policy),
        },
        Err(failure) => Trusted {
            checks: vec![Check::failed(NAME, failure)],
            policy: trust::load(file).ok(),
        },
    }
}

fn usable(file: &Path, policy: &TrustPolicy) -> Check {
    let (must, of) = (policy.threshold(), count(policy.keys().len(), "key"));
    Check::ok(
        "trust",
        format!("{file:?} can be used: {must} of {of} must sign"),
    )
}

/// Without those that end soon, is the threshold still met?
fn keys(policy: &TrustPolicy, now: Timestamp) -> Check {
    const NAME: &str = "trust-keys";
    let soon = now.saturating_add(SOON).unwrap_or(Timestamp::MAX);
    let ends = policy.keys().iter().filter_map(|key| {
        let end = key.not_after.filter(|end| now <= *end && *end <= soon)?;
        Some(format!("{:?} ends at {end}", key.name))
    });
    let ends: Vec<String> = ends.collect();
    match ends.as_slice() {
        [] => Check::ok(NAME, "none ends within 30 days"),
        ends => Check::warn(NAME, ends.join(", "))
            .hint("make the next key, and add it to the trust policy while the old one counts"),
    }
}
