//! A channel as a program follows it: time is an argument, and rounds need no waiting.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::os::fd::OwnedFd;

use common::{ID, Notes, config, files};
use jiff::Timestamp;
use tensorgate_hub::*;
use tensorgate_store::Store;
use tensorgate_testhub::{Fault, Place, Repository, TestHub};
use tensorgate_verify::*;

const LIST: &str = "revocations.dsse.json";
const NOW: &str = "2026-11-23T12:00:00Z";
const EXPIRED: &str = "2027-11-02T00:00:00Z";

/// A Hub with a branch that each release moves, and a robot that follows it.
struct Robot {
    hub: TestHub,
    repository: Repository,
    client: Hub,
    store: Store,
    trust: TrustPolicy,
    watch: Watch,
    said: Notes,
    now: Timestamp,
    dir: tempfile::TempDir,
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn validity() -> (Timestamp, Timestamp) {
    let instant = |text: &str| text.parse().unwrap();
    (
        instant("2026-11-01T00:00:00Z"),
        instant("2027-11-01T00:00:00Z"),
    )
}

fn list(sequence: u64, revoked: &[Revoked]) -> Vec<u8> {
    let revocation = |what: &Revoked| Revocation::new(what.clone(), "stumbles");
    let revoked = revoked.iter().map(revocation).collect();
    let list = Revocations::new(sequence, validity(), revoked);
    let signed = SignedRevocations::sign(&list, &key(), &Limits::default()).unwrap();
    signed.to_bytes()
}

impl Robot {
    fn new() -> Self {
        let hub = TestHub::start().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let pem = key().public_pem().unwrap();
        let text = format!("threshold = 1\n[[keys]]\nname = 'acme'\npublic_key = '''{pem}'''");
        let place = format!("{ID}@main").parse().unwrap();
        let expected = Expected::of(RepoType::Model, ID.parse().unwrap());
        let mut config = config(hub.endpoint(), None);
        config.limits.retries = 0;
        Self {
            client: Hub::new(&config).unwrap(),
            store: Store::open(dir.path().join("store")).unwrap(),
            trust: TrustPolicy::parse(&text, |_| unreachable!()).unwrap(),
            repository: Repository::new(ID).unwrap(),
            watch: Watch::new(Channel::new(place, expected)),
            said: Notes::default(),
            now: NOW.parse().unwrap(),
            hub,
            dir,
        }
    }

    /// The files of a release at a commit, and the envelope that names it.
    fn prepare(&mut self, sequence: u64) -> SignedManifest {
        let folder = self.dir.path().join("published");
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in files() {
            if ["config.json", common::WEIGHTS].contains(&name) {
                fs::write(folder.join(name), bytes).unwrap();
            }
        }
        fs::write(folder.join("README.md"), format!("# {sequence}\n")).unwrap();
        let commit = self.commit(&folder, &[]);
        let directory = Directory::new(OwnedFd::from(fs::File::open(&folder).unwrap()));
        let survey = Survey::new(&Rules::default()).run(&directory).unwrap();
        let repo = Repo::model(ID.parse().unwrap(), commit.parse().unwrap());
        let about = About::of_type("mlp");
        let manifest = Manifest::new(repo, sequence, validity(), about, survey.files);
        SignedManifest::sign(&manifest, &key(), &Limits::default()).unwrap()
    }

