//! One allocation for every distinct name: a cluster's endpoints name the same few nodes and zones over and over.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::{Endpoint, Name, ObjectName, Service, Slice};

#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashSet<Name>,
    /// Names that were in use after the last tidying.
    used: usize,
}

impl Names {
    pub(super) fn share_service(&mut self, mut service: Service) -> Service {
        self.share_object(&mut service.name);
        for port in &mut service.ports {
            self.share(&mut port.name);
        }
        service
    }

    pub(super) fn share_slice(&mut self, mut slice: Slice) -> Slice {
        self.share_object(&mut slice.service);
        slice.name.namespace.clone_from(&slice.service.namespace);
        for port in &mut slice.ports {
            self.share(&mut port.name);
        }
        for Endpoint {
            node,
            hints,
            address: _,
            conditions: _,
        } in &mut slice.endpoints
        {
            if let Some(node) = node {
                self.share(node);
            }
            if let Some(hints) = hints {
                for name in hints.nodes.iter_mut().chain(&mut hints.zones) {
                    self.share(name);
                }
            }
        }
        slice
    }

    /// Forgets names that nobody uses any more, once they may be half of all.
    pub(super) fn tidy(&mut self) {
        if self.known.len() > 2 * self.used + 1024 {
            self.known.retain(|name| Arc::strong_count(name) > 1);
            self.used = self.known.len();
        }
    }

    fn share_object(&mut self, name: &mut ObjectName) {
        self.share(&mut name.namespace);
        self.share(&mut name.name);
    }

    fn share(&mut self, name: &mut Name) {
        match self.known.get(name) {
            Some(known) => name.clone_from(known),
            None => {
                self.known.insert(name.clone());
            }
        }
    }
}
