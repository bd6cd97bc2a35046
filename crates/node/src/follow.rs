//! The thread that asks a channel again and again. No ROS in here.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tensorgate_hub::{AdmitError, Pace, Round, Watch};
use tensorgate_verify::{LeaseHolder, Revision, Sha256};
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::hub::{Online, Telling, is_unavailable};
use crate::load::LoadError;
use crate::observer::{Observer, Phase};
use crate::parameters::Settings;
use crate::places::{self, Places};

/// What following a channel brings.
#[derive(Debug)]
pub(crate) enum Followed {
    /// This release is in the store, and accepted.
    Release(Sha256),
    /// What the channel says was refused, or what was accepted counts no more.
    Refused(LoadError),
    /// Nothing could be learnt. Told once.
    Unavailable(LoadError),
    /// It can be followed again.
    Recovered,
    /// A line for people.
    Note(String),
}

/// What is taken from the channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Takes {
    /// Newer releases, and what was called back.
    Releases,
    /// What was called back: the policy itself is named elsewhere.
    Revocations,
}

/// Follows a channel for as long as it lives.
#[derive(Debug)]
pub(crate) struct Follower {
    /// The thread ends when this is gone.
    asked: watch::Sender<Asked>,
    answered: Answered,
}

/// What is asked of the channel, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Asked {
    takes: Takes,
    /// How often that was changed: there and back is a change, too.
    turns: u64,
    /// `None` is not at all.
    interval: Option<Duration>,
}

/// When the channel last answered.
type Answered = Arc<Mutex<Option<Instant>>>;
type Tell = Arc<dyn Fn(Followed) + Send + Sync>;

