//! Announcements that are refused, each for its own reason, and change nothing.

use std::io;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::support::*;
use tensorgate_client::*;
use tensorgate_verify::{Accepted, Evidence, History, Limits, Rejection, RepoId, RepoType, Sha256};

/// What `announcement` is refused for, by a receiver that runs release 5 of the gate's session 1.
#[track_caller]
fn refused(announcement: Announcement) -> Rejection {
    let (mut receiver, at) = (receiver(), Instant::now());
    Gate::new(5).at(1, 2).send(&mut receiver, at);
    let code = refusal(receiver.announce(announcement, now(), at));
    assert_eq!(receiver.state(at), State::Active);
    assert_eq!(receiver.receiving(), None);
    assert_eq!(receiver.policy().unwrap().evidence().sequence, 5);
    code
}

#[test]
fn an_unknown_key() {
    let foreign = Gate::signed_by(2, REPO, 6).at(2, 1);
    assert_eq!(refused(foreign.announcement()), Rejection::SignatureInvalid);
}

#[test]
fn another_repository() {
    let other = Gate::signed_by(1, "acme/grasp", 6).at(2, 1);
    assert_eq!(refused(other.announcement()), Rejection::RepoMismatch);
}

#[test]
fn a_data_set() {
    let mut receiver = Receiver::new(trust(1), Expectations::default());
    let set = Gate::of_a_data_set(5).announcement();
    let result = receiver.announce(set, now(), Instant::now());
    assert_eq!(refusal(result), Rejection::RepoMismatch);
}

#[test]
fn another_commit() {
    let revision = Some("89abcdef0123456789abcdef0123456789abcdef".parse().unwrap());
    let mut receiver = Receiver::new(
        trust(1),
        Expectations {
            repo: None,
            revision,
        },
    );
    let result = receiver.announce(Gate::new(5).announcement(), now(), Instant::now());
    assert_eq!(refusal(result), Rejection::RevisionMismatch);
}

#[test]
fn an_older_release() {
    let old = Gate::new(4).at(2, 1);
    assert_eq!(refused(old.announcement()), Rejection::ManifestRollback);
}

#[test]
fn an_older_release_of_each_repository_that_ran() {
    let (mut receiver, at) = (
        Receiver::new(trust(1), Expectations::default()),
        Instant::now(),
    );
    Gate::new(5).send(&mut receiver, at);
    Gate::signed_by(1, "acme/grasp", 1)
        .at(1, 2)
        .send(&mut receiver, at);
    let old = Gate::new(4).at(1, 3);
    let result = receiver.announce(old.announcement(), now(), at);
    assert_eq!(refusal(result), Rejection::ManifestRollback);
    Gate::new(5).at(1, 3).send(&mut receiver, at);
}

#[test]
fn an_older_release_than_an_earlier_run_recorded() {
    let (recorded, at) = (Gate::new(5), Instant::now());
    let evidence = recorded.policy.evidence();
    let memory = Kept(Some(Accepted::new(evidence.sequence, evidence.manifest)));
    let mut receiver = receiver().with_memory(Box::new(memory));
    let older = receiver.announce(Gate::new(4).announcement(), now(), at);
    assert_eq!(refusal(older), Rejection::ManifestRollback);
    recorded.send(&mut receiver, at);

    Gate::new(7).at(1, 2).send(&mut receiver, at);
    let between = receiver.announce(Gate::new(6).at(1, 3).announcement(), now(), at);
    assert_eq!(refusal(between), Rejection::ManifestRollback);
}

#[test]
fn anything_while_the_record_cannot_be_read() {
    let mut receiver = receiver().with_memory(Box::new(Kept(None)));
    let result = receiver.announce(Gate::new(5).announcement(), now(), Instant::now());
    let error = result.unwrap_err();
    assert_eq!(error.rejection(), None, "it is no verdict on the manifest");
    assert_eq!(error.detail(), "the record is lost");
}

/// The release that an earlier run accepted, or `None` where the record of it is damaged.
#[derive(Debug)]
struct Kept(Option<Accepted>);

impl Memory for Kept {
    fn record(&mut self, release: &Evidence) -> io::Result<()> {
        if release.sequence == 9 {
            return Err(io::Error::other("no space"));
        }
        self.0 = Some(Accepted::new(release.sequence, release.manifest));
        Ok(())
    }
}

impl History for Kept {
    fn last_accepted(&self, _: RepoType, _: &RepoId) -> io::Result<Option<Accepted>> {
        let lost = || io::Error::other("the record is lost");
        self.0.map(Some).ok_or_else(lost)
    }

    fn is_revoked(&self, _: &Sha256) -> io::Result<bool> {
        Ok(false)
    }
}

#[test]
fn what_cannot_be_remembered_does_not_come_into_force() {
    let at = Instant::now();
    let memory = Kept(Some(Accepted::new(
        0,
        Gate::new(0).policy.evidence().manifest,
    )));
    let mut receiver = receiver().with_memory(Box::new(memory));
    Gate::new(5).send(&mut receiver, at);
    let next = Gate::new(9).at(1, 2);
    receiver.announce(next.announcement(), now(), at).unwrap();
    let results = (0..next.count()).map(|i| receiver.fragment(&next.fragment(i), now(), at));
    let error = results.last().unwrap().unwrap_err();
    assert_eq!(
        (error.rejection(), error.detail()),
        (None, "no space".into())
    );
    assert_eq!(receiver.active(at).unwrap().evidence().sequence, 5);
    assert_eq!(receiver.receiving(), None);
}

