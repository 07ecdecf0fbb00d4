//! Session affinity by client address (semantics section 6).
//!
//! A service has one record per client, which all its frontends share (6.02). It names a backend's record, and counts
//! only while that backend is one that the frontend would offer this client now (6.05): the sets of the service are
//! marked in the backends' flags, so that no set has to be searched.

use kproxy_common::{Address, Affinity, AffinityKey, Backend, BackendFlags, Door, Nanoseconds};

use crate::balance::Chosen;
use crate::lookup::Offer;
use crate::tables::Tables;

/// Finds the backend that a client had, if it still counts.
#[inline(never)]
pub fn recall<T: Tables>(tables: &T, offer: &Offer, client: &Address, chosen: &mut Chosen) -> bool {
    let key = AffinityKey::new(*client, offer.service);
    let Some(record) = tables.affinity(&key) else {
        return false;
    };
    let kept = Nanoseconds::from_seconds(u64::from(offer.affinity_seconds));
    if record.check != key.check() || tables.now().since(record.seen) >= kept {
        return false;
    }
    let Some(backend) = tables.backend(record.backend) else {
        return false;
    };
    if !is_same(&record, offer, &backend) || !backend.flags.contains(BackendFlags::ALIVE.union(offer.set)) {
        return false;
    }
    *chosen = Chosen::new(record.backend, &backend);
    true
}

/// Whether a backend's record still means the endpoint that the client had: one that was away and has come back is
/// another (6.06).
#[inline(always)]
fn is_same(record: &Affinity, offer: &Offer, backend: &Backend) -> bool {
    backend.service == offer.service
        && backend.generation == record.generation
        && backend.epoch == record.epoch
}

/// Notes the backend of a new connection. The time begins anew with every connection (6.03), and with nothing else.
#[inline(never)]
pub fn remember<T: Tables>(tables: &T, door: Door, client: &Address, chosen: &Chosen) {
    let key = AffinityKey::new(*client, chosen.service);
    let record = Affinity {
        seen: tables.now(),
        backend: chosen.index,
        generation: chosen.generation,
        epoch: chosen.epoch,
        check: key.check(),
    };
    // A refusal has been counted. The connection is made all the same; the next one may meet another backend.
    let _ = tables.insert_affinity(door, &key, &record);
}
