//! Free runs of consecutive numbers: slots of the arena, and, in runs of one, backend indexes and service ids.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use kproxy_common::SlotRun;

/// An allocator of runs: best fit, lowest first, neighbours grow together again when they are freed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Space {
    /// Base of every free run -> its length.
    by_base: BTreeMap<u32, u32>,
    /// The same runs as (length, base).
    by_length: BTreeSet<(u32, u32)>,
    /// How many numbers all of them hold.
    numbers: u32,
    /// How many numbers there are.
    all: u32,
}

impl Space {
    pub(super) fn new(range: Range<u32>) -> Self {
        let mut space = Self {
            by_base: BTreeMap::new(),
            by_length: BTreeSet::new(),
            numbers: 0,
            all: range.end.saturating_sub(range.start),
        };
        space.free(SlotRun {
            base: range.start,
            count: range.end.saturating_sub(range.start),
        });
        space
    }

    /// A run of `count` numbers; `None` if no free run is that long.
    pub(super) fn take(&mut self, count: u32) -> Option<SlotRun> {
        if count == 0 {
            return Some(SlotRun::default());
        }
        let &(length, base) = self.by_length.range((count, 0)..).next()?;
        self.remove(base, length);
        self.insert(base + count, length - count);
        Some(SlotRun { base, count })
    }

    /// A run of `count` numbers for what can do without: `None` if less than a quarter of all would be left.
    pub(super) fn take_spare(&mut self, count: u32) -> Option<SlotRun> {
        let left = self.numbers.checked_sub(count)?;
        if left < self.all / 4 {
            None
        } else {
            self.take(count)
        }
    }

    /// One number.
    pub(super) fn take_one(&mut self) -> Option<u32> {
        self.take(1).map(|run| run.base)
    }

    /// Takes exactly this run; false, and nothing taken, if a part of it is not free.
    pub(super) fn reserve(&mut self, run: SlotRun) -> bool {
        let SlotRun { base, count } = run;
        if count == 0 {
            return true;
        }
        let Some((&start, &length)) = self.by_base.range(..=base).next_back() else {
            return false;
        };
        let before = base - start;
        if u64::from(length) < u64::from(before) + u64::from(count) {
            return false;
        }
        self.remove(start, length);
        self.insert(start, before);
        self.insert(base + count, length - before - count);
        true
    }

    /// How many numbers are free, in runs of whatever length.
    pub(super) fn free_numbers(&self) -> u32 {
        self.numbers
    }

    /// Gives a run back.
    pub(super) fn free(&mut self, run: SlotRun) {
        let SlotRun { mut base, mut count } = run;
        if count == 0 {
            return;
        }
        if let Some((&start, &length)) = self.by_base.range(..base).next_back()
            && start + length == base
        {
            self.remove(start, length);
            base = start;
            count += length;
        }
        if let Some(&length) = self.by_base.get(&(base + count)) {
            self.remove(base + count, length);
            count += length;
        }
        self.insert(base, count);
    }

    /// Gives one number back.
    pub(super) fn free_one(&mut self, number: u32) {
        self.free(SlotRun {
            base: number,
            count: 1,
        });
    }

    fn insert(&mut self, base: u32, length: u32) {
        if length > 0 {
            self.by_base.insert(base, length);
            self.by_length.insert((length, base));
            self.numbers += length;
        }
    }

    fn remove(&mut self, base: u32, length: u32) {
        self.by_base.remove(&base);
        self.by_length.remove(&(length, base));
        self.numbers -= length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(base: u32, count: u32) -> SlotRun {
        SlotRun { base, count }
    }

    #[test]
    fn takes_the_smallest_run_that_fits() {
        let mut space = Space::new(0..100);
        let [a, b, c] = [10, 4, 10].map(|count| space.take(count).unwrap());
        space.free(a);
        assert_eq!(space.take(4), Some(run(0, 4)));
        space.free(b);
        assert_eq!(
            space.take(10),
            Some(run(4, 10)),
            "the freed neighbours grew together"
        );
        assert_eq!(c, run(14, 10));
    }

    #[test]
    fn a_full_space_says_so_and_recovers() {
        let mut space = Space::new(1..5);
        let all = space.take(4).unwrap();
        assert_eq!(space.take_one(), None);
        space.free(all);
        assert_eq!(space, Space::new(1..5));
    }

    #[test]
    fn what_can_do_without_leaves_a_quarter() {
        let mut space = Space::new(0..100);
        assert_eq!(space.take_spare(76), None);
        assert_eq!(space.take_spare(75), Some(run(0, 75)));
        assert_eq!(space.take_spare(1), None);
        assert_eq!(space.take(25), Some(run(75, 25)));
        assert_eq!(space.take_spare(1), None);
    }

    #[test]
    fn reserves_only_what_is_free() {
        let mut space = Space::new(0..10);
        assert!(space.reserve(run(3, 4)));
        for taken in [
            run(3, 4),
            run(6, 1),
            run(2, 2),
            run(9, 2),
            run(20, 1),
            run(0, u32::MAX),
        ] {
            assert!(!space.reserve(taken), "{taken:?}");
        }
        assert!(space.reserve(run(0, 3)) && space.reserve(run(7, 3)));
        assert_eq!(space.take_one(), None);
    }
}