#[test]
fn refusals_are_counted() {
    let (mut receiver, at) = (receiver(), Instant::now());
    let foreign = Gate::signed_by(2, REPO, 6);
    for count in 1..4 {
        let _refused = receiver.announce(foreign.announcement(), now(), at);
        let refusals = receiver.refusals();
        assert_eq!(refusals.count, count);
        assert_eq!(refusals.last, Some(Rejection::SignatureInvalid));
    }
    let gate = Gate::new(5);
    receiver.announce(gate.announcement(), now(), at).unwrap();
    let forged = Fragment {
        data: &[0],
        ..gate.fragment(0)
    };
    let _refused = receiver.fragment(&forged, now(), at);
    assert_eq!(receiver.refusals().last, Some(Rejection::SizeMismatch));
    gate.complete(&mut receiver, at);
    assert_eq!(receiver.refusals().count, 4, "and what is genuine is not");
}

#[test]
fn epoch_zero() {
    let unknown = Gate::new(6).at(2, 0);
    assert_eq!(
        refused(unknown.announcement()),
        Rejection::ManifestMalformed
    );
}

#[test]
fn an_expired_manifest() {
    let mut receiver = receiver();
    let later = instant("2027-11-01T00:00:00Z");
    let result = receiver.announce(Gate::new(5).announcement(), later, Instant::now());
    assert_eq!(refusal(result), Rejection::ManifestExpired);
}

#[test]
fn a_policy_beyond_the_bound() {
    let (gate, at) = (Gate::new(5), Instant::now());
    let total: u64 = gate
        .policy
        .manifest()
        .files
        .iter()
        .map(|file| file.size)
        .sum();
    let mut too_small = receiver().with_max_bytes(total - 1);
    let result = too_small.announce(gate.announcement(), now(), at);
    assert_eq!(refusal(result), Rejection::SizeMismatch);
    assert_eq!(too_small.state(at), State::NoPolicy);
    gate.send(&mut receiver().with_max_bytes(total), at);
}

#[test]
fn an_envelope_beyond_the_bound() {
    let bound = Limits::default().manifest_bytes as usize;
    let huge = Announcement {
        envelope: vec![b' '; bound + 1],
        ..Gate::new(6).at(2, 1).announcement()
    };
    assert_eq!(refused(huge), Rejection::ManifestTooLarge);
}

#[test]
fn a_fragment_size_that_is_none() {
    for fragment_size in [0, 1024, (64 << 10) + 1, 16 << 20] {
        let odd = Announcement {
            fragment_size,
            ..Gate::new(6).at(2, 1).announcement()
        };
        assert_eq!(refused(odd), Rejection::SizeMismatch);
    }
}

#[test]
fn a_table_of_another_length() {
    let mut short = Gate::new(6).at(2, 1).announcement();
    short.fragment_digests.pop();
    assert_eq!(refused(short), Rejection::SizeMismatch);
    let mut long = Gate::new(6).at(2, 1).announcement();
    long.fragment_digests.extend([0; 32]);
    long.fragment_count += 1;
    assert_eq!(refused(long), Rejection::SizeMismatch);
}

#[test]
fn a_table_of_other_weights() {
    let mut announcement = Gate::new(6).at(2, 1).announcement();
    announcement.fragment_digests = Gate::new(7).announcement().fragment_digests;
    assert_eq!(refused(announcement), Rejection::DigestMismatch);
}

#[test]
fn a_file_that_is_missing_foreign_or_altered() {
    let genuine = Gate::new(6).at(2, 1).announcement();
    let mut missing = genuine.clone();
    missing.files.pop();
    assert_eq!(refused(missing), Rejection::FileMissing);
    let mut foreign = genuine.clone();
    foreign.files.push(("README.md".to_owned(), Vec::new()));
    assert_eq!(refused(foreign), Rejection::FileUnexpected);
    let mut outside = genuine.clone();
    outside.files[0].0 = "../config.json".to_owned();
    assert_eq!(refused(outside), Rejection::FileNameUnsafe);
    let mut altered = genuine.clone();
    altered.files[0].1[2] ^= 1;
    assert_eq!(refused(altered), Rejection::DigestMismatch);
    let mut header = genuine;
    header.files[1].1[20] ^= 1;
    assert_eq!(refused(header), Rejection::DigestMismatch);
}

/// A memory that knows of an instant which has passed.
#[derive(Debug)]
struct Later(Timestamp);

impl Memory for Later {
    fn record(&mut self, _: &Evidence) -> io::Result<()> {
        Ok(())
    }
}

impl History for Later {
    fn last_accepted(&self, _: RepoType, _: &RepoId) -> io::Result<Option<Accepted>> {
        Ok(None)
    }

    fn clock_floor(&self) -> io::Result<Option<Timestamp>> {
        Ok(Some(self.0))
    }

    fn is_revoked(&self, _: &Sha256) -> io::Result<bool> {
        Ok(false)
    }
}

/// Whoever puts the clock back wins no time.
#[test]
fn time_below_the_floor_of_the_clock() {
    let (gate, at) = (Gate::new(5), Instant::now());
    let floor = instant("2027-10-31T23:59:59.9Z");
    let mut receiver = receiver().with_memory(Box::new(Later(floor)));
    gate.send(&mut receiver, at);
    let left = Duration::from_millis(100);
    assert_eq!(receiver.state(at + left / 2), State::Active);
    assert_eq!(receiver.state(at + left), State::Stale);
    let over = Later(instant("2027-11-01T00:00:00Z"));
    let mut receiver = crate::support::receiver().with_memory(Box::new(over));
    let result = receiver.announce(gate.announcement(), now(), at);
    assert_eq!(refusal(result), Rejection::ManifestExpired);
}