impl Follower {
    /// Begins to follow. What is told comes from another thread.
    pub(crate) fn start(
        settings: Settings,
        online: Online,
        takes: Takes,
        holder: Option<Arc<LeaseHolder>>,
        tell: impl Fn(Followed) + Send + Sync + 'static,
    ) -> Result<Self, LoadError> {
        let (asked, heard) = watch::channel(Asked {
            takes,
            turns: 0,
            interval: settings.update_interval,
        });
        let answered = Answered::default();
        let tell: Tell = Arc::new(tell);
        let follow = Follow {
            settings,
            watch: Watch::new(online.channel().clone()),
            online,
            takes,
            turns: 0,
            holder,
            known: None,
            said: None,
            last: Instant::now(),
            peace: Instant::now(),
            answered: Arc::clone(&answered),
            observer: Arc::new(Notes(Arc::clone(&tell))),
            tell,
        };
        let no_thread =
            |error| LoadError::could_not(format!("the channel is not followed: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(no_thread)?;
        let thread = thread::Builder::new().name("channel".to_owned());
        let run = move || {
            runtime.block_on(follow.until_nobody_wants_it(heard));
            // A thread that still hashes what came is not waited for.
            runtime.shutdown_background();
        };
        thread.spawn(run).map_err(no_thread)?;
        Ok(Self { asked, answered })
    }

    /// What is taken from now on. The thread stays, and asks when it was due: whoever on the graph
    /// turns it around again and again keeps nothing from the robot that was called back.
    pub(crate) fn take(&self, takes: Takes) {
        self.ask(|asked| {
            let is_turn = asked.takes != takes;
            asked.turns = asked.turns.wrapping_add(u64::from(is_turn));
            asked.takes = takes;
        });
    }

    /// What is taken.
    pub(crate) fn takes(&self) -> Takes {
        self.asked.borrow().takes
    }

    /// How often it is asked from now on; `None` is not at all.
    pub(crate) fn every(&self, interval: Option<Duration>) {
        self.ask(|asked| asked.interval = interval);
    }

    fn ask(&self, change: impl FnOnce(&mut Asked)) {
        self.asked.send_if_modified(|asked| {
            let before = *asked;
            change(asked);
            *asked != before
        });
    }

    /// When the channel last answered.
    pub(crate) fn answered(&self) -> Option<Instant> {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Follow {
    settings: Settings,
    online: Online,
    watch: Watch,
    takes: Takes,
    turns: u64,
    holder: Option<Arc<LeaseHolder>>,
    /// The commit whose list of revocations was taken in.
    known: Option<Revision>,
    /// The trouble that was told last, while it lasts.
    said: Option<Said>,
    /// When the last round ended, or all of it began.
    last: Instant,
    /// Until when the channel is left in peace, whatever pace is wanted.
    peace: Instant,
    answered: Answered,
    observer: Arc<dyn Observer>,
    tell: Tell,
}

/// Trouble that was told.
#[derive(PartialEq)]
struct Said {
    gist: String,
    /// Whether something was refused, and not only could not be had.
    refused: bool,
}

/// What an answer of the channel brought.
enum Answer {
    Release(Sha256),
    Nothing,
    /// What it says was refused, and told, before.
    StillRefused,
}

/// Why a round brought nothing.
enum Trouble {
    /// The trust policy or the disk.
    Here(LoadError),
    There(AdmitError),
}

impl Follow {
    /// A download that hangs is let go of as well; what came of it stays for the next one.
    async fn until_nobody_wants_it(mut self, mut asked: watch::Receiver<Asked>) {
        let mut anybody = asked.clone();
        tokio::select! {
            biased;
            () = nobody(&mut anybody) => {}
            () = self.follow(&mut asked) => {}
        }
    }

    async fn follow(&mut self, asked: &mut watch::Receiver<Asked>) {
        loop {
            let now = *asked.borrow_and_update();
            self.turn_to(&now);
            match now.interval {
                Some(interval) => self.at_this_pace(interval, asked).await,
                None if asked.changed().await.is_err() => return,
                None => {}
            }
        }
    }

    /// What was seen for another purpose does not count.
    fn turn_to(&mut self, asked: &Asked) {
        if self.turns != asked.turns {
            (self.takes, self.turns) = (asked.takes, asked.turns);
            self.watch = Watch::new(self.online.channel().clone());
            self.known = None;
        }
    }

    /// Asks at this pace, until something else is asked.
    async fn at_this_pace(&mut self, interval: Duration, asked: &mut watch::Receiver<Asked>) {
        let mut pace = Pace::new(interval);
        let mut due = (self.last + pace.after(None)).max(self.peace);
        loop {
            tokio::select! {
                _ = asked.changed() => return,
                () = tokio::time::sleep_until(due.into()) => {}
            }
            let takes = self.takes;
            let outcome = tokio::select! {
                biased;
                () = gave_up(takes, asked.clone()) => return,
                outcome = self.round() => outcome,
            };
            self.last = Instant::now();
            let pause = pace.after(match &outcome {
                Err(Trouble::There(error)) => Some(error),
                _ => None,
            });
            due = self.last + pause;
            // After trouble, a shorter pace is no way around what the Hub asked for.
            self.peace = if outcome.is_ok() { self.last } else { due };
            self.tell_of(outcome);
        }
    }

    /// Asks once. Everything is read again each time: a key that was taken out counts no more.
    async fn round(&mut self) -> Result<Answer, Trouble> {
        let trust = places::trust(&self.settings).map_err(Trouble::Here)?;
        let places = Places::open(&self.settings, &self.observer).map_err(Trouble::Here)?;
        let telling = Telling::new(&self.observer);
        let gate = self
            .online
            .gate(&trust, &places, self.holder.as_deref(), &telling);
        let outcome = match self.takes {
            Takes::Releases => self.watch.round(&gate).await.map(Answer::of),
            Takes::Revocations => {
                let channel = self.online.channel();
                let commit = channel.check_revocations(&gate, self.known.as_ref()).await;
                commit.map(|commit| {
                    self.known = Some(commit);
                    Answer::Nothing
                })
            }
        };
        outcome.map_err(Trouble::There)
    }

    fn tell_of(&mut self, outcome: Result<Answer, Trouble>) {
        match outcome {
            Ok(answer) => {
                self.note_answer();
                self.recover(&answer);
                if let Answer::Release(manifest) = answer {
                    (self.tell)(Followed::Release(manifest));
                }
            }
            Err(Trouble::Here(error)) => {
                let gist = error.message.clone();
                self.complain(gist, error);
            }
            Err(Trouble::There(error)) => {
                if !is_unavailable(&error) {
                    self.note_answer();
                }
                let gist = format!("{:?} {}", self.watch.commit(), error.gist());
                self.complain(gist, error.into());
            }
        }
    }

    fn note_answer(&self) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        *answered = Some(Instant::now());
    }

    /// Tells that trouble is over, where there was some. What is still refused is no recovery from its
    /// refusal.
    fn recover(&mut self, answer: &Answer) {
        let still = matches!(answer, Answer::StillRefused);
        if self.said.take_if(|said| !(still && said.refused)).is_some() {
            (self.tell)(Followed::Recovered);
        }
    }

    /// Tells of trouble, unless it is what was told before.
    fn complain(&mut self, gist: String, error: LoadError) {
        let refused = error.rejection.is_some();
        let said = Some(Said { gist, refused });
        if self.said != said {
            self.said = said;
            (self.tell)(match refused {
                true => Followed::Refused(error),
                false => Followed::Unavailable(error),
            });
        }
    }
}

impl Answer {
    fn of(round: Round) -> Self {
        match round {
            Round::Admitted(admitted) => Self::Release(admitted.policy.evidence().manifest),
            Round::Refused => Self::StillRefused,
            _ => Self::Nothing,
        }
    }
}

/// Ready once a round that takes releases is for nothing: a download can take hours, and what was called
/// back does not wait for it. A round for that is not broken off by anything.
async fn gave_up(takes: Takes, mut asked: watch::Receiver<Asked>) {
    let is_over = |asked: &Asked| takes == Takes::Releases && asked.takes == Takes::Revocations;
    if asked.wait_for(is_over).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Ready once nobody asks any more.
async fn nobody(asked: &mut watch::Receiver<Asked>) {
    while asked.changed().await.is_ok() {}
}

/// What is told while the channel is asked.
struct Notes(Tell);

impl Observer for Notes {
    fn phase(&self, _phase: Phase, _total: u64) {}

    fn advance(&self, _bytes: u64) {}

    fn note(&self, text: &str) {
        (self.0)(Followed::Note(text.to_owned()));
    }

    /// Whoever gives up drops all of it.
    fn is_canceled(&self) -> bool {
        false
    }

    fn commit(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
