//! Writers before, during and after the check, while readers compare every byte.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tensorgate_verify::*;

use crate::places::{self, Place};
use crate::support::*;
use crate::writer::{WAYS, Writer};

/// When the writer begins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Moment {
    Before,
    During,
    After,
}

struct Storm {
    guards: bool,
    fixture: Fixture,
    /// As it was signed.
    weights: Vec<u8>,
    /// On the same file system, so that it can be linked and cloned.
    foreign: PathBuf,
    holder: LeaseHolder,
    writer: Writer,
    /// Xorshift, for moments.
    random: u64,
    check_takes: Duration,
    tally: BTreeMap<(Moment, String), usize>,
    held_back: Vec<Duration>,
}

/// How many times every byte was compared.
static COMPARED: AtomicU64 = AtomicU64::new(0);

fn time() -> Option<Duration> {
    let seconds = std::env::var("TENSORGATE_GUARDED_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().unwrap()))
}

#[test]
fn no_writer_changes_a_byte_that_is_read() {
    let places = places::all();
    for place in &places {
        let mut storm = Storm::new(place);
        let share = time().map(|time| time / u32::try_from(places.len()).unwrap());
        let begun = Instant::now();
        let mut rounds = 0;
        // Once each, or for as long as is wanted.
        while rounds == 0 || share.is_some_and(|share| begun.elapsed() < share) {
            for (way, changes) in WAYS {
                storm.before();
                storm.during(way);
                storm.after(way, changes);
                rounds += 3;
            }
        }
        storm.report(place.name(), rounds);
    }
}

impl Storm {
    fn new(place: &Place) -> Self {
        let (guards, place) = (place.guards(), place.path());
        let folder = tempfile::tempdir_in(place).unwrap();
        let fixture = Fixture::inside(folder, &[("actor.bias", 3), ("big", 300_000), ("c", 5)]);
        let weights = fs::read(fixture.path("model.safetensors")).unwrap();
        let foreign = place.join("foreign");
        fs::write(&foreign, vec![0xdd; weights.len()]).unwrap();
        let holder = LeaseHolder::start(LeaseSignal::default(), |event| {
            assert!(
                matches!(event.outcome, LeaseOutcome::Moved { .. }),
                "{event:?}"
            );
        });
        Self {
            guards,
            fixture,
            weights,
            foreign,
            holder: holder.unwrap(),
            writer: Writer::start(),
            random: 0x9e37_79b9_7f4a_7c15,
            check_takes: Duration::ZERO,
            tally: BTreeMap::new(),
            held_back: Vec::new(),
        }
    }

    /// A new file of the signed bytes under the old name.
    fn restore(&self) -> PathBuf {
        let path = self.fixture.path("model.safetensors");
        drop(fs::remove_file(&path));
        fs::write(&path, &self.weights).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(&path, mode).unwrap();
        path
    }

    fn open(&self) -> Result<Verified<Policy>> {
        let manifest = trust(1, &[1]).authenticate(&self.fixture.signed(), &context())?;
        let directory = directory(self.fixture.folder.path()).guarded_by(&self.holder);
        manifest.open(&directory, Proof::Tensors, &Rules::default())
    }

    /// The file was open for writing, and mapped, all the time.
    fn before(&mut self) {
        let path = self.restore();
        self.writer
            .ask("kept", &path, &self.foreign, Duration::ZERO);
        self.writer.answer().unwrap();
        let policy = self.open().unwrap();
        let hold = weights_hold(&policy);
        let why = match self.guards {
            true => Unguarded::BeingWritten,
            false => Unguarded::FileSystem,
        };
        assert_eq!(hold.holding(), Holding::Sealed(why));
        self.compare(hold, |writer| {
            writer.say("go on");
            writer.answer().unwrap();
        });
        self.count(Moment::Before, "sealed");
    }

    /// The file is changed at some moment around the check.
    fn during(&mut self, way: &str) {
        let path = self.restore();
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        // Also a little before, and a little after.
        let most = self.check_takes.as_micros().max(1) * 5 / 4;
        let after = Duration::from_micros(self.random % u64::try_from(most).unwrap());
        self.writer.ask(way, &path, &self.foreign, after);
        match self.open() {
            Ok(policy) => {
                let mut answer = None;
                self.compare(weights_hold(&policy), |writer| {
                    answer = Some(writer.answer())
                });
                let verdict = format!("verified, {}", weights_hold(&policy).holding());
                self.count(Moment::During, &verdict);
            }
            Err(error) => {
                drop(self.writer.answer());
                let code = match &error {
                    // Gone after its name was read.
                    Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => "not there",
                    _ => error
                        .rejection()
                        .unwrap_or_else(|| panic!("{way}: {error}"))
                        .code(),
                };
                self.count(Moment::During, code);
            }
        }
        drop(fs::remove_file(path.with_extension("safetensors~")));
    }

    /// The file is changed while it is held.
    fn after(&mut self, way: &str, changes: bool) {
        let path = self.restore();
        let begun = Instant::now();
        let policy = self.open().unwrap();
        self.check_takes = begun.elapsed();
        let hold = weights_hold(&policy);
        let expected = match self.guards {
            true => Holding::Guarded,
            false => Holding::Sealed(Unguarded::FileSystem),
        };
        assert_eq!(hold.holding(), expected);
        let foreign = self.foreign.clone();
        let mut answer = None;
        self.compare(hold, |writer| {
            writer.ask(way, &path, &foreign, Duration::ZERO);
            answer = Some(writer.answer());
        });
        match answer.unwrap() {
            Ok(held_back) if changes => {
                self.held_back.push(held_back);
                assert_ne!(fs::read(&path).unwrap(), self.weights, "{way} did nothing");
            }
            Ok(_) => {}
            // Not on this file system; the file was opened for writing all the same.
            Err(why) => self.count(Moment::After, &format!("{way}: {}", why.trim())),
        }
        let expected = match changes && self.guards {
            true => Holding::Sealed(Unguarded::Moved),
            false => expected,
        };
        assert_eq!(hold.holding(), expected, "{way}");
        self.count(Moment::After, &expected.to_string());
    }

    /// Compares all bytes again and again while `change` happens, and once afterwards.
    fn compare(&mut self, hold: &Hold, change: impl FnOnce(&mut Writer)) {
        let (done, weights, writer) = (AtomicBool::new(false), &self.weights, &mut self.writer);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = false;
                    while !last {
                        last = done.load(Ordering::Acquire);
                        assert!(hold[..] == weights[..], "a byte changed");
                        COMPARED.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            change(writer);
            done.store(true, Ordering::Release);
        });
    }

    fn count(&mut self, moment: Moment, what: &str) {
        *self.tally.entry((moment, what.to_owned())).or_default() += 1;
    }

    fn report(mut self, place: &str, rounds: usize) {
        let compared = COMPARED.swap(0, Ordering::Relaxed);
        let bytes = self.weights.len();
        println!("{place}: {rounds} rounds; {bytes} bytes compared {compared} times");
        for ((moment, what), count) in &self.tally {
            println!("  {moment:?}: {count} x {what}");
        }
        self.held_back.sort();
        let at = |percent: usize| self.held_back[(self.held_back.len() - 1) * percent / 100];
        let (min, median, p99, max) = (at(0), at(50), at(99), at(100));
        println!("  held back: min {min:?}, median {median:?}, p99 {p99:?}, max {max:?}");
        fs::remove_file(&self.foreign).unwrap();
    }
}

pub(crate) fn weights_hold(policy: &Verified<Policy>) -> &Hold {
    policy.file("model.safetensors").unwrap().hold()
}
