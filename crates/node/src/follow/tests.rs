//! A channel on a Hub of this process, followed many times a second.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};

use jiff::{SignedDuration, Timestamp};
use tensorgate_hub::Config;
use tensorgate_store::Store;
use tensorgate_testhub::{Fault, Place, Repository, TestHub};
use tensorgate_verify::{
    About, Directory, FragmentSize, Limits, MANIFEST_FILE, Manifest, Rejection, Repo, Revocation,
    Revocations, Revoked, Rules, SignedManifest, SignedRevocations, SigningKey, Survey,
};

use super::*;
use crate::load::Pins;

const ID: &str = "acme/walk";
const OFTEN: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);

struct Robot {
    hub: TestHub,
    repository: Repository,
    settings: Settings,
    dir: tempfile::TempDir,
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn validity() -> (Timestamp, Timestamp) {
    let issued = Timestamp::now() - SignedDuration::from_hours(1);
    (issued, "2099-01-01T00:00:00Z".parse().unwrap())
}

impl Robot {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pem = key().public_pem().unwrap();
        let trust = dir.path().join("trust.toml");
        let text = format!("threshold = 1\n[[keys]]\nname = 'acme'\npublic_key = '''{pem}'''");
        fs::write(&trust, text).unwrap();
        let settings = Settings {
            trust,
            store: Some(dir.path().join("store")),
            state: None,
            repo: None,
            revision: None,
            channel: Some(format!("{ID}@main")),
            update_interval: Some(OFTEN),
            fragment_size: FragmentSize::DEFAULT,
            latch_limit: 0,
            guard: None,
            handoff: None,
        };
        Self {
            hub: TestHub::start().unwrap(),
            repository: Repository::new(ID).unwrap(),
            settings,
            dir,
        }
    }

    fn online(&self) -> Online {
        let mut config = Config::new(self.hub.endpoint().parse().unwrap());
        config.limits.retries = 0;
        Online::with(&config, &format!("{ID}@main"), &Pins::default()).unwrap()
    }

    fn follow(&self, takes: Takes) -> (Follower, Receiver<Followed>) {
        let (teller, told) = channel();
        let tell = move |followed| match followed {
            Followed::Note(_) => {}
            other => drop(teller.send(other)),
        };
        let settings = self.settings.clone();
        let follower = Follower::start(settings, self.online(), takes, None, tell);
        (follower.unwrap(), told)
    }

    fn commit(&mut self, files: Vec<(&str, Vec<u8>)>) -> String {
        self.repository = self.repository.clone().commit_files(files).unwrap();
        self.hub.serve(self.repository.clone());
        self.repository.commits().pop().unwrap()
    }

