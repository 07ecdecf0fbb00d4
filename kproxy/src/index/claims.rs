//! Which service stands on a frontend that several ask for: the oldest, then the first by name.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kproxy_common::FrontendKey;

use crate::compile::frontends;
use crate::model::{Created, ObjectName, Service};

/// Who asks, in the order in which they win.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claimant {
    created: Created,
    name: ObjectName,
}

impl Claimant {
    fn of(service: &Service) -> Arc<Self> {
        Arc::new(Self {
            created: service.created,
            name: service.name.clone(),
        })
    }
}

/// Holders of all frontends, and those who wait for one.
#[derive(Debug, Default)]
pub(super) struct Claims {
    holders: HashMap<FrontendKey, Arc<Claimant>>,
    waiting: BTreeMap<FrontendKey, BTreeSet<Arc<Claimant>>>,
}

impl Claims {
    /// The service that stands on a frontend.
    pub(super) fn holder(&self, key: FrontendKey) -> Option<&ObjectName> {
        self.holders.get(&key).map(|claimant| &claimant.name)
    }

    /// One version of a service takes the place of another. Gives the other services that won or lost something.
    pub(super) fn replace(&mut self, old: Option<&Service>, new: Option<&Service>) -> Vec<ObjectName> {
        let (old_keys, new_keys) = (keys(old), keys(new));
        let (old, new) = (old.map(Claimant::of), new.map(Claimant::of));
        let same_claimant = old == new;
        let mut touched = Vec::new();
        if let Some(old) = old {
            let gone = old_keys
                .iter()
                .filter(|key| !same_claimant || !new_keys.contains(key));
            touched.extend(gone.filter_map(|key| self.release(*key, &old)));
        }
        if let Some(new) = new {
            let added = new_keys
                .iter()
                .filter(|key| !same_claimant || !old_keys.contains(key));
            touched.extend(added.filter_map(|key| self.claim(*key, &new)));
        }
        touched
    }

    /// Gives the service that loses the frontend by it.
    fn claim(&mut self, key: FrontendKey, claimant: &Arc<Claimant>) -> Option<ObjectName> {
        match self.holders.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(claimant.clone());
                None
            }
            Entry::Occupied(entry) if entry.get() == claimant => None,
            Entry::Occupied(entry) if entry.get() < claimant => {
                self.waiting.entry(key).or_default().insert(claimant.clone());
                None
            }
            Entry::Occupied(mut entry) => {
                let loser = entry.insert(claimant.clone());
                let name = loser.name.clone();
                self.waiting.entry(key).or_default().insert(loser);
                Some(name)
            }
        }
    }

    /// Gives the service that wins the frontend by it.
    fn release(&mut self, key: FrontendKey, claimant: &Arc<Claimant>) -> Option<ObjectName> {
        let held = self.holders.get(&key) == Some(claimant);
        let heir = match self.waiting.get_mut(&key) {
            Some(waiting) if held => waiting.pop_first(),
            Some(waiting) => {
                waiting.remove(claimant);
                None
            }
            None => None,
        };
        if self.waiting.get(&key).is_some_and(BTreeSet::is_empty) {
            self.waiting.remove(&key);
        }
        if held {
            self.holders.remove(&key);
        }
        let heir = heir?;
        let name = heir.name.clone();
        self.holders.insert(key, heir);
        Some(name)
    }
}

fn keys(service: Option<&Service>) -> BTreeSet<FrontendKey> {
    service.into_iter().flat_map(frontends::keys).collect()
}
