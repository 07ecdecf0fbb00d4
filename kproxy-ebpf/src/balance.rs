//! A frontend's choice among its backends: uniformly random, once per new flow.

use kproxy_common::{
    Backend, BackendFlags, BackendIndex, Counter, Door, Frontend, FrontendFlags, FrontendKey, SlotRun,
};

use crate::tables::Tables;

/// How often a choice is made anew, when the frontend was swapped between two looks at the maps.
const ATTEMPTS: usize = 3;

/// Which side of a frontend's policies a client is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// A socket of this node, a pod, or a source that the local-traffic detector knows.
    Inside,
    /// Everybody else.
    Outside,
}

/// What a frontend has to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This backend.
    Backend(BackendIndex, Backend),
    /// No such frontend.
    NoFrontend,
    /// No backends: reject.
    Reject,
    /// Backends exist, but none that this client may use: drop.
    Drop,
}

/// Chooses a backend for a new flow.
#[inline(always)]
pub fn choose<T: Tables>(tables: &T, door: Door, key: &FrontendKey, client: Client) -> Choice {
    for _ in 0..ATTEMPTS {
        let Some(frontend) = tables.frontend(key) else {
            return Choice::NoFrontend;
        };
        if frontend.check != key.check() {
            tables.count(door, Counter::Raced);
            continue;
        }
        let (run, drop_when_empty) = match client {
            Client::Inside => (frontend.inside, FrontendFlags::DROP_INSIDE),
            Client::Outside => (frontend.outside, FrontendFlags::DROP_OUTSIDE),
        };
        if run.count == 0 {
            return if frontend.flags.contains(drop_when_empty) {
                Choice::Drop
            } else {
                Choice::Reject
            };
        }
        if let Some((index, backend)) = pick(tables, &frontend, run) {
            return Choice::Backend(index, backend);
        }
        tables.count(door, Counter::Raced);
    }
    Choice::Reject
}

/// Picks a slot of a run. `None` if the record there is not a living backend of this service: the run was freed
/// after the frontend had been read, and reading the frontend again finds the new run.
#[inline(always)]
fn pick<T: Tables>(tables: &T, frontend: &Frontend, run: SlotRun) -> Option<(BackendIndex, Backend)> {
    // The high half of a product of 32 random bits is uniform to within count / 2^32, without a division.
    let offset = (u64::from(tables.random()) * u64::from(run.count)) >> 32;
    let index = tables.slot(run.base.wrapping_add(offset as u32))?;
    let backend = tables.backend(index)?;
    (backend.flags.contains(BackendFlags::ALIVE) && backend.service == frontend.service)
        .then_some((index, backend))
}
