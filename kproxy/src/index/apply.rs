//! What one event does to the index: the objects are replaced, and the services that are concerned become dirty.

use std::collections::BTreeSet;

use super::Index;
use super::entry::Entry;
use super::reports::Topic;
use crate::model::{Kind, Node, ObjectName, Parsed, Service, ServiceCidr, Slice};
use crate::source::{Change, Event, News};

impl Index {
    /// Takes one event into account.
    pub fn apply(&mut self, event: Event) {
        match event.news {
            News::Service(change) => {
                if let Some((name, service)) = self.unpack(Kind::Service, change) {
                    self.change_service(name, service);
                }
            }
            News::Slice(change) => {
                if let Some((name, slice)) = self.unpack(Kind::EndpointSlice, change) {
                    self.change_slice(&name, slice);
                }
            }
            News::Node(change) => {
                if let Some((_, Some(node))) = self.unpack(Kind::Node, change) {
                    self.change_node(node);
                }
            }
            News::ServiceCidr(change) => {
                if let Some((name, cidr)) = self.unpack(Kind::ServiceCidr, change) {
                    self.change_service_cidr(name, cidr);
                }
            }
            News::Unread(manifests) => self.unread.manifests = manifests,
            News::Listing(kind) => self.listings.begin(kind, self.known(kind)),
            News::Listed(kind) => {
                for name in self.listings.complete(kind) {
                    self.remove(kind, name);
                }
            }
        }
    }

    /// Keeps the books of one change. Nothing is returned for an object that can not be read: what was known of it stays.
    fn unpack<T>(&mut self, kind: Kind, change: Change<T>) -> Option<(ObjectName, Option<T>)> {
        match change {
            Change::Applied(Parsed {
                name,
                object,
                problems,
            }) => {
                self.listings.saw(kind, &name);
                self.unread.is_readable(kind, &name);
                self.reports.set(kind, &name, Topic::Fields, problems);
                Some((name, object))
            }
            Change::Removed(name) => {
                self.listings.saw(kind, &name);
                self.unread.is_readable(kind, &name);
                self.reports.set(kind, &name, Topic::Fields, Vec::new());
                Some((name, None))
            }
            Change::Rejected(problem) => {
                self.listings.saw(kind, &problem.name);
                let name = problem.name.clone();
                if !self.is_known(kind, &name) {
                    self.unread.is_not_readable(kind, name.clone());
                }
                self.reports.set(kind, &name, Topic::Fields, vec![problem]);
                None
            }
        }
    }

    fn change_service(&mut self, name: ObjectName, service: Option<Service>) {
        let service = service.map(|service| self.names.share_service(self.rules.admit(service)));
        let name = service.as_ref().map_or(name, |service| service.name.clone());
        if service.is_none() && !self.services.contains_key(&name) {
            return;
        }
        let entry = self.services.entry(name.clone()).or_default();
        if entry.service == service {
            return;
        }
        let touched = self.claims.replace(entry.service.as_ref(), service.as_ref());
        entry.put_service(service);
        self.dirty.extend(touched);
        self.dirty.insert(name);
    }

    fn change_slice(&mut self, name: &ObjectName, slice: Option<Slice>) {
        let slice = slice.map(|slice| self.names.share_slice(slice));
        let owner = slice.as_ref().map(|slice| slice.service.clone());
        let previous = match &owner {
            Some(owner) => self.owners.insert(name.clone(), owner.clone()),
            None => self.owners.remove(name),
        };
        if let Some(previous) = previous.filter(|previous| Some(previous) != owner.as_ref())
            && let Some(entry) = self.services.get_mut(&previous)
            && entry.remove_slice(name)
        {
            self.triggers.removed(&previous);
            self.dirty.insert(previous);
        }
        if let (Some(owner), Some(slice)) = (owner, slice) {
            let entry = self.services.entry(owner.clone()).or_default();
            if !entry.has_slice(&slice) {
                self.triggers.changed(&slice);
                entry.put_slice(slice);
                self.dirty.insert(owner);
            }
        }
    }

    /// A node that vanishes is only a gap: it stays where it was (semantics 10.21).
    fn change_node(&mut self, node: Node) {
        if node.name != self.place.node {
            return;
        }
        if node.zone != self.place.zone {
            self.place.zone.clone_from(&node.zone);
            self.touch(Entry::has_zone_hints);
        }
        self.node = Some(node);
    }

    /// What the node is has changed: these services have to be compiled again.
    pub(super) fn touch(&mut self, concerned: fn(&Entry) -> bool) {
        let touched = self.services.iter().filter(|(_, entry)| concerned(entry));
        self.dirty.extend(touched.map(|(name, _)| name.clone()));
    }

    fn change_service_cidr(&mut self, name: ObjectName, cidr: Option<ServiceCidr>) {
        match cidr {
            Some(cidr) => self.service_cidrs.insert(name, cidr),
            None => self.service_cidrs.remove(&name),
        };
    }

    fn remove(&mut self, kind: Kind, name: ObjectName) {
        self.reports.set(kind, &name, Topic::Fields, Vec::new());
        self.unread.is_readable(kind, &name);
        match kind {
            Kind::Service => self.change_service(name, None),
            Kind::EndpointSlice => self.change_slice(&name, None),
            Kind::ServiceCidr => self.change_service_cidr(name, None),
            Kind::Node => {}
        }
    }

    fn is_known(&self, kind: Kind, name: &ObjectName) -> bool {
        match kind {
            Kind::Service => self
                .services
                .get(name)
                .is_some_and(|entry| entry.service.is_some()),
            Kind::EndpointSlice => self.owners.contains_key(name),
            Kind::Node | Kind::ServiceCidr => true,
        }
    }

    fn known(&self, kind: Kind) -> BTreeSet<ObjectName> {
        let mut names = self.reports.names(kind);
        match kind {
            Kind::Service => {
                let present = self.services.iter().filter(|(_, entry)| entry.service.is_some());
                names.extend(present.map(|(name, _)| name.clone()));
            }
            Kind::EndpointSlice => names.extend(self.owners.keys().cloned()),
            Kind::ServiceCidr => names.extend(self.service_cidrs.keys().cloned()),
            Kind::Node => {}
        }
        names
    }
}
