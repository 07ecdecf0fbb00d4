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

    /// One version of a service takes the place of another. Gives the other services that are concerned: they won or
    /// lost something, or wait for somebody else now.
    pub(super) fn replace(&mut self, old: Option<&Service>, new: Option<&Service>) -> BTreeSet<ObjectName> {
        let (old_keys, new_keys) = (keys(old), keys(new));
        let (old, new) = (old.map(Claimant::of), new.map(Claimant::of));
        let same_claimant = old == new;
        let mut concerned = BTreeSet::new();
        if let Some(old) = old {
            let gone = old_keys
                .iter()
                .filter(|key| !same_claimant || !new_keys.contains(key));
            gone.for_each(|key| self.release(*key, &old, &mut concerned));
        }
        if let Some(new) = new {
            let added = new_keys
                .iter()
                .filter(|key| !same_claimant || !old_keys.contains(key));
            added.for_each(|key| self.claim(*key, &new, &mut concerned));
        }
        concerned
    }

    fn claim(&mut self, key: FrontendKey, claimant: &Arc<Claimant>, concerned: &mut BTreeSet<ObjectName>) {
        match self.holders.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(claimant.clone());
            }
            Entry::Occupied(entry) if entry.get() == claimant => {}
            Entry::Occupied(entry) if entry.get() < claimant => {
                self.waiting.entry(key).or_default().insert(claimant.clone());
            }
            Entry::Occupied(mut entry) => {
                let loser = entry.insert(claimant.clone());
                let waiting = self.waiting.entry(key).or_default();
                waiting.insert(loser);
                concerned.extend(waiting.iter().map(|waiter| waiter.name.clone()));
            }
        }
    }

    fn release(&mut self, key: FrontendKey, claimant: &Arc<Claimant>, concerned: &mut BTreeSet<ObjectName>) {
        let held = self.holders.get(&key) == Some(claimant);
        if held {
            self.holders.remove(&key);
        }
        let Some(waiting) = self.waiting.get_mut(&key) else {
            return;
        };
        if held {
            concerned.extend(waiting.iter().map(|waiter| waiter.name.clone()));
            if let Some(heir) = waiting.pop_first() {
                self.holders.insert(key, heir);
            }
        } else {
            waiting.remove(claimant);
        }
        if waiting.is_empty() {
            self.waiting.remove(&key);
        }
    }
}

fn keys(service: Option<&Service>) -> BTreeSet<FrontendKey> {
    service.into_iter().flat_map(frontends::keys).collect()
}
