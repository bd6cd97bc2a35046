//! A channel that is asked again and again: what is new, what is worth a word, when to come back.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tensorgate_verify::{Revision, Sha256, SignedManifest};

use crate::error::FetchError;
use crate::release::channel::Channel;
use crate::release::gate::{AdmitError, Admitted, Gate};

/// A channel, and what was made of it so far.
///
/// A round costs one request while the channel stays at the commit that was judged; that the accepted
/// release still counts is judged in every round.
#[derive(Debug)]
pub struct Watch {
    channel: Channel,
    judged: Option<Judged>,
}

/// What a round found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Round {
    /// A release passed.
    Admitted(Box<Admitted>),
    /// The channel is where it was, and the release that was accepted there counts.
    Unchanged,
    /// The channel is where it was, and what it says was refused there; it is not read again in every
    /// round.
    Refused,
}

/// A commit of the channel that need not be read again.
#[derive(Debug)]
struct Judged {
    commit: Revision,
    /// The trust policy by which it was judged.
    trust: Sha256,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    Accepted(SignedManifest),
    /// Refused, `times` in a row, and not to be read for so many rounds.
    Refused {
        times: u32,
        rounds: u32,
    },
}

/// When to ask again.
///
/// A fleet that was switched on together does not ask in step: each pause is another, up to a tenth
/// shorter or longer.
///
/// ```
/// use std::time::Duration;
///
/// let mut pace = tensorgate_hub::Pace::new(Duration::from_secs(300));
/// let next = pace.after(None);
/// assert!((270..=330).contains(&next.as_secs()));
/// ```
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    failures: u32,
}

/// The longest that is waited after failures: 8 intervals.
const BACKOFF: u32 = 3;
/// The most rounds for which what was refused is not fetched again: 15. It may have been damaged on
/// the way, but weights of gigabytes are not to be fetched in vain every few minutes.
const PATIENCE: u32 = 4;
/// The longest `Retry-After` that is obeyed between rounds: one hour. Who answers is not trusted.
const LONGEST: Duration = Duration::from_secs(60 * 60);

impl Watch {
    /// Begins to watch; nothing is sent yet.
    pub const fn new(channel: Channel) -> Self {
        let judged = None;
        Self { channel, judged }
    }

    /// Where it looks.
    pub const fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The commit of the channel that was judged last, if what it says could be had.
    pub fn commit(&self) -> Option<&Revision> {
        self.judged.as_ref().map(|judged| &judged.commit)
    }

    /// Asks the channel once. What it says is taken in as by [`Channel::check`].
    ///
    /// # Errors
    /// As [`Channel::check`]; and, while the channel stays where it is, what the accepted release is
    /// refused for by now: `manifest-expired`, `key-expired`, `key-revoked`, `manifest-revoked`. In any
    /// case what was accepted before stays in the store.
    pub async fn round(&mut self, gate: &Gate<'_>) -> Result<Round, AdmitError> {
        let commit = self.channel.resolve(gate).await?;
        let trust = gate.trust.digest();
        let before = self.judged.take();
        let before = before.filter(|judged| judged.commit == commit && judged.trust == trust);
        let times = match before {
            Some(judged) => match judged.verdict {
                Verdict::Accepted(signed) if is_kept(gate, &signed)? => {
                    return self.still(gate, (commit, trust), signed);
                }
                Verdict::Refused { times, rounds } if rounds > 0 => {
                    let rounds = rounds - 1;
                    self.keep((commit, trust), Verdict::Refused { times, rounds });
                    return Ok(Round::Refused);
                }
                Verdict::Accepted(_) => 0,
                Verdict::Refused { times, .. } => times,
            },
            None => {
                self.channel.tell(gate, &commit);
                0
            }
        };
        self.judge(gate, (commit, trust), times).await
    }

    /// Reads what the channel says at a commit that was refused `times` before.
    async fn judge(
        &mut self,
        gate: &Gate<'_>,
        at: (Revision, Sha256),
        times: u32,
    ) -> Result<Round, AdmitError> {
        match self.channel.check_at(&at.0, gate).await {
            Ok(admitted) => {
                let envelope = admitted.policy.evidence().envelope();
                let signed = SignedManifest::parse(envelope, gate.trust.limits())?;
                self.keep(at, Verdict::Accepted(signed));
                Ok(Round::Admitted(Box::new(admitted)))
            }
            Err(error) => {
                if error.rejection().is_some() {
                    let times = times.saturating_add(1);
                    let rounds = (1 << times.min(PATIENCE)) - 1;
                    self.keep(at, Verdict::Refused { times, rounds });
                }
                Err(error)
            }
        }
    }

