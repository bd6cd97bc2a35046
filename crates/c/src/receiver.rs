//! The receiver: messages in, a policy out.

use std::ffi::{CStr, OsStr};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::CWD;
use tensorgate_client::{Candidate, DEFAULT_MAX_BYTES, Expectations, Snapshot};
use tensorgate_handoff::Peers;
use tensorgate_verify::{Limits, TrustPolicy};

use crate::error::{Failure, ResultCode, guard, lock, result};
use crate::message::{Announcement, Fragment, Pull, Status};
use crate::policy::Policy;
use crate::raw::{Text, lend};

/// Receives the policies of one gate. Any thread may use it, several at once: messages are verified
/// one after the other, and nobody who only asks for `state`, `active` or `policy` waits for them.
#[derive(Debug)]
pub struct Receiver {
    inner: Mutex<tensorgate_client::Receiver>,
    /// As of the last message: a control loop does not wait for one that is being verified.
    shown: Mutex<Shown>,
    limits: Limits,
}

// C's threads share both.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Receiver>();
    shared::<Policy>();
};

#[derive(Debug, Default)]
struct Shown {
    snapshot: Snapshot,
    policy: Option<Arc<Policy>>,
}

/// What a receiver is made of. Zero in every field but `trust` is the default.
#[repr(C)]
#[derive(Debug)]
pub struct Options<'a> {
    /// Path of the trust policy, trust.toml: whose signatures count.
    trust: Text<'a>,
    /// The repository to expect, "owner/name"; NULL = any that the keys sign for.
    repo: Text<'a>,
    /// The commit to expect, 40 hexadecimal digits; NULL = any.
    revision: Text<'a>,
    /// Directory of the controller's own that remembers the newest release, so that no older one comes
    /// back after a restart; NULL = it is remembered while the receiver lives.
    state: Text<'a>,
    /// A larger policy is refused before memory is taken for it; 0 = 4 GiB.
    max_bytes: u64,
}

/// Whether there is a policy, and whether it may be acted on.
#[repr(C)]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Nobody knows: stop. (The receiver is NULL, or a call into it panicked.)
    Unknown = 0,
    /// Nothing was announced that could be believed.
    NoPolicy = 1,
    /// A first policy is on its way.
    Receiving = 2,
    /// There is a policy, and the first heartbeat of its gate is awaited: do not act on it yet.
    Verified = 3,
    /// There is a policy, and the gate stands by it: act on it.
    Active = 4,
    /// There is a policy, but the gate is silent, or took it back, or it expired: stop in an orderly
    /// way.
    Stale = 5,
    /// The policy was declared bad: stop at once. Only another policy ends this state.
    Revoked = 6,
}

/// Opens a receiver, to be freed by `tensorgate_receiver_free`; NULL where that failed, and
/// `tensorgate_error_message` says why. `options` are not needed after the call.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_open(options: Option<&Options<'_>>) -> Option<Box<Receiver>> {
    let open = || Receiver::open(options.ok_or_else(|| Failure::misuse("options is NULL"))?);
    guard(open).ok().map(Box::new)
}

/// Ends a receiver, which nobody may be using. The policies that it gave stay. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_free(receiver: Option<Box<Receiver>>) {
    let _ = result(|| {
        drop(receiver);
        Ok(())
    });
}

/// Takes a message of ~/manifest: verifies the signatures, and begins to receive the policy. The one
/// that runs stays until the new one is complete and proven.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_announce(
    receiver: Option<&Receiver>,
    announcement: Option<&Announcement<'_>>,
) -> ResultCode {
    take(receiver, announcement, |receiver, announcement| {
        let announcement = announcement.read(&receiver.limits)?;
        let (now, at) = (Timestamp::now(), Instant::now());
        receiver.prove(|receiver| receiver.begin(announcement, now, at))
    })
}

/// Takes a message of ~/fragments, or one that ~/get_fragments answered with. With the last one every
/// byte is proven, which takes this call about a second for 8 GB and no other call longer; then the
/// policy is there. Where that fails, it must be announced again. Fragments of other policies are
/// ignored.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_fragment(
    receiver: Option<&Receiver>,
    fragment: Option<&Fragment<'_>>,
) -> ResultCode {
    take(receiver, fragment, |receiver, fragment| {
        let fragment = fragment.read()?;
        receiver.prove(|receiver| receiver.accept(&fragment, Instant::now()))
    })
}

/// Takes a message of ~/status, the heartbeat. Its lease runs from this call, by the steady clock.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_status(
    receiver: Option<&Receiver>,
    status: Option<&Status>,
) -> ResultCode {
    take(receiver, status, |receiver, status| {
        let (status, at) = (status.read(), Instant::now());
        receiver.change(|receiver| {
            receiver.status(&status, at);
            Ok(())
        })
    })
}

