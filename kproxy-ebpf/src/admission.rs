//! Source ranges: who may ask a restricted frontend (semantics 3.40 to 3.48).

use kproxy_common::{Address, RangeSetId};

use crate::tables::Tables;

/// Whether a client is in one of these ranges. An unspecified address, which stands for a client that has none, is in no
/// range, however wide the ranges are.
#[inline(never)]
pub fn admits<T: Tables>(tables: &T, ranges: RangeSetId, client: &Address) -> bool {
    ranges == RangeSetId::EVERYBODY || (!client.is_unspecified() && tables.in_source_range(ranges, client))
}
