//! Any sequence of messages and times, from bytes: whoever sends what in whatever order, some things
//! always hold. Driven by proptest here, and by libFuzzer in `fuzz/`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tensorgate_client::*;
use tensorgate_verify::{Policy, Verified};

use crate::support::*;

/// Releases 5 to 7 of the one policy that is expected, and one that a stranger signed.
static GATES: LazyLock<[Gate; 4]> = LazyLock::new(|| {
    let stranger = Gate::signed_by(2, REPO, 8);
    [Gate::new(5), Gate::new(6), Gate::new(7), stranger]
});

/// Does what `input` says, and looks after each step; says how it ended, and with which release.
pub(crate) fn drive(input: &[u8]) -> (State, Option<u64>) {
    let mut world = World::new();
    let mut input = Input(input.iter());
    while let Some(step) = input.byte() {
        world.step(step, &mut input);
        world.look();
    }
    let release = world.newest.map(|policy| policy.evidence().sequence);
    (world.receiver.state(world.at), release)
}

struct Input<'a>(std::slice::Iter<'a, u8>);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.0.next().copied()
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte().unwrap_or(0)) % bound
    }
}

/// The receiver, and what must hold of it.
struct World {
    receiver: Receiver,
    begun: Instant,
    at: Instant,
    /// Until when any heartbeat lets any policy be acted on.
    leased: Instant,
    revoked: BTreeSet<[u8; 32]>,
    newest: Option<Arc<Verified<Policy>>>,
    refused: u64,
    candidates: VecDeque<Candidate>,
    asked: Option<Pull>,
}

impl World {
    fn new() -> Self {
        let begun = Instant::now();
        Self {
            receiver: receiver(),
            begun,
            at: begun,
            leased: begun,
            revoked: BTreeSet::new(),
            newest: None,
            refused: 0,
            candidates: VecDeque::new(),
            asked: None,
        }
    }

    fn step(&mut self, step: u8, input: &mut Input<'_>) {
        let gate = &GATES[usize::from(step >> 6)];
        match step % 10 {
            0 => self.announce(gate, input, false),
            1 => self.announce(gate, input, true),
            2 => self.fragment(gate, input, false),
            3 => self.fragment(gate, input, true),
            4 => (0..gate.count()).for_each(|index| self.take(&gate.fragment(index))),
            5 | 6 => self.status(gate, input),
            7 => self.wait(input),
            8 => self.pull(gate, input),
            _ => self.settle(),
        }
    }

    /// The wall clock goes with the steady one.
    fn now(&self) -> Timestamp {
        now().checked_add(self.at - self.begun).unwrap()
    }

    fn announce(&mut self, gate: &Gate, input: &mut Input<'_>, forged: bool) {
        let mut announcement = gate.replay(input.below(3) as u8, input.below(4) as u64);
        announcement.delivery = input.below(4) as u8;
        if forged {
            forge(&mut announcement, input);
        }
        let begun = self.receiver.begin(announcement, self.now(), self.at);
        self.candidates.extend(begun.ok().flatten());
    }

    fn fragment(&mut self, gate: &Gate, input: &mut Input<'_>, forged: bool) {
        let genuine = gate.fragment(input.below(gate.count()));
        let mut data = genuine.data.to_vec();
        if forged {
            data.truncate(input.below(3) * (64 << 10));
            flip(&mut data, input);
        }
        let fragment = Fragment {
            session: [input.below(3) as u8; 16],
            epoch: input.below(4) as u64,
            index: genuine
                .index
                .wrapping_add(if forged { input.below(3) as u32 } else { 0 }),
            data: &data,
        };
        self.take(&fragment);
    }

    fn take(&mut self, fragment: &Fragment<'_>) {
        let accepted = self.receiver.accept(fragment, self.at);
        self.candidates.extend(accepted.ok().flatten());
    }

    fn status(&mut self, gate: &Gate, input: &mut Input<'_>) {
        let mut status = gate.status(input.below(256) as u64, input.below(9) as u8);
        status.session = [input.below(3) as u8; 16];
        status.epoch = input.below(4) as u64;
        status.lease = Duration::from_millis(100 * input.below(256) as u64);
        if status.state == Status::READY {
            let lease = status.lease.min(MAX_LEASE);
            self.leased = self.leased.max(self.at + lease);
        }
        if status.state == Status::REVOKED {
            self.revoked.insert(status.manifest_digest);
        }
        self.receiver.status(&status, self.at);
    }

