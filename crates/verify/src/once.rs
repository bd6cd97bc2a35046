//! A value that is computed once, by whoever asks first, on whatever thread.

use std::sync::{Mutex, OnceLock, PoisonError};

/// Computed once; who asks meanwhile waits.
///
/// On a thread of rayon's pool nobody waits: who is waited for may need that very thread, or lie
/// beneath on its stack, since a thread that waits for a part of its work takes up other work. So a
/// value that somebody else is at is computed again there, and the first one to be ready is kept.
#[derive(Debug)]
pub(crate) struct Once<T> {
    value: OnceLock<T>,
    turn: Mutex<()>,
}

impl<T> Once<T> {
    pub(crate) const fn new() -> Self {
        Self {
            value: OnceLock::new(),
            turn: Mutex::new(()),
        }
    }

    /// The value; `compute` makes it where there is none yet.
    pub(crate) fn get_or(&self, compute: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.value.get() {
            return value;
        }
        let _turn = match rayon::current_thread_index() {
            None => Some(self.turn.lock().unwrap_or_else(PoisonError::into_inner)),
            Some(_) => self.turn.try_lock().ok(),
        };
        self.settle(compute)
    }

    /// Makes the value, unless it is there or somebody is at it.
    pub(crate) fn make(&self, compute: impl FnOnce() -> T) {
        if let Ok(_turn) = self.turn.try_lock() {
            self.settle(compute);
        }
    }

    /// What was made, if it was.
    pub(crate) fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    fn settle(&self, compute: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.value.get() {
            return value;
        }
        // Before the cell is touched: nobody waits there for longer than a move takes.
        let value = compute();
        self.value.get_or_init(|| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn sixteen_threads_compute_it_once_and_get_the_same() {
        let (once, made, start) = (Once::new(), AtomicUsize::new(0), Barrier::new(16));
        let ask = || {
            start.wait();
            let value = once.get_or(|| {
                made.fetch_add(1, Ordering::Relaxed);
                // Long enough for the others to come.
                thread::sleep(Duration::from_millis(50));
                7
            });
            std::ptr::from_ref(value).addr()
        };
        let places: Vec<usize> = thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(made.into_inner(), 1);
        assert!(places.iter().all(|place| *place == places[0]));
    }

    /// Whether it ends; who waits for itself never does.
    fn ends(work: impl FnOnce() -> usize + Send + 'static) -> bool {
        let (sender, ended) = channel();
        thread::spawn(move || sender.send(work()));
        ended.recv_timeout(Duration::from_secs(20)) == Ok(1)
    }

    fn pool_of_one() -> rayon::ThreadPool {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1);
        pool.build().unwrap()
    }

    /// The one thread of the pool waits for its own work, takes up what else there is, and comes to
    /// the same value, which lies beneath on its stack.
    #[test]
    fn a_thread_of_the_pool_does_not_wait_for_itself() {
        assert!(ends(|| {
            let once = Once::new();
            let asks = || *once.get_or(|| 1);
            let computes = || rayon::join(asks, asks).0;
            pool_of_one().install(|| *once.get_or(computes))
        }));
    }

    /// Who has the turn waits for the pool, whose one thread comes to the same value.
    #[test]
    fn a_thread_of_the_pool_does_not_wait_for_who_waits_for_it() {
        assert!(ends(|| {
            let once = Once::new();
            let asks = || *once.get_or(|| 1);
            *once.get_or(|| pool_of_one().install(asks))
        }));
    }

    #[test]
    fn nobody_makes_it_while_another_is_at_it() {
        let once = Once::new();
        let value = once.get_or(|| {
            once.make(|| 1);
            2
        });
        assert_eq!(*value, 2);
        once.make(|| 3);
        assert_eq!(once.into_inner(), Some(2));
    }
}