/// Whether the announcement that a status names is in force or on its way here. If a gate says
/// STATE_READY (3) and this stays 0, its announcement was lost: subscribe to ~/manifest anew.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_knows(
    receiver: Option<&Receiver>,
    status: Option<&Status>,
) -> bool {
    let knows = guard(|| {
        let receiver = receiver.ok_or_else(null_receiver)?;
        let status = status.ok_or_else(null_message)?.read();
        let inner = lock(&receiver.inner)?;
        Ok(inner.knows(status.session, status.epoch))
    });
    knows.unwrap_or(false)
}

/// Whether the policy announced last is on its way. Ask this once an announcement was taken, and only
/// where it is so subscribe to ~/fragments: then its fragment_count is that of the signed weights.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_receiving(receiver: Option<&Receiver>) -> bool {
    let receiving = guard(|| {
        let inner = lock(&receiver.ok_or_else(null_receiver)?.inner)?;
        Ok(inner.receiving().is_some())
    });
    receiving.unwrap_or(false)
}

/// Says what to ask ~/get_fragments for now; `count` is 0 where nothing is due. Call it some ten
/// times a second, and after each answer, until it is: two requests can be under way, and where a third
/// is due the first was lost. `TENSORGATE_RESULT_FAILED` where the transfer brought nothing for so long
/// that it was given up: the next announcement begins anew.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_pull(
    receiver: Option<&Receiver>,
    pull: Option<&mut MaybeUninit<Pull>>,
) -> ResultCode {
    take(receiver, pull, |receiver, pull| {
        let mut due = None;
        receiver.change(|receiver| {
            due = receiver.pull(Instant::now())?;
            Ok(())
        })?;
        pull.write(due.map(Pull::from).unwrap_or_default());
        Ok(())
    })
}

/// Says that the answer to `pull` came, whatever it was, and that all its fragments were taken.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_pulled(
    receiver: Option<&Receiver>,
    pull: Option<&Pull>,
) -> ResultCode {
    take(receiver, pull, |receiver, pull| {
        lock(&receiver.inner)?.pulled(&pull.read(), Instant::now());
        Ok(())
    })
}

/// Takes the policy from the Unix socket of a gate on this machine, whose pages it then reads: no
/// fragments are needed, and the weights are in memory once. The socket is at the path `socket`;
/// where that is NULL, at the place that belongs to the node called `gate`, such as
/// "/robot1/tensorgate". Waits for the gate for `patience_ms` at the most, and then proves every byte.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_take_handed(
    receiver: Option<&Receiver>,
    gate: Text<'_>,
    socket: Text<'_>,
    patience_ms: u32,
) -> ResultCode {
    take(receiver, Some(()), |receiver, ()| {
        let path = place(gate, socket)?;
        let patience = Duration::from_millis(patience_ms.into());
        let peers = Peers::default();
        let handed = tensorgate_handoff::receive(&path, &peers, &receiver.limits, patience)?;
        receiver.prove(|receiver| receiver.take_over(handed, Timestamp::now()))
    })
}

/// Whether there is a policy, and whether it may be acted on now. Act on it only while this is
/// `TENSORGATE_STATE_ACTIVE`. It takes no memory, and waits for nothing but a lock that is held
/// while a pointer is copied.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_state(receiver: Option<&Receiver>) -> State {
    ask(receiver, |shown, at| shown.snapshot.state(at).into()).unwrap_or(State::Unknown)
}

/// The policy to act on, now, to be given back by `tensorgate_policy_free`; NULL unless the state is
/// active. The same policy is the same pointer as long as it is in force. Costs what `state` costs;
/// giving back the last reference to a policy unmaps it, so a control loop keeps one.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_active(receiver: Option<&Receiver>) -> *const Policy {
    let active = ask(receiver, |shown, at| {
        shown.snapshot.active(at)?;
        shown.policy.clone()
    });
    lend(active.ok().flatten())
}

/// The policy last activated, in whatever state, to be given back by `tensorgate_policy_free`; NULL
/// where there is none.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_receiver_policy(receiver: Option<&Receiver>) -> *const Policy {
    let policy = ask(receiver, |shown, _| shown.policy.clone());
    lend(policy.ok().flatten())
}

/// Hands a message to the receiver.
fn take<T>(
    receiver: Option<&Receiver>,
    message: Option<T>,
    work: impl FnOnce(&Receiver, T) -> Result<(), Failure>,
) -> ResultCode {
    result(|| {
        let receiver = receiver.ok_or_else(null_receiver)?;
        work(receiver, message.ok_or_else(null_message)?)
    })
}

