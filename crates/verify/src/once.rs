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
    use std::thread;

    use rayon::prelude::*;

    #[test]
    fn sixteen_threads_compute_it_once_and_get_the_same() {
        let (once, made, start) = (Once::new(), AtomicUsize::new(0), Barrier::new(16));
        let ask = || {
            start.wait();
            let value = once.get_or(|| {
                made.fetch_add(1, Ordering::Relaxed);
                // Long enough for the others to come.
                thread::sleep(std::time::Duration::from_millis(50));
                7
            });
            std::ptr::from_ref(value) as usize
        };
        let places: Vec<usize> = thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(made.into_inner(), 1);
        assert!(places.iter().all(|place| *place == places[0]));
    }

    /// With a cell that waits wherever it is asked, this hangs: each value is made by work that
    /// the pool does, and the pool's threads ask for the others in between.
    #[test]
    fn threads_of_the_pool_do_not_wait_for_each_other() {
        let values: Vec<Once<usize>> = (0..8).map(|_| Once::new()).collect();
        let sum = |n: usize| (0..20_000_usize).into_par_iter().map(|i| i % 7 + n).sum();
        let all_right = || {
            (0..4_000_usize).into_par_iter().all(|i| {
                let n = i % values.len();
                *values[n].get_or(|| sum(n)) == sum(n)
            })
        };
        assert!(thread::scope(|scope| {
            let outside: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        values
                            .iter()
                            .enumerate()
                            .all(|(n, v)| *v.get_or(|| sum(n)) == sum(n))
                    })
                })
                .collect();
            all_right() && outside.into_iter().all(|t| t.join().unwrap())
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