    fn commit(&mut self, folder: &std::path::Path, besides: &[(&str, Vec<u8>)]) -> String {
        let files = fs::read_dir(folder).unwrap().map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        });
        let besides = besides
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.clone()));
        let all: Vec<_> = files.chain(besides).collect();
        self.repository = self.repository.clone().commit_files(all).unwrap();
        self.hub.serve(self.repository.clone());
        self.repository.commits().pop().unwrap()
    }

    /// Moves the branch to a manifest and what lies beside it.
    fn publish(&mut self, signed: &SignedManifest, besides: &[(&str, Vec<u8>)]) {
        let manifest = [(MANIFEST_FILE, signed.to_bytes())];
        let folder = self.dir.path().join("published");
        self.commit(&folder, &[&manifest[..], besides].concat());
    }

    fn release(&mut self, sequence: u64) -> SignedManifest {
        let signed = self.prepare(sequence);
        self.publish(&signed, &[]);
        signed
    }

    async fn round(&mut self) -> Result<Round, AdmitError> {
        let gate = Gate::new(
            &self.store,
            Some(&self.client),
            &self.trust,
            self.now,
            &self.said,
        );
        self.watch.round(&gate).await
    }

    /// A round, and how many requests it took.
    async fn counted(&mut self) -> (Result<Round, AdmitError>, usize) {
        self.hub.clear_requests();
        let round = self.round().await;
        (round, self.hub.requests().len())
    }

    /// That a round refuses for exactly this.
    async fn refuses(&mut self, rejection: Rejection) {
        let error = self.round().await.unwrap_err();
        assert_eq!(error.rejection(), Some(rejection), "{error}");
    }

    fn accepted(&self) -> Option<u64> {
        let repo = ID.parse().unwrap();
        let accepted = self.store.last_accepted(RepoType::Model, &repo).unwrap();
        accepted.map(|accepted| accepted.sequence)
    }
}

