//! The mirror of `FRONTENDS`: who owns each key and what the map says.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kproxy_common::{Frontend, FrontendKey, Protocol};

use super::draft::{Draft, Name};

#[derive(Clone, Debug)]
struct Entry {
    /// `None` for an entry that was adopted and not claimed yet, or that its owner gave up in the present plan.
    owner: Option<Name>,
    /// Whether the map has an entry; false until the plan that claimed the key is settled.
    present: bool,
    /// What the map says; `None` if it has no entry or one that can not be trusted.
    written: Option<Frontend>,
}

/// What becomes of a key in the present plan.
#[derive(Clone, Debug)]
enum Turn {
    /// Its owner wants it to say this.
    Says(Frontend),
    /// Its owner, if it had one, has given it up.
    Goes(Option<Name>),
}

/// Why a key can not be claimed.
pub(super) enum Refusal {
    Taken { owner: Name },
    Full,
}

/// Frontends with their owners. Changes are collected and become steps by [`Frontends::settle`].
#[derive(Clone, Debug)]
pub(super) struct Frontends {
    capacity: u32,
    entries: BTreeMap<FrontendKey, Entry>,
    /// In one piece of memory, which goes back as a whole after the first plan.
    touched: HashMap<FrontendKey, Turn>,
}

impl Frontends {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            capacity,
            entries: BTreeMap::new(),
            touched: HashMap::new(),
        }
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes over an entry found in the map; `None` for one that makes no sense.
    pub(super) fn adopt(&mut self, key: FrontendKey, written: Option<Frontend>) {
        self.entries.insert(
            key,
            Entry {
                owner: None,
                present: true,
                written,
            },
        );
    }

    /// Has the next [`Frontends::settle`] remove every entry that nobody claimed since the adoption.
    pub(super) fn drop_unclaimed(&mut self) {
        let unclaimed = self.entries.iter().filter(|(_, entry)| entry.owner.is_none());
        for (key, _) in unclaimed {
            self.touched.entry(*key).or_insert(Turn::Goes(None));
        }
    }

    /// What the map says about a key, if that can be trusted.
    pub(super) fn written(&self, key: FrontendKey) -> Option<Frontend> {
        self.entries.get(&key)?.written
    }

    /// Makes the key the owner's; what it shall say follows by [`Frontends::set`].
    pub(super) fn claim(&mut self, key: FrontendKey, owner: &Name) -> Result<(), Refusal> {
        if let Some(entry) = self.entries.get_mut(&key) {
            return match &entry.owner {
                Some(other) if other != owner => Err(Refusal::Taken {
                    owner: Arc::clone(other),
                }),
                Some(_) => Ok(()),
                None => {
                    entry.owner = Some(Arc::clone(owner));
                    Ok(())
                }
            };
        }
        // Removals come last in a plan, so what was given up in the same plan still takes its place.
        if self.entries.len() >= self.capacity as usize {
            return Err(Refusal::Full);
        }
        self.entries.insert(
            key,
            Entry {
                owner: Some(Arc::clone(owner)),
                present: false,
                written: None,
            },
        );
        Ok(())
    }

    /// Makes an adopted key its old and new owner's, as it is.
    pub(super) fn inherit(&mut self, key: FrontendKey, owner: &Name) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.owner = Some(Arc::clone(owner));
        }
    }

    /// What a claimed key shall say.
    pub(super) fn set(&mut self, key: FrontendKey, frontend: Frontend) {
        self.touched.insert(key, Turn::Says(frontend));
    }

    /// The owner gives the key up; another service may claim it in the same plan.
    pub(super) fn release(&mut self, key: FrontendKey) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        if !entry.present {
            // Nothing to remove, and no room that a retry could use.
            self.entries.remove(&key);
            self.touched.remove(&key);
            return;
        }
        self.touched.insert(key, Turn::Goes(entry.owner.take()));
    }

    /// Writes the difference into the draft; true if entries were given back.
    pub(super) fn settle(&mut self, draft: &mut Draft) -> bool {
        let mut removed = false;
        for (key, turn) in std::mem::take(&mut self.touched) {
            match turn {
                Turn::Says(wanted) => self.write(key, wanted, draft),
                Turn::Goes(former_owner) => {
                    draft.gone_frontends.push((key, former_owner));
                    self.entries.remove(&key);
                    removed = true;
                }
            }
        }
        removed
    }

    fn write(&mut self, key: FrontendKey, wanted: Frontend, draft: &mut Draft) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let Some(owner) = entry.owner.as_ref().filter(|_| entry.written != Some(wanted)) else {
            return;
        };
        let was_served = entry.written.is_some_and(|it| is_served(&it));
        if key.protocol == Protocol::UDP && is_served(&wanted) && !was_served {
            draft.newly_served.insert(key);
        }
        draft.frontends.push((key, (wanted, Arc::clone(owner))));
        entry.present = true;
        entry.written = Some(wanted);
    }
}

/// Whether it leads clients of this node to a backend.
fn is_served(frontend: &Frontend) -> bool {
    frontend.inside.count > 0
}
