//! Carrying out a plan: runs of steps of one kind become one call.

use std::io;

use kproxy_common::{Backend, BackendFlags};

use super::error::ApplyError;
use super::sys::hash::Stopped;
use super::tables::Tables;
use crate::plan::{Action, Plan, Step};

/// What applying a plan took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries written or removed, over all maps.
    pub writes: usize,
}

/// Writes a plan into the maps, in order, up to the first failure.
pub(super) fn apply(tables: &Tables, plan: &Plan) -> Result<Report, ApplyError> {
    let mut report = Report::default();
    let same_kind =
        |a: &Step, b: &Step| std::mem::discriminant(&a.action) == std::mem::discriminant(&b.action);
    for steps in plan.steps.chunk_by(same_kind) {
        write(tables, steps, &mut report.writes).map_err(|Stopped { done, error: source }| {
            let step = steps.get(done).map_or_else(String::new, ToString::to_string);
            ApplyError {
                step,
                writes: report.writes,
                source,
            }
        })?;
    }
    Ok(report)
}

/// Writes steps of one kind.
fn write(tables: &Tables, steps: &[Step], writes: &mut usize) -> Result<(), Stopped> {
    let (mut addresses, mut roles) = (Vec::new(), Vec::new());
    let (mut keys, mut frontends) = (Vec::new(), Vec::new());
    let (mut gone_addresses, mut gone_keys) = (Vec::new(), Vec::new());
    for (done, step) in steps.iter().enumerate() {
        let fits = match &step.action {
            Action::WriteBackend { index, backend } => write_backend(tables, index.0, *backend),
            Action::RetireBackend { index, backend } => tables.backends.store(index.0, *backend),
            Action::WriteSlots { base, slots } => {
                *writes += slots.len().saturating_sub(1);
                (*base..)
                    .zip(slots)
                    .all(|(index, backend)| tables.slots.store(index, *backend))
            }
            Action::PutSourceRange { .. }
            | Action::RemoveSourceRange { .. }
            | Action::WriteServiceCidr { .. }
            | Action::WriteNodeAddress { .. } => true,
            Action::PutAddress { address, role } => {
                addresses.push(*address);
                roles.push(*role);
                true
            }
            Action::PutFrontend { key, frontend } => {
                keys.push(*key);
                frontends.push(*frontend);
                true
            }
            Action::RemoveFrontend { key } => {
                gone_keys.push(*key);
                true
            }
            Action::RemoveAddress { address } => {
                gone_addresses.push(*address);
                true
            }
        };
        if !fits {
            return Err(Stopped {
                done,
                error: io::Error::other("the index is past the end of the map"),
            });
        }
    }
    tables.addresses.put(&addresses, &roles)?;
    tables.frontends.put(&keys, &frontends)?;
    tables.frontends.remove(&gone_keys)?;
    tables.addresses.remove(&gone_addresses)?;
    *writes += steps.len();
    Ok(())
}

/// Fills a record so that no program takes a half-written one for alive.
fn write_backend(tables: &Tables, index: u32, backend: Backend) -> bool {
    let alive = tables
        .backends
        .load(index)
        .is_some_and(|old| old.flags.contains(BackendFlags::ALIVE));
    let filled = alive
        || tables.backends.store(
            index,
            Backend {
                flags: BackendFlags::empty(),
                ..backend
            },
        );
    filled && tables.backends.store(index, backend)
}