fn admitted(round: Result<Round, AdmitError>) -> Admitted {
    match round.unwrap() {
        Round::Admitted(admitted) => *admitted,
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn a_release_is_admitted_once_and_then_costs_one_request_a_round() {
    let mut robot = Robot::new();
    let signed = robot.release(1);
    let first = admitted(robot.round().await);
    assert!(first.is_new && first.is_first && !first.from_store);
    assert_eq!(first.policy.evidence().manifest, signed.digest());
    assert_eq!(first.policy.evidence().now, robot.now);
    assert_eq!(robot.accepted(), Some(1));
    for _twice in 0..2 {
        let (round, requests) = robot.counted().await;
        assert!(matches!(round.unwrap(), Round::Unchanged));
        assert_eq!(requests, 1);
    }
    // Another commit that says the same.
    robot.publish(&signed, &[("NOTES.md", b"typo".to_vec())]);
    let (round, requests) = robot.counted().await;
    let again = admitted(round);
    assert!(!again.is_new && again.from_store && again.received == 0);
    assert_eq!(requests, 3);
}

#[tokio::test]
async fn what_expires_while_the_channel_rests_is_told_with_the_robots_clock() {
    let mut robot = Robot::new();
    robot.release(1);
    admitted(robot.round().await);
    robot.now = EXPIRED.parse().unwrap();
    robot.refuses(Rejection::ManifestExpired).await;
    let (round, requests) = robot.counted().await;
    assert_eq!(
        (round.unwrap_err().rejection(), requests),
        (Some(Rejection::ManifestExpired), 1)
    );
    assert_eq!(robot.accepted(), Some(1));
}

#[tokio::test]
async fn what_was_called_back_elsewhere_is_told_while_the_channel_rests() {
    let mut robot = Robot::new();
    let signed = robot.release(1);
    admitted(robot.round().await);
    let list = list(1, &[Revoked::Manifest(signed.digest())]);
    let list = SignedRevocations::parse(&list, robot.trust.limits()).unwrap();
    let context = Context::new(robot.now);
    let list = robot
        .trust
        .authenticate_revocations(&list, &context)
        .unwrap();
    robot.store.state().record_revocations(&list).unwrap();
    robot.refuses(Rejection::ManifestRevoked).await;
}

#[tokio::test]
async fn what_was_refused_is_read_again_ever_more_rarely() {
    let mut robot = Robot::new();
    let mut signed = robot.prepare(1);
    signed
        .add_signature(&SigningKey::from_seed(&[8; 32]), &Limits::default())
        .unwrap();
    let pem = SigningKey::from_seed(&[9; 32]).public_pem().unwrap();
    let text = format!("threshold = 1\n[[keys]]\nname = 'other'\npublic_key = '''{pem}'''");
    let genuine = std::mem::replace(
        &mut robot.trust,
        TrustPolicy::parse(&text, |_| unreachable!()).unwrap(),
    );
    robot.publish(&signed, &[]);
    for rounds_between in [1, 3, 7, 15, 15] {
        robot.refuses(Rejection::SignatureInvalid).await;
        for _round in 0..rounds_between {
            let (round, requests) = robot.counted().await;
            assert!(matches!(round.unwrap(), Round::Refused));
            assert_eq!(requests, 1);
        }
    }
    assert_eq!(robot.accepted(), None);
    // Another trust policy is another judge, and is asked at once.
    robot.refuses(Rejection::SignatureInvalid).await;
    robot.trust = genuine;
    admitted(robot.round().await);
}

#[tokio::test]
async fn what_could_not_be_had_is_asked_for_again_at_once() {
    let mut robot = Robot::new();
    robot.release(1);
    robot.hub.inject_once(Fault::Status {
        place: Place::Resolve,
        status: 503,
    });
    let error = robot.round().await.unwrap_err();
    assert_eq!(error.rejection(), None, "{error}");
    admitted(robot.round().await);
}

#[tokio::test]
async fn what_the_store_has_lost_is_fetched_again() {
    let mut robot = Robot::new();
    robot.release(1);
    let first = admitted(robot.round().await);
    fs::remove_dir_all(first.directory.path()).unwrap();
    let again = admitted(robot.round().await);
    assert!(again.is_new && !again.is_first);
    assert!(again.directory.path().join("config.json").is_file());
}

#[tokio::test]
async fn a_list_of_the_channel_is_kept_before_the_manifest_is_judged() {
    let mut robot = Robot::new();
    let signed = robot.prepare(1);
    let revoked = [Revoked::Manifest(signed.digest())];
    robot.publish(&signed, &[(LIST, list(3, &revoked))]);
    robot.refuses(Rejection::ManifestRevoked).await;
    assert_eq!(robot.accepted(), None);
    let context = Context::new(robot.now);
    let kept = robot
        .store
        .state()
        .revocations(&robot.trust, &context)
        .unwrap();
    assert_eq!(kept.unwrap().sequence, 3);
    // An older list that knows nothing of it: passed over, and what was called back stays so.
    let signed = robot.prepare(2);
    robot.publish(&signed, &[(LIST, list(2, &[]))]);
    admitted(robot.round().await);
    assert!(
        robot.said.all().contains("older than the one kept here"),
        "{}",
        robot.said.all()
    );
    let kept = robot
        .store
        .state()
        .revocations(&robot.trust, &context)
        .unwrap();
    assert_eq!(kept.unwrap().sequence, 3);
}

#[tokio::test]
async fn a_list_that_has_expired_refuses_and_a_robot_finds_out() {
    let mut robot = Robot::new();
    let signed = robot.prepare(1);
    robot.publish(&signed, &[(LIST, list(1, &[]))]);
    admitted(robot.round().await);
    robot.now = EXPIRED.parse().unwrap();
    let error = robot.round().await.unwrap_err();
    assert_eq!(
        error.rejection(),
        Some(Rejection::ManifestExpired),
        "{error}"
    );
    assert!(error.to_string().contains("revocations.expires"), "{error}");
}

#[tokio::test]
async fn a_hub_without_a_word_for_a_missing_file_has_no_list() {
    let mut robot = Robot::new();
    robot.release(1);
    for (status, reason) in [
        (404, None),
        (403, Some(Reason::Forbidden)),
        (500, Some(Reason::Unavailable)),
    ] {
        robot.hub.inject_once(Fault::Status {
            place: Place::Resolve,
            status,
        });
        let round = robot.round().await;
        match (round, reason) {
            (Ok(Round::Admitted(_)), None) => {}
            (Err(AdmitError::Fetch(FetchError::Refused(refused))), Some(reason)) => {
                assert_eq!((refused.reason, refused.status), (reason, status));
            }
            (round, _) => unreachable!("{status}: {round:?}"),
        }
        robot.watch = Watch::new(robot.watch.channel().clone());
    }
}

#[tokio::test]
async fn a_branch_that_goes_back_and_forth_brings_no_older_release_back() {
    let mut robot = Robot::new();
    let first = robot.release(1);
    let second = robot.release(2);
    admitted(robot.round().await);
    robot.publish(&first, &[]);
    robot.refuses(Rejection::ManifestRollback).await;
    assert_eq!(robot.accepted(), Some(2));
    robot.publish(&second, &[]);
    assert!(!admitted(robot.round().await).is_new);
}

#[tokio::test]
async fn the_commit_is_the_one_that_was_signed_whatever_the_branch_has() {
    let mut robot = Robot::new();
    let signed = robot.prepare(1);
    let commit = robot.repository.commits().pop().unwrap();
    // The branch has other weights beside the manifest.
    let folder = robot.dir.path().join("published");
    fs::write(folder.join(common::WEIGHTS), [0; 100]).unwrap();
    robot.publish(&signed, &[]);
    let release = admitted(robot.round().await);
    assert_eq!(release.policy.evidence().revision.as_str(), commit);
    let weights = fs::read(release.directory.path().join(common::WEIGHTS)).unwrap();
    assert_eq!(weights, common::file(common::WEIGHTS));
}

#[tokio::test]
async fn what_is_called_back_is_taken_in_alone_and_once() {
    let mut robot = Robot::new();
    let signed = robot.prepare(1);
    let list = list(1, &[Revoked::Manifest(signed.digest())]);
    robot.publish(&signed, &[(LIST, list)]);
    let channel = robot.watch.channel().clone();
    let gate = Gate::new(
        &robot.store,
        Some(&robot.client),
        &robot.trust,
        robot.now,
        &robot.said,
    );
    robot.hub.clear_requests();
    let commit = channel.check_revocations(&gate, None).await.unwrap();
    assert_eq!(robot.hub.requests().len(), 2);
    let again = channel.check_revocations(&gate, Some(&commit)).await;
    assert_eq!(again.unwrap(), commit);
    assert_eq!(robot.hub.requests().len(), 3);
    let expected = Expected::of(RepoType::Model, ID.parse().unwrap());
    let error = gate.authenticate(&signed, &expected).unwrap_err();
    assert_eq!(error.rejection(), Some(Rejection::ManifestRevoked));
    assert_eq!(robot.accepted(), None);
}

#[tokio::test]
async fn what_is_remembered_elsewhere_is_not_remembered_in_the_store() {
    let mut robot = Robot::new();
    let signed = robot.prepare(1);
    robot.publish(&signed, &[(LIST, list(1, &[]))]);
    let elsewhere = tensorgate_store::State::open(robot.dir.path().join("memory")).unwrap();
    let gate = Gate::new(
        &robot.store,
        Some(&robot.client),
        &robot.trust,
        robot.now,
        &robot.said,
    );
    let gate = gate.remembering(&elsewhere);
    robot.watch.channel().check(&gate).await.unwrap();
    let repo = ID.parse().unwrap();
    let accepted = elsewhere.last_accepted(RepoType::Model, &repo).unwrap();
    assert_eq!(accepted.map(|accepted| accepted.sequence), Some(1));
    let context = Context::new(robot.now);
    let list = elsewhere.revocations(&robot.trust, &context).unwrap();
    assert_eq!(list.map(|list| list.sequence), Some(1));
    assert!(robot.store.state().is_new().unwrap());
    // What is revoked there is refused, though the store has it.
    elsewhere
        .revoke(&signed.digest(), "falls on stairs")
        .unwrap();
    let error = robot.watch.channel().check(&gate).await.unwrap_err();
    assert_eq!(error.rejection(), Some(Rejection::ManifestRevoked));
}

/// Whoever gives up while the bytes are proven finds nothing accepted that was not.
#[tokio::test]
async fn what_is_given_up_while_it_is_proven_is_not_accepted() {
    struct Until(std::sync::atomic::AtomicBool);
    impl Progress for Until {
        fn step(&self, what: &'static str, _bytes: u64) {
            let proving = what == "proving";
            self.0
                .fetch_or(proving, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let mut robot = Robot::new();
    robot.release(1);
    let until = Until(false.into());
    let gate = Gate::new(
        &robot.store,
        Some(&robot.client),
        &robot.trust,
        robot.now,
        &until,
    );
    let given_up = std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        match until.0.load(std::sync::atomic::Ordering::Relaxed) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    });
    tokio::select! {
        biased;
        () = given_up => {}
        outcome = robot.watch.channel().check(&gate) => panic!("{outcome:?}"),
    }
    assert_eq!(robot.accepted(), None);
    assert!(robot.store.state().is_new().unwrap());
    // The files are there for whoever wants them after all.
    robot.hub.clear_requests();
    let again = admitted(robot.round().await);
    assert!(again.from_store && again.is_new);
    assert_eq!(robot.accepted(), Some(1));
}
