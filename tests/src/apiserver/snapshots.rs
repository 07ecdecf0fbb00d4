//! What is left of lists that are read in pages: `limit` and `continue`.
//!
//! Every page of a list shows the state at the first page's revision. The rest of the list is kept here until it
//! is read, pushed out by newer lists, or compacted away; then the client is told 410 and starts over.

use std::collections::VecDeque;
use std::sync::Arc;

use super::object::Object;

/// More lists than this at once are not read in pages by any test.
const KEPT: usize = 64;

/// The unread rests of lists.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    kept: VecDeque<(u64, Arc<Snapshot>)>,
    next: u64,
}

/// The objects a list found, at one revision.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) revision: u64,
    pub(crate) objects: Vec<Arc<Object>>,
}

impl Snapshots {
    /// Keeps a list; the token for its item at `offset` is `token(id, offset)`.
    pub(crate) fn keep(&mut self, snapshot: Arc<Snapshot>) -> u64 {
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.next += 1;
        self.kept.push_back((self.next, snapshot));
        self.next
    }

    /// The list and offset behind a `continue` token.
    pub(crate) fn resume(&self, token: &str) -> Option<(u64, usize, Arc<Snapshot>)> {
        let (id, offset) = token.split_once('-')?;
        let (id, offset) = (id.parse().ok()?, offset.parse().ok()?);
        let (_, snapshot) = self.kept.iter().find(|(kept, _)| *kept == id)?;
        Some((id, offset, Arc::clone(snapshot)))
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }
}

/// The `continue` token of a list's item.
pub(crate) fn token(id: u64, offset: usize) -> String {
    format!("{id}-{offset}")
}
