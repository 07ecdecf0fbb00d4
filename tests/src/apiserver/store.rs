//! The objects, their revisions and a bounded history: what etcd and the watch cache are to a real API server.
//!
//! Every write bumps one revision for all resources, is appended to the history and wakes the watches.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use tokio::sync::watch;

use super::allocations::Allocations;
use super::object::{Key, Object, text};
use super::snapshots::Snapshots;
use super::status::Status;

/// Shared by all requests.
#[derive(Debug)]
pub(crate) struct Store {
    /// A lock, because every write must see and bump one revision; it is held for one object's work only.
    contents: Mutex<Contents>,
    /// The newest revision, for watches to wait on.
    newest: watch::Sender<u64>,
}

/// One write, as watches see it.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Object>>,
    pub(crate) after: Option<Arc<Object>>,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) revision: u64,
    pub(crate) allocations: Allocations,
    pub(crate) snapshots: Snapshots,
    objects: BTreeMap<Key, Arc<Object>>,
    history: VecDeque<Arc<Change>>,
    history_length: usize,
    /// Changes up to this revision are forgotten.
    compacted: u64,
}

impl Store {
    /// An empty store that remembers the last `history_length` changes.
    pub(crate) fn new(history_length: usize) -> Self {
        let contents = Contents {
            revision: 1,
            allocations: Allocations::default(),
            snapshots: Snapshots::default(),
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            history_length,
            compacted: 1,
        };
        Self {
            contents: Mutex::new(contents),
            newest: watch::Sender::new(1),
        }
    }

    /// Runs a read, or a read and write as one step.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Contents) -> T) -> T {
        let mut contents = self.lock();
        let result = work(&mut contents);
        let revision = contents.revision;
        drop(contents);
        self.newest
            .send_if_modified(|newest| std::mem::replace(newest, revision.max(*newest)) < revision);
        result
    }

    /// A receiver that is woken by every write.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents
            .lock()
            .expect("no request panics while it holds the store")
    }
}

impl Contents {
    pub(crate) fn find(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// Objects of a resource in order of namespace and name, in one namespace or in all.
    pub(crate) fn list<'a>(
        &'a self,
        resource: &'static str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Object>)> {
        let namespace_or_first = namespace.unwrap_or_default().to_owned();
        let first = Key {
            resource,
            namespace: namespace_or_first,
            name: String::new(),
        };
        self.objects.range(first..).take_while(move |(key, _)| {
            key.resource == resource && namespace.is_none_or(|namespace| key.namespace == namespace)
        })
    }

    /// Stores an object under the next revision.
    pub(crate) fn put(&mut self, key: Key, mut value: Value) -> Arc<Object> {
        self.revision += 1;
        value["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let after = Object::new(value);
        let before = self.objects.insert(key.clone(), Arc::clone(&after));
        self.allocations.change(&key, before.as_deref(), Some(&after));
        self.remember(key, before, Some(Arc::clone(&after)));
        after
    }

    /// Removes an object; the deletion has a revision too.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let before = self.objects.remove(key)?;
        self.revision += 1;
        self.allocations.change(key, Some(&before), None);
        self.remember(key.clone(), Some(Arc::clone(&before)), None);
        Some(before)
    }

    /// Changes after a revision, oldest first.
    pub(crate) fn changes_after(&self, revision: u64) -> Result<impl Iterator<Item = &Arc<Change>>, Status> {
        if revision < self.compacted {
            let message = format!("too old resource version: {revision} ({})", self.compacted);
            return Err(Status::expired(message));
        }
        let start = self.history.partition_point(|change| change.revision <= revision);
        Ok(self.history.range(start..))
    }

    /// Forgets the whole history and all list snapshots, as etcd's compaction does. Watches that have seen
    /// everything go on.
    pub(crate) fn compact(&mut self) {
        self.history.clear();
        self.snapshots.clear();
        self.compacted = self.revision;
    }

    fn remember(&mut self, key: Key, before: Option<Arc<Object>>, after: Option<Arc<Object>>) {
        if self.history.len() >= self.history_length
            && let Some(forgotten) = self.history.pop_front()
        {
            self.compacted = forgotten.revision;
        }
        self.history.push_back(Arc::new(Change {
            revision: self.revision,
            key,
            before,
            after,
        }));
    }
}

/// The resource version an object was stored under.
pub(crate) fn revision_of(object: &Value) -> &str {
    text(object, "/metadata/resourceVersion")
}
