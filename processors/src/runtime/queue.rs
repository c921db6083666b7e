//! A queue between one poll thread and one worker, bounded by weight, that can be closed at once.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What [`Queue::pop`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Popped<T> {
    /// The next item.
    Item(T),
    /// Nothing came in time.
    Empty,
    /// The queue was closed; what was left in it is gone.
    Closed,
}

/// See the module.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    items: Condvar,
    space: Condvar,
    capacity: usize,
}

struct State<T> {
    items: VecDeque<(T, usize)>,
    weight: usize,
    closed: bool,
}

impl<T> Queue<T> {
    /// A queue that takes items until their weights exceed `capacity`.
    pub fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                weight: 0,
                closed: false,
            }),
            items: Condvar::new(),
            space: Condvar::new(),
            capacity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item, waiting up to `wait` for space.
    ///
    /// # Errors
    /// The item, if the queue is still full. A closed queue swallows it: nobody will ask for it.
    pub fn push(&self, item: T, weight: usize, wait: Duration) -> Result<(), T> {
        let deadline = Instant::now() + wait;
        let mut state = self.lock();
        while state.weight > self.capacity && !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(item);
            }
            state = self
                .space
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if !state.closed {
            state.items.push_back((item, weight));
            state.weight += weight;
            self.items.notify_one();
        }
        Ok(())
    }

    /// Takes the next item, waiting up to `wait` for it.
    pub fn pop(&self, wait: Duration) -> Popped<T> {
        let deadline = Instant::now() + wait;
        let mut state = self.lock();
        loop {
            if state.closed {
                return Popped::Closed;
            }
            if let Some((item, weight)) = state.items.pop_front() {
                state.weight -= weight;
                self.space.notify_one();
                return Popped::Item(item);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Popped::Empty;
            }
            state = self
                .items
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Whether half of the queue is free.
    pub fn has_room(&self) -> bool {
        self.lock().weight <= self.capacity / 2
    }

    /// Drops what is queued; the worker sees [`Popped::Closed`] next.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.items.clear();
        state.weight = 0;
        self.items.notify_all();
        self.space.notify_all();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits until it is closed or `wait` is over; says whether it is closed.
    pub fn wait_closed(&self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        let mut state = self.lock();
        while !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .items
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(5);

    #[test]
    fn is_bounded_by_weight_and_refuses_only_after_waiting() {
        let queue = Queue::new(10);
        assert_eq!(queue.push('a', 11, SOON), Ok(()));
        assert_eq!(queue.push('b', 1, SOON), Err('b'));
        assert!(!queue.has_room());
        assert_eq!(queue.pop(SOON), Popped::Item('a'));
        assert!(queue.has_room());
        assert_eq!(queue.push('b', 1, SOON), Ok(()));
        assert_eq!(queue.pop(SOON), Popped::Item('b'));
        assert_eq!(queue.pop(SOON), Popped::Empty);
    }

    #[test]
    fn closing_wakes_both_sides_and_drops_what_is_left() {
        let queue = Queue::new(1);
        assert_eq!(queue.push(1, 9, SOON), Ok(()));
        std::thread::scope(|scope| {
            let pusher = scope.spawn(|| queue.push(2, 9, Duration::from_secs(60)));
            queue.close();
            assert_eq!(pusher.join().unwrap(), Ok(()));
        });
        assert_eq!(queue.pop(Duration::from_secs(60)), Popped::Closed);
        assert!(queue.wait_closed(SOON));
    }
}
