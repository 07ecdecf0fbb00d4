//! The mirror of `SERVICE_CIDRS`: a list that ends at its first unset element.

use std::collections::{BTreeSet, VecDeque};

use kproxy_common::{AddressRange, maps};

use crate::model::Cidr;

use super::draft::Draft;

/// What the map says, element by element.
#[derive(Clone, Debug)]
pub(super) struct ServiceCidrs(Vec<AddressRange>);

impl ServiceCidrs {
    pub(super) fn new(mut written: Vec<AddressRange>) -> Self {
        written.resize(maps::SERVICE_CIDRS_MAX as usize, AddressRange::UNSET);
        Self(written)
    }

    /// Writes the difference into the draft; answers what has no place in the list.
    ///
    /// What is in a range before and after is in one after every single write. New ranges are appended (or, should the
    /// list be full, take the places of those that go). Then the last ones are copied into the gaps of those that go, and
    /// only then does the list get shorter, from its end.
    pub(super) fn follow(&mut self, wanted: &BTreeSet<Cidr>, draft: &mut Draft) -> Vec<Cidr> {
        let length = self.clean_behind_the_end(draft);
        // A range without a mask contains nothing, and would end the list.
        let mut fitting = wanted.iter().filter(|cidr| !cidr.range().is_unset());
        let listed: Vec<AddressRange> = fitting.by_ref().take(self.0.len()).map(Cidr::range).collect();
        let left_out = fitting.copied().collect();

        let mut gaps = Vec::new();
        let mut missing = listed.clone();
        for (index, written) in self.0[..length].iter().enumerate() {
            match missing.iter().position(|range| range == written) {
                Some(position) => drop(missing.remove(position)),
                None => gaps.push(index),
            }
        }
        let mut end = length;
        let mut gaps = VecDeque::from(gaps);
        for range in missing {
            let gap = if end < self.0.len() {
                None
            } else {
                gaps.pop_front()
            };
            let index = gap.unwrap_or(end);
            end = end.max(index + 1);
            self.write(index, range, draft);
        }
        let stay = (listed.len()..end).filter(|index| !gaps.contains(index));
        let holes = gaps.iter().filter(|index| **index < listed.len());
        let copies: Vec<_> = holes.copied().zip(stay).collect();
        for (hole, from) in copies {
            self.write(hole, self.0[from], draft);
        }
        for index in (listed.len()..end).rev() {
            self.write(index, AddressRange::UNSET, draft);
        }
        left_out
    }

    /// The length of the list; what stands behind it must not come to light when it grows.
    fn clean_behind_the_end(&mut self, draft: &mut Draft) -> usize {
        let length = self.0.iter().take_while(|range| !range.is_unset()).count();
        for index in (length..self.0.len()).rev() {
            if self.0[index] != AddressRange::UNSET {
                self.write(index, AddressRange::UNSET, draft);
            }
        }
        length
    }

    fn write(&mut self, index: usize, range: AddressRange, draft: &mut Draft) {
        self.0[index] = range;
        draft
            .service_cidrs
            .extend(u32::try_from(index).map(|index| (index, range)));
    }
}