    /// Whether the release that was accepted counts now, too.
    fn still(
        &mut self,
        gate: &Gate<'_>,
        at: (Revision, Sha256),
        signed: SignedManifest,
    ) -> Result<Round, AdmitError> {
        let counts = gate.authenticate(&signed, &self.channel.expected);
        self.keep(at, Verdict::Accepted(signed));
        counts.map(|_| Round::Unchanged)
    }

    fn keep(&mut self, (commit, trust): (Revision, Sha256), verdict: Verdict) {
        self.judged = Some(Judged {
            commit,
            trust,
            verdict,
        });
    }
}

impl Pace {
    /// About one round an `interval`.
    pub const fn new(interval: Duration) -> Self {
        let failures = 0;
        Self { interval, failures }
    }

    /// How long to wait after a round. After failures it doubles, up to eightfold, and it is at least
    /// what the Hub asks for; a refusal is no failure.
    pub fn after(&mut self, error: Option<&AdmitError>) -> Duration {
        let failed = error.is_some_and(|error| error.rejection().is_none());
        self.failures = match failed {
            true => self.failures.saturating_add(1).min(BACKOFF),
            false => 0,
        };
        let pause = self.interval.saturating_mul(1 << self.failures);
        let asked = error.and_then(retry_after).unwrap_or_default();
        spread(pause, asked.min(LONGEST))
    }
}

/// Whether the store still has the release, in whatever state.
fn is_kept(gate: &Gate<'_>, signed: &SignedManifest) -> Result<bool, AdmitError> {
    Ok(gate.store.policy(&signed.digest())?.is_some())
}

fn retry_after(error: &AdmitError) -> Option<Duration> {
    match error {
        AdmitError::Fetch(FetchError::Refused(refused)) => refused.retry_after,
        _ => None,
    }
}

/// Between nine and eleven tenths of `pause`; where more was `asked` for, up to a fifth more than that.
fn spread(pause: Duration, asked: Duration) -> Duration {
    let tenth = pause.max(asked) / 10;
    let random = RandomState::new().hash_one(0_u8) % 1024;
    let later = (tenth * 2).mul_f64(random as f64 / 1024.0);
    asked.max(pause.saturating_sub(tenth)).saturating_add(later)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::refused::{Reason, Refused};

    const MINUTE: Duration = Duration::from_secs(60);

    fn limited(seconds: u64) -> AdmitError {
        let refused = Refused {
            reason: Reason::RateLimited,
            status: 429,
            url: "https://hub.example/".into(),
            message: None,
            request_id: None,
            retry_after: Some(Duration::from_secs(seconds)),
            retry_at: None,
        };
        FetchError::from(refused).into()
    }

    fn unreachable() -> AdmitError {
        let (url, cause) = ("https://hub.example/".into(), "gone".into());
        FetchError::Unreachable { url, cause }.into()
    }

    /// That many pauses lie within these bounds and are not all one.
    #[track_caller]
    fn assert_within(pause: impl Fn() -> Duration, least: Duration, most: Duration) {
        let pauses: Vec<Duration> = (0..100).map(|_| pause()).collect();
        assert!(
            pauses.iter().all(|pause| (least..=most).contains(pause)),
            "{pauses:?}"
        );
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
    }

    #[test]
    fn pauses_are_a_tenth_shorter_or_longer() {
        let pause = || Pace::new(MINUTE).after(None);
        assert_within(pause, MINUTE * 9 / 10, MINUTE * 11 / 10);
        // Neither nothing nor everything is too much.
        assert_eq!(Pace::new(Duration::ZERO).after(None), Duration::ZERO);
        Pace::new(Duration::MAX).after(Some(&unreachable()));
    }

    #[test]
    fn after_failures_they_double_up_to_eightfold() {
        let mut pace = Pace::new(MINUTE);
        for times in [2, 4, 8, 8] {
            let pause = pace.after(Some(&unreachable()));
            assert!(pause >= MINUTE * times * 9 / 10 && pause <= MINUTE * times * 11 / 10);
        }
        assert!(pace.after(None) <= MINUTE * 11 / 10);
    }

    #[test]
    fn a_refusal_is_no_failure() {
        let refused = "x".parse::<Revision>().unwrap_err();
        let pause = Pace::new(MINUTE).after(Some(&refused.into()));
        assert!(pause <= MINUTE * 11 / 10);
    }

    #[test]
    fn what_the_hub_asks_for_is_the_least_and_no_more_than_an_hour() {
        let after = |seconds| move || Pace::new(MINUTE).after(Some(&limited(seconds)));
        assert_within(after(600), MINUTE * 10, MINUTE * 12);
        assert_within(after(u64::MAX), LONGEST, LONGEST * 6 / 5);
        assert_within(after(1), MINUTE * 18 / 10, MINUTE * 22 / 10);
    }
}
