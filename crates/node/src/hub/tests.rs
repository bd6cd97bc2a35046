use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::*;

#[derive(Default)]
struct Watched {
    done: AtomicU64,
    total: AtomicU64,
    canceled: AtomicBool,
}

impl Observer for Watched {
    fn phase(&self, phase: Phase, total: u64) {
        assert_eq!(phase, Phase::Fetching);
        self.total.store(total, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn note(&self, _text: &str) {}

    fn waiting(&self, _lock: &Path) {}

    fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Relaxed)
    }

    fn commit(&self) -> bool {
        !self.is_canceled()
    }
}

fn watched() -> (Arc<Watched>, Arc<dyn Observer>) {
    let watched = Arc::new(Watched::default());
    (Arc::clone(&watched), watched)
}

#[test]
fn a_file_that_begins_anew_is_not_counted_twice() {
    let (watched, observer) = watched();
    let telling = Telling::new(&observer);
    let (one, other): (FilePath, FilePath) = ("a.json".parse().unwrap(), "b.json".parse().unwrap());
    telling.start(2, 150);
    telling.file_started(&one, 100);
    telling.file_advanced(&one, 60);
    telling.file_started(&other, 50);
    telling.file_resumed(&other, 20);
    telling.file_started(&one, 100);
    telling.file_advanced(&one, 50);
    assert_eq!(watched.done.load(Ordering::Relaxed), 80);
    telling.file_advanced(&one, 50);
    telling.file_advanced(&other, 30);
    let told = (&watched.done, &watched.total);
    let told = (
        told.0.load(Ordering::Relaxed),
        told.1.load(Ordering::Relaxed),
    );
    assert_eq!(told, (150, 150));
}

/// Nothing comes, and nothing wakes it but the clock.
#[test]
fn what_waits_is_called_off_and_what_was_called_off_is_not_begun() {
    let (watched, observer) = watched();
    let waits = std::future::pending::<Result<(), AdmitError>>;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            watched.canceled.store(true, Ordering::Relaxed);
        });
        let outcome = unless_canceled(waits(), &observer);
        assert!(matches!(outcome, Err(Stopped::Locally(error)) if error.is_canceled));
    });
    println!(
        "called off after {:?}, 100 ms of them asked for",
        begun.elapsed()
    );
    let begun = async { unreachable!("it was called off before") };
    let outcome: Result<(), Stopped> = unless_canceled(begun, &observer);
    assert!(outcome.is_err());
}

#[test]
fn a_channel_is_a_branch_and_nothing_else() {
    let config = Config::new("http://127.0.0.1:1".parse().unwrap());
    let open = |place: &str| Online::with(&config, place, &Pins::default());
    assert_eq!(open("acme/walk@main").unwrap().repo().as_str(), "acme/walk");
    let pinned = format!("acme/walk@{}", "0".repeat(40));
    for place in ["acme/walk", "walk@main", "acme/walk@../main", &pinned] {
        let error = open(place).unwrap_err();
        let message = error.message;
        assert!(message.contains("parameter `channel`"), "{message}");
    }
}
