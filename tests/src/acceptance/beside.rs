//! Many things at the same time.

use std::collections::BTreeMap;
use std::thread;

/// What comes of every item, in their order, with so many threads.
///
/// # Panics
/// When the work does.
pub fn map<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let work = &work;
    let share = |first: usize| {
        let own = items.iter().enumerate().skip(first).step_by(threads.max(1));
        own.map(|(number, item)| (number, work(item))).collect::<Vec<_>>()
    };
    let share = &share;
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads.max(1))
            .map(|first| scope.spawn(move || share(first)))
            .collect();
        let done = running.into_iter().flat_map(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        done.collect::<BTreeMap<_, _>>().into_values().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_what_they_come_from() {
        let items: Vec<u32> = (0..17).collect();
        assert_eq!(
            map(&items, 4, |item| item * 2),
            (0..17).map(|it| it * 2).collect::<Vec<_>>()
        );
        assert!(map(&[0; 0], 4, |item: &i32| *item).is_empty());
    }
}
