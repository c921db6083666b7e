//! A queue between one poll thread and one worker, with a lane for each partition. Lanes are bounded by weight;
//! the whole can be closed at once.

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
    lanes: Vec<Lane<T>>,
    closed: bool,
}

struct Lane<T> {
    items: VecDeque<(T, usize)>,
    weight: usize,
}

/// The first item of each lane.
pub struct Heads<'a, T>(&'a [Lane<T>]);

impl<T> Heads<'_, T> {
    /// The first item of a lane.
    pub fn of(&self, lane: usize) -> Option<&T> {
        self.0.get(lane)?.items.front().map(|(item, _)| item)
    }
}

/// What a worker wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The first item of this lane.
    Take(usize),
    /// None of these, and to be asked again when another one has come…
    Nothing,
    /// … or when so much time has passed.
    Later(Duration),
}

impl<T> State<T> {
    /// Full, and not only because the worker prefers another lane that has nothing.
    fn is_busy(&self, lane: usize, capacity: usize) -> bool {
        let others = || self.lanes.iter().enumerate().filter(|(other, _)| *other != lane);
        let starving = self.lanes.len() > 1 && others().all(|(_, other)| other.items.is_empty());
        !self.closed && !starving && self.is_full(lane, capacity)
    }

    fn is_full(&self, lane: usize, capacity: usize) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.weight > capacity)
    }
}

impl<T> Queue<T> {
    /// A queue whose lanes take items until their weights exceed `capacity`.
    pub fn new(lanes: usize, capacity: usize) -> Self {
        let lane = || Lane {
            items: VecDeque::new(),
            weight: 0,
        };
        Self {
            state: Mutex::new(State {
                lanes: std::iter::repeat_with(lane).take(lanes).collect(),
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

    /// Adds an item to a lane, waiting up to `wait` for space while the worker is busy.
    ///
    /// # Errors
    /// The item, if the lane is still full. A closed queue swallows it: nobody will ask for it.
    pub fn push(&self, lane: usize, item: T, weight: usize, wait: Duration) -> Result<(), T> {
        let deadline = Instant::now() + wait;
        let mut state = self.lock();
        while state.is_busy(lane, self.capacity) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self
                .space
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if state.closed {
            return Ok(());
        }
        if state.is_full(lane, self.capacity) {
            return Err(item);
        }
        if let Some(lane) = state.lanes.get_mut(lane) {
            lane.items.push_back((item, weight));
            lane.weight += weight;
            self.items.notify_one();
        }
        Ok(())
    }

    /// Takes the next item of any lane, waiting up to `wait` for it.
    pub fn pop(&self, wait: Duration) -> Popped<T> {
        self.pop_by(wait, |heads| {
            let any = heads.0.iter().position(|lane| !lane.items.is_empty());
            any.map_or(Choice::Nothing, Choice::Take)
        })
    }

    /// Takes the item that is chosen, waiting up to `wait` for a choice.
    pub fn pop_by(&self, wait: Duration, mut choose: impl FnMut(&Heads<'_, T>) -> Choice) -> Popped<T> {
        let deadline = Instant::now() + wait;
        let mut state = self.lock();
        loop {
            if state.closed {
                return Popped::Closed;
            }
            let mut left = deadline.saturating_duration_since(Instant::now());
            match choose(&Heads(&state.lanes)) {
                Choice::Take(lane) => {
                    if let Some(lane) = state.lanes.get_mut(lane)
                        && let Some((item, weight)) = lane.items.pop_front()
                    {
                        lane.weight -= weight;
                        self.space.notify_one();
                        return Popped::Item(item);
                    }
                }
                Choice::Nothing => {}
                Choice::Later(wait) => left = left.min(wait.max(Duration::from_millis(1))),
            }
            if Instant::now() >= deadline {
                return Popped::Empty;
            }
            state = self
                .items
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Whether half of a lane is free.
    pub fn has_room(&self, lane: usize) -> bool {
        !self.lock().is_full(lane, self.capacity / 2)
    }

    /// Drops what is queued; the worker sees [`Popped::Closed`] next.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.lanes.clear();
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
        let queue = Queue::new(1, 10);
        assert_eq!(queue.push(0, 'a', 11, SOON), Ok(()));
        assert_eq!(queue.push(0, 'b', 1, SOON), Err('b'));
        assert!(!queue.has_room(0));
        assert_eq!(queue.pop(SOON), Popped::Item('a'));
        assert!(queue.has_room(0));
        assert_eq!(queue.push(0, 'b', 1, SOON), Ok(()));
        assert_eq!(queue.pop(SOON), Popped::Item('b'));
        assert_eq!(queue.pop(SOON), Popped::Empty);
    }

    #[test]
    fn closing_wakes_both_sides_and_drops_what_is_left() {
        let queue = Queue::new(1, 1);
        assert_eq!(queue.push(0, 1, 9, SOON), Ok(()));
        std::thread::scope(|scope| {
            let pusher = scope.spawn(|| queue.push(0, 2, 9, Duration::from_secs(60)));
            queue.close();
            assert_eq!(pusher.join().unwrap(), Ok(()));
        });
        assert_eq!(queue.pop(Duration::from_secs(60)), Popped::Closed);
        assert!(queue.wait_closed(SOON));
    }

    #[test]
    fn a_lane_that_is_held_back_lets_the_other_one_pass() {
        let queue = Queue::new(2, 10);
        let second_first = |heads: &Heads<'_, char>| heads.of(1).map_or(Choice::Nothing, |_| Choice::Take(1));
        assert_eq!(queue.push(0, 'a', 11, SOON), Ok(()));
        assert_eq!(queue.pop_by(SOON, second_first), Popped::Empty);
        // The worker waits for the other lane: nobody may wait for the worker.
        assert_eq!(queue.push(0, 'b', 1, Duration::from_secs(60)), Err('b'));
        assert_eq!(queue.push(1, 'c', 1, SOON), Ok(()));
        assert_eq!(queue.push(0, 'b', 1, SOON), Err('b'));
        assert_eq!(queue.pop_by(SOON, second_first), Popped::Item('c'));
        assert_eq!(queue.pop(SOON), Popped::Item('a'));
    }
}
