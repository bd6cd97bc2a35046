//! `tensorgate fetch --watch`: a channel is followed until somebody stops that.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tensorgate_hub::{At, Expected, Pace, Progress, Round, Watch};
use tensorgate_verify::FilePath;

use crate::args::Fetch;
use crate::failure::Failure;
use crate::fetch::{Asked, Session};
use crate::output::{Output, Report};
use crate::progress;
use crate::release::Origin;
use crate::stop;
use crate::trust;

/// Follows a channel; wrong usage, and a trust policy that cannot be used at the start, end it.
pub(crate) fn run(args: &Fetch, interval: Duration, output: Output) -> ExitCode {
    match follow(args, interval, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.finish(Err(failure)),
    }
}

fn follow(args: &Fetch, interval: Duration, output: Output) -> Result<(), Failure> {
    let asked = Asked::of(args)?;
    let session = Session::open(&args.source, output.json())?;
    let Some(signed) = args.signed() else {
        return Err(not_a_channel(&args.target));
    };
    let expected = asked
        .expected_of_newest()
        .ok_or_else(|| pinned(&args.target))?;
    let trust = trust::load(signed.trust)?;
    let channel = match session.origin(signed.manifest, &trust, &expected)? {
        Origin::Hub(channel) if matches!(channel.place.at, At::Name(_)) => channel,
        _ => return Err(not_a_channel(signed.manifest)),
    };
    let mut follower = Follower {
        session,
        watch: Watch::new(channel),
        expected,
        trust: signed.trust.to_owned(),
        pace: Pace::new(interval),
        said: None,
        output,
    };
    // It does not end by itself.
    let forever = async move {
        loop {
            let pause = follower.round().await;
            tokio::time::sleep(pause).await;
        }
    };
    stop::until_stopped::<()>(forever).map(drop)
}

/// Follows one channel, and says what changes.
struct Follower {
    session: Session,
    watch: Watch,
    expected: Expected,
    trust: PathBuf,
    pace: Pace,
    /// The trouble that was told last, while it lasts.
    said: Option<Said>,
    output: Output,
}

/// Trouble that was told.
#[derive(PartialEq)]
struct Said {
    gist: String,
    /// Whether something was refused, and not only could not be had.
    refused: bool,
}

impl Follower {
    /// Asks once, and says for how long not to ask again.
    async fn round(&mut self) -> Duration {
        // Read again each time: a key that was taken out counts no more.
        let trust = match trust::load(&self.trust) {
            Ok(trust) => trust,
            Err(failure) => {
                let failure = failure.note("nothing new is accepted until it can be used");
                self.complain(format!("{failure:?}"), failure);
                return self.pace.after(None);
            }
        };
        let quiet = Quiet(self.session.progress.as_ref());
        let mut gate = self.session.gate(&trust);
        if self.said.is_some() {
            gate = gate.telling(&quiet);
        }
        let outcome = self.watch.round(&gate).await;
        // Bars go before a word is said.
        self.session.progress = progress::choose(self.output.json());
        let pause = self.pace.after(outcome.as_ref().err());
        match outcome {
            Ok(Round::Admitted(admitted)) => {
                self.said = None;
                self.output.tell(Ok(self.session.report(&admitted)));
            }
            Ok(Round::Unchanged) if self.said.take().is_some() => {
                self.recovered("nothing is new, and what was accepted counts");
            }
            Ok(Round::Refused) if self.said.as_ref().is_some_and(|said| !said.refused) => {
                self.said = None;
                self.recovered("what it says is what was refused before");
            }
            Ok(_) => {}
            Err(error) => {
                let gist = format!("{:?} {}", self.watch.commit(), error.gist());
                let failure = self.session.explain(error, &self.expected);
                self.complain(gist, failure);
            }
        }
        pause
    }

    /// Tells of trouble, unless it is what was told before.
    fn complain(&mut self, gist: String, failure: Failure) {
        let refused = matches!(failure, Failure::Rejected(_));
        let said = Some(Said { gist, refused });
        if self.said != said {
            self.said = said;
            self.output.tell(Err(failure));
        }
    }

    /// Tells that the trouble is over.
    fn recovered(&self, how: &str) {
        let subject = self.watch.channel().place.to_string();
        self.output.tell(Ok(Report {
            verdict: Some("done"),
            prose: vec![format!("{subject:?} can be followed again: {how}")],
            subject,
            ..Report::default()
        }));
    }
}

/// Says how a download goes, and leaves out the words about trouble that was told.
struct Quiet<'a>(&'a dyn Progress);

impl Progress for Quiet<'_> {
    fn start(&self, files: usize, bytes: u64) {
        self.0.start(files, bytes);
    }

    fn file_started(&self, path: &FilePath, size: u64) {
        self.0.file_started(path, size);
    }

    fn file_resumed(&self, path: &FilePath, bytes: u64) {
        self.0.file_resumed(path, bytes);
    }

    fn file_advanced(&self, path: &FilePath, bytes: u64) {
        self.0.file_advanced(path, bytes);
    }

    fn file_finished(&self, path: &FilePath) {
        self.0.file_finished(path);
    }

    fn step(&self, what: &'static str, bytes: u64) {
        self.0.step(what, bytes);
    }
}

fn not_a_channel(place: &str) -> Failure {
    let detail = format!("{place:?} is no channel to watch: what is there never changes");
    let hint = "--watch follows a branch: --manifest OWNER/NAME@main --trust FILE";
    Failure::about(Path::new(place), detail).hint(hint)
}

fn pinned(target: &str) -> Failure {
    let detail = format!("{target:?} stands for one commit, and --watch follows what is newest");
    let hint = "leave out @ and what follows: each manifest names its commit";
    Failure::about(Path::new(target), detail).hint(hint)
}