    /// Milliseconds, seconds, or years.
    fn wait(&mut self, input: &mut Input<'_>) {
        let unit = [1, 100, 10_000, 2_000_000_000][input.below(4)];
        self.at += Duration::from_millis(unit * input.below(16) as u64);
    }

    fn pull(&mut self, gate: &Gate, input: &mut Input<'_>) {
        let receiving = self.receiver.receiving();
        match self.receiver.pull(self.at) {
            Ok(Some(pull)) => {
                assert_eq!(receiving, Some((pull.session, pull.epoch)));
                let mut missing = self.receiver.missing();
                let range = pull.first..pull.first + pull.count;
                assert!(
                    range
                        .clone()
                        .all(|index| missing.any(|m| m == index as usize))
                );
                assert!(!range.is_empty() && range.len() <= 64);
                drop(missing);
                self.asked = Some(pull);
            }
            Ok(None) => {}
            Err(_) => assert_eq!(self.receiver.receiving(), None),
        }
        let Some(pull) = self.asked.filter(|_| input.below(2) == 1) else {
            return;
        };
        for index in pull.first..pull.first + pull.count {
            if (index as usize) < gate.count() {
                self.take(&gate.fragment(index as usize));
            }
        }
        self.receiver.pulled(&pull, self.at);
    }

    fn settle(&mut self) {
        if let Some(candidate) = self.candidates.pop_front() {
            let (now, at) = (self.now(), self.at);
            let _refused = self.receiver.settle(candidate.prove(), now, at);
        }
    }

    fn look(&mut self) {
        self.look_at_policy();
        let (state, receiver) = (self.receiver.state(self.at), &self.receiver);
        let policy = receiver.policy();
        assert_eq!(receiver.active(self.at).is_some(), state == State::Active);
        assert_eq!(
            state == State::Receiving,
            policy.is_none() && receiver.receiving().is_some()
        );
        if let Some(policy) = policy {
            let evidence = policy.evidence();
            let revoked = self.revoked.contains(evidence.manifest.as_bytes());
            assert_eq!(state == State::Revoked, revoked, "latched, and immediate");
            if state == State::Active {
                assert!(self.at < self.leased, "nobody stands by it");
                assert!(self.now() < evidence.until, "it expired");
            }
        }
        let refused = receiver.refusals().count;
        assert!(refused >= self.refused);
        self.refused = refused;
        assert!(receiver.missing().count() <= GATES[0].count());
    }

    /// It is genuine to the last byte, and never older than the last.
    fn look_at_policy(&mut self) {
        let Some(policy) = self.receiver.policy() else {
            return assert!(self.newest.is_none(), "what was verified stays");
        };
        if self
            .newest
            .as_ref()
            .is_some_and(|newest| Arc::ptr_eq(newest, policy))
        {
            return;
        }
        let evidence = policy.evidence();
        if let Some(newest) = &self.newest {
            assert!(evidence.sequence > newest.evidence().sequence);
        }
        let genuine = GATES[..3].iter().map(|gate| &gate.policy);
        let mut same = genuine.filter(|genuine| genuine.evidence().manifest == evidence.manifest);
        assert_eq!(bytes(policy), bytes(same.next().expect("a stranger's")));
        self.newest = Some(Arc::clone(policy));
    }
}

fn forge(announcement: &mut Announcement, input: &mut Input<'_>) {
    match input.below(7) {
        0 => flip(&mut announcement.envelope, input),
        1 => flip(&mut announcement.fragment_digests, input),
        2 => {
            let file = input.below(announcement.files.len());
            flip(&mut announcement.files[file].1, input);
        }
        3 => drop(announcement.files.pop()),
        4 => announcement.fragment_count = u32::MAX - input.below(2) as u32,
        5 => announcement.fragment_size = 1_u32 << input.below(32),
        _ => announcement.envelope.truncate(input.below(256)),
    }
}

fn flip(data: &mut [u8], input: &mut Input<'_>) {
    let (high, low) = (input.below(256), input.below(256));
    let place = (high << 8 | low) % data.len().max(1);
    if let Some(byte) = data.get_mut(place) {
        *byte ^= 1;
    }
}