    /// Moves the branch to a release, and what lies beside its manifest.
    fn release(&mut self, sequence: u64, besides: &[(&'static str, Vec<u8>)]) -> Sha256 {
        let readme = format!("# {sequence}\n").into_bytes();
        let files = vec![
            ("config.json", b"{\"type\": \"mlp\"}".to_vec()),
            ("README.md", readme),
        ];
        let folder = self.dir.path().join(sequence.to_string());
        fs::create_dir(&folder).unwrap();
        for (name, bytes) in &files {
            fs::write(folder.join(name), bytes).unwrap();
        }
        let commit = self.commit(files.clone());
        let directory = Directory::new(OwnedFd::from(fs::File::open(&folder).unwrap()));
        let survey = Survey::new(&Rules::default()).run(&directory).unwrap();
        let repo = Repo::model(ID.parse().unwrap(), commit.parse().unwrap());
        let about = About::of_type("mlp");
        let manifest = Manifest::new(repo, sequence, validity(), about, survey.files);
        let signed = SignedManifest::sign(&manifest, &key(), &Limits::default()).unwrap();
        let manifest = [(MANIFEST_FILE, signed.to_bytes())];
        self.commit([&files[..], &manifest, besides].concat());
        signed.digest()
    }

    fn list(&self, revoked: Sha256) -> Vec<u8> {
        let revocation = Revocation::new(Revoked::Manifest(revoked), "falls on stairs");
        let list = Revocations::new(1, validity(), vec![revocation]);
        let signed = SignedRevocations::sign(&list, &key(), &Limits::default()).unwrap();
        signed.to_bytes()
    }

    fn store(&self) -> Store {
        Store::open(self.dir.path().join("store")).unwrap()
    }
}

fn next(told: &Receiver<Followed>) -> Followed {
    told.recv_timeout(PATIENCE).unwrap()
}

#[track_caller]
fn released(told: &Receiver<Followed>, manifest: Sha256) {
    let followed = next(told);
    assert!(
        matches!(followed, Followed::Release(it) if it == manifest),
        "{followed:?}"
    );
}

/// Rounds go by, and nothing is told.
fn silence(robot: &Robot, told: &Receiver<Followed>) {
    robot.hub.clear_requests();
    while robot.hub.requests().len() < 4 {
        assert!(told.recv_timeout(OFTEN).is_err());
    }
}

#[test]
fn each_release_is_told_once() {
    let mut robot = Robot::new();
    let first = robot.release(1, &[]);
    let (follower, told) = robot.follow(Takes::Releases);
    released(&told, first);
    silence(&robot, &told);
    let second = robot.release(2, &[]);
    released(&told, second);
    assert!(robot.store().policy(&second).unwrap().is_some());
    assert!(follower.answered().is_some());
}

#[test]
fn a_refusal_is_told_once_with_its_code() {
    let mut robot = Robot::new();
    let first = robot.release(1, &[]);
    let (_follower, told) = robot.follow(Takes::Releases);
    released(&told, first);
    // A branch that somebody took over.
    robot.commit(vec![(MANIFEST_FILE, b"{}".to_vec())]);
    let Followed::Refused(error) = next(&told) else {
        unreachable!("no refusal")
    };
    assert_eq!(error.rejection, Some(Rejection::ManifestMalformed));
    silence(&robot, &told);
    // A branch without a manifest.
    robot.commit(vec![]);
    let Followed::Unavailable(_) = next(&told) else {
        unreachable!("there is no manifest")
    };
}

#[test]
fn a_hub_that_is_gone_is_told_once_and_so_is_its_return() {
    let mut robot = Robot::new();
    let first = robot.release(1, &[]);
    let (follower, told) = robot.follow(Takes::Releases);
    released(&told, first);
    let fault = Fault::Status {
        place: Place::Api,
        status: 503,
    };
    robot.hub.inject(fault);
    let Followed::Unavailable(error) = next(&told) else {
        unreachable!("it answered")
    };
    assert_eq!(error.rejection, None);
    let answered = follower.answered();
    silence(&robot, &told);
    assert_eq!(follower.answered(), answered);
    robot.hub.clear_faults();
    assert!(matches!(next(&told), Followed::Recovered));
    assert!(follower.answered() > answered);
}

#[test]
fn what_was_called_back_is_kept_and_no_release_taken() {
    let mut robot = Robot::new();
    let elsewhere = Sha256::of(b"elsewhere");
    let list = robot.list(elsewhere);
    robot.release(1, &[("revocations.dsse.json", list)]);
    let (_follower, told) = robot.follow(Takes::Revocations);
    silence(&robot, &told);
    assert!(
        robot
            .dir
            .path()
            .join("store/state/revocations.dsse.json")
            .exists()
    );
    assert_eq!(robot.store().state().accepted().unwrap().len(), 0);
}

#[test]
fn a_broken_trust_policy_takes_nothing_new_in() {
    let mut robot = Robot::new();
    robot.release(1, &[]);
    let text = fs::read(&robot.settings.trust).unwrap();
    fs::write(&robot.settings.trust, "threshold =").unwrap();
    let (_follower, told) = robot.follow(Takes::Releases);
    let Followed::Unavailable(error) = next(&told) else {
        unreachable!("something was taken in")
    };
    assert!(error.message.contains("trust.toml"), "{}", error.message);
    assert_eq!(robot.hub.requests().len(), 0);
    fs::write(&robot.settings.trust, text).unwrap();
    assert!(matches!(next(&told), Followed::Recovered));
    assert!(matches!(next(&told), Followed::Release(_)));
}

#[test]
fn the_pace_counts_at_once_and_none_asks_nobody() {
    let mut robot = Robot::new();
    let first = robot.release(1, &[]);
    robot.settings.update_interval = None;
    let (follower, told) = robot.follow(Takes::Releases);
    assert!(told.recv_timeout(Duration::from_millis(500)).is_err());
    assert_eq!(robot.hub.requests().len(), 0);
    follower.every(Some(Duration::from_secs(86_400)));
    follower.every(Some(OFTEN));
    released(&told, first);
    follower.every(None);
    // A round may be under way.
    while told.recv_timeout(Duration::from_millis(500)).is_ok() {}
    robot.hub.clear_requests();
    assert!(told.recv_timeout(Duration::from_millis(500)).is_err());
    assert_eq!(robot.hub.requests().len(), 0);
}

#[test]
fn who_turns_it_around_again_and_again_puts_nothing_off() {
    let mut robot = Robot::new();
    robot.settings.update_interval = Some(10 * OFTEN);
    let list = robot.list(Sha256::of(b"elsewhere"));
    robot.release(1, &[("revocations.dsse.json", list)]);
    let (follower, _told) = robot.follow(Takes::Revocations);
    let end = Instant::now() + PATIENCE;
    let taken_in = robot.dir.path().join("store/state/revocations.dsse.json");
    while !taken_in.exists() {
        assert!(Instant::now() < end, "the channel was never asked");
        follower.take(Takes::Releases);
        follower.take(Takes::Revocations);
        thread::sleep(OFTEN / 4);
    }
}

#[test]
fn what_is_taken_can_be_changed_and_the_release_that_is_there_is_told() {
    let mut robot = Robot::new();
    let first = robot.release(1, &[]);
    let (follower, told) = robot.follow(Takes::Revocations);
    silence(&robot, &told);
    follower.take(Takes::Releases);
    released(&told, first);
    follower.take(Takes::Revocations);
    silence(&robot, &told);
    follower.take(Takes::Releases);
    released(&told, first);
}

/// Whoever lets go of a release that was told is told it again, however soon he wants it back.
#[test]
fn there_and_back_at_once_the_release_is_told_again() {
    let mut robot = Robot::new();
    let first = robot.release(1, &[]);
    let (follower, told) = robot.follow(Takes::Releases);
    for _ in 0..3 {
        released(&told, first);
        follower.take(Takes::Revocations);
        follower.take(Takes::Releases);
    }
}

/// A release whose download hangs.
fn hanging(robot: &mut Robot) -> (Follower, Receiver<Followed>) {
    robot.release(1, &[]);
    let (path, after) = ("README.md".to_owned(), 1);
    robot.hub.inject(Fault::BodyStalled { path, after });
    let (follower, told) = robot.follow(Takes::Releases);
    let parts = robot.dir.path().join("store/quarantine/model").join(ID);
    let begun = || fs::read_dir(&parts).is_ok_and(|entries| entries.count() > 0);
    let end = Instant::now() + PATIENCE;
    while !begun() {
        assert!(Instant::now() < end, "no download");
        thread::sleep(OFTEN);
    }
    (follower, told)
}

#[test]
fn what_is_called_back_does_not_wait_for_a_release_that_is_wanted_no_more() {
    let mut robot = Robot::new();
    let (follower, told) = hanging(&mut robot);
    let list = robot.list(Sha256::of(b"elsewhere"));
    robot.commit(vec![("revocations.dsse.json", list)]);
    follower.take(Takes::Revocations);
    let end = Instant::now() + PATIENCE;
    let taken_in = robot.dir.path().join("store/state/revocations.dsse.json");
    while !taken_in.exists() {
        assert!(Instant::now() < end, "the list was never taken in");
        thread::sleep(OFTEN);
    }
    // Nor was the download given up because it hung.
    assert!(told.try_recv().is_err());
}

#[test]
fn who_follows_no_more_is_told_nothing_though_a_download_hangs() {
    let mut robot = Robot::new();
    let (follower, told) = hanging(&mut robot);
    drop(follower);
    // The teller goes with the thread.
    let ended = told.recv_timeout(PATIENCE).unwrap_err();
    assert_eq!(ended, std::sync::mpsc::RecvTimeoutError::Disconnected);
}