/// Asks for what the last message left in force.
fn ask<T>(
    receiver: Option<&Receiver>,
    question: impl FnOnce(&Shown, Instant) -> T,
) -> Result<T, ResultCode> {
    guard(|| {
        let shown = lock(&receiver.ok_or_else(null_receiver)?.shown)?;
        Ok(question(&shown, Instant::now()))
    })
}

fn null_receiver() -> Failure {
    Failure::misuse("the receiver is NULL")
}

fn null_message() -> Failure {
    Failure::misuse("the message is NULL")
}

/// Where a gate hands over.
fn place(gate: Text<'_>, socket: Text<'_>) -> Result<PathBuf, Failure> {
    if let Some(socket) = socket.read() {
        return Ok(path(socket).to_owned());
    }
    let missing = || Failure::misuse("both gate and socket are NULL");
    let gate = gate.text("gate")?.ok_or_else(missing)?;
    let none = || Failure::misuse(format_args!("{gate:?} has no place for a hand-off here"));
    tensorgate_handoff::find(gate).ok_or_else(none)
}

fn path(text: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(text.to_bytes()))
}

impl Receiver {
    fn open(options: &Options<'_>) -> Result<Self, Failure> {
        let trust = options.trust.read();
        let trust = trust.ok_or_else(|| Failure::misuse("trust is NULL"))?;
        let trust = TrustPolicy::open(CWD, path(trust))?;
        let limits = trust.limits().clone();
        let expectations = Expectations {
            repo: parse(options.repo, "repo")?,
            revision: parse(options.revision, "revision")?,
        };
        let max_bytes = match options.max_bytes {
            0 => DEFAULT_MAX_BYTES,
            bytes => bytes,
        };
        let receiver = tensorgate_client::Receiver::new(trust, expectations);
        let mut receiver = receiver.with_max_bytes(max_bytes);
        if let Some(state) = options.state.read() {
            let state = tensorgate_store::State::open(path(state));
            receiver = receiver.with_memory(Box::new(state.map_err(Failure::failed)?));
        }
        Ok(Self {
            inner: Mutex::new(receiver),
            shown: Mutex::default(),
            limits,
        })
    }

    /// Takes what may complete a policy, and proves that while others go on.
    fn prove(
        &self,
        message: impl FnOnce(
            &mut tensorgate_client::Receiver,
        ) -> tensorgate_client::Result<Option<Candidate>>,
    ) -> Result<(), Failure> {
        let mut complete = None;
        self.change(|receiver| {
            complete = message(receiver)?;
            Ok(())
        })?;
        let Some(candidate) = complete else {
            return Ok(());
        };
        let proven = candidate.prove();
        let (now, at) = (Timestamp::now(), Instant::now());
        self.change(|receiver| receiver.settle(proven, now, at).map(drop))
    }

    /// Changes what is in force, and then shows it.
    fn change(
        &self,
        message: impl FnOnce(&mut tensorgate_client::Receiver) -> tensorgate_client::Result<()>,
    ) -> Result<(), Failure> {
        let mut inner = lock(&self.inner)?;
        let outcome = message(&mut inner).map_err(Failure::from);
        let shown = self.show(inner.snapshot());
        drop(inner);
        // Outside of both locks: with its last holder, a policy's memory is unmapped.
        outcome?;
        shown.map(drop)
    }

    /// Shows the state, even where the policy cannot be told in C's terms: then there is none to act
    /// on. Returns what was shown before.
    fn show(&self, snapshot: Snapshot) -> Result<Shown, Failure> {
        let before = lock(&self.shown)?.policy.clone();
        let (policy, made) = match Policy::of(&snapshot, before) {
            Ok(policy) => (policy, Ok(())),
            Err(failure) => (None, Err(failure)),
        };
        let shown = Shown { snapshot, policy };
        let old = std::mem::replace(&mut *lock(&self.shown)?, shown);
        made.map(|()| old)
    }
}

impl From<tensorgate_client::State> for State {
    fn from(state: tensorgate_client::State) -> Self {
        match state {
            tensorgate_client::State::NoPolicy => Self::NoPolicy,
            tensorgate_client::State::Receiving => Self::Receiving,
            tensorgate_client::State::Verified => Self::Verified,
            tensorgate_client::State::Active => Self::Active,
            tensorgate_client::State::Stale => Self::Stale,
            tensorgate_client::State::Revoked => Self::Revoked,
            _ => Self::Unknown,
        }
    }
}

fn parse<T: FromStr<Err: std::fmt::Display>>(
    text: Text<'_>,
    what: &str,
) -> Result<Option<T>, Failure> {
    let parsed = text.text(what)?.map(str::parse).transpose();
    parsed.map_err(|error| Failure::misuse(format_args!("{what}: {error}")))
}
