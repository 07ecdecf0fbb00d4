//! Health-check node ports: load balancers ask each node whether it has endpoints of a Service (semantics 3.49 to 3.60).
//!
//! [`ServiceHealth::set`] is told which ports are wanted and makes it so. A port answers until it is not wanted any
//! more; what it says follows at once.

mod answer;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kproxy_common::Family;
use tokio::sync::watch;

use super::events::Notice;
use super::listen::{Clients, Closable, bind};
use super::status::Status;
use crate::compile::HealthCheck;
use crate::index::HealthChecks;
use crate::model::ObjectName;
use answer::Asked;

/// Where the ports of one family are open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListenAt {
    /// At every address, whatever the node will have.
    #[default]
    All,
    /// At these addresses only; at none if there are none (3.50).
    Only(Vec<IpAddr>),
}

/// Where the ports are open, by family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Those of IPv4.
    pub v4: ListenAt,
    /// Those of IPv6.
    pub v6: ListenAt,
}

impl Addresses {
    fn of(&self, family: Family) -> Vec<IpAddr> {
        let (at, all) = match family {
            Family::V4 => (&self.v4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            Family::V6 => (&self.v6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        match at {
            ListenAt::All => vec![all],
            ListenAt::Only(addresses) => addresses.clone(),
        }
    }
}

/// The open ports. Dropping it closes them.
#[derive(Debug)]
pub struct ServiceHealth {
    addresses: Addresses,
    node_name: String,
    status: Status,
    open: BTreeMap<(ObjectName, Family), Open>,
    /// What could not be opened and was told: each failure once, until it works or is no longer wanted.
    told: BTreeSet<(ObjectName, Family, u16)>,
}

#[derive(Debug)]
struct Open {
    port: u16,
    local_endpoints: Arc<AtomicU32>,
    servers: Vec<Closable>,
}

impl ServiceHealth {
    /// No port is open yet.
    #[must_use]
    pub fn new(addresses: Addresses, node_name: &str, status: Status) -> Self {
        Self {
            addresses,
            node_name: node_name.to_owned(),
            status,
            open: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// Opens, closes and updates ports until they are as wanted. What can not be opened is tried again at the next call,
    /// whether or not that wants anything else.
    pub async fn set(&mut self, wanted: &HealthChecks) {
        // Closing comes first, all of it: a port may go from one Service to another.
        let unwanted = |key: &(ObjectName, Family), open: &mut Open| {
            wanted.get(key).is_none_or(|check| check.port != open.port)
        };
        for ((service, family), open) in self.open.extract_if(.., unwanted).collect::<Vec<_>>() {
            for server in open.servers {
                server.close().await;
            }
            tracing::info!(%service, %family, port = open.port, "health-check port closed");
        }
        self.told.retain(|(service, family, port)| {
            let check = wanted.get(&(service.clone(), *family));
            check.is_some_and(|check| check.port == *port)
        });
        for (key, check) in wanted {
            match self.open.get(key) {
                Some(open) => open
                    .local_endpoints
                    .store(check.local_endpoints, Ordering::Relaxed),
                None => self.open(key, *check).await,
            }
        }
    }

    /// Does what it is told until nobody is left to tell it.
    pub async fn follow(mut self, mut wanted: watch::Receiver<(HealthChecks, Addresses)>) {
        while wanted.changed().await.is_ok() {
            let (now, addresses) = wanted.borrow_and_update().clone();
            self.move_to(addresses).await;
            self.set(&now).await;
        }
    }

    /// Closes what is open at other addresses.
    async fn move_to(&mut self, addresses: Addresses) {
        if self.addresses == addresses {
            return;
        }
        self.addresses = addresses;
        for open in std::mem::take(&mut self.open).into_values() {
            for server in open.servers {
                server.close().await;
            }
        }
    }

    async fn open(&mut self, key: &(ObjectName, Family), check: HealthCheck) {
        let (service, family) = key;
        let HealthCheck {
            port,
            local_endpoints,
        } = check;
        let local_endpoints = Arc::new(AtomicU32::new(local_endpoints));
        let mut servers = Vec::new();
        for address in self.addresses.of(*family) {
            let address = SocketAddr::new(address, port);
            match bind(address, Clients::SameFamily) {
                Ok(listener) => {
                    let asked = Asked {
                        service: service.clone(),
                        local_endpoints: Arc::clone(&local_endpoints),
                        status: self.status.clone(),
                    };
                    servers.push(Closable::start(listener, answer::router(asked)));
                }
                Err(error) => {
                    // Half a Service's addresses would be worse than none: load balancers would see a broken node.
                    for server in servers {
                        server.close().await;
                    }
                    return self.failed(key, address, &error);
                }
            }
        }
        tracing::info!(%service, %family, port, "health-check port open");
        self.told.remove(&(service.clone(), *family, port));
        let open = Open {
            port,
            local_endpoints,
            servers,
        };
        self.open.insert(key.clone(), open);
    }

    fn failed(&mut self, (service, family): &(ObjectName, Family), address: SocketAddr, error: &io::Error) {
        let port = address.port();
        if !self.told.insert((service.clone(), *family, port)) {
            tracing::debug!(%service, "open the health-check port {address}: {error}; trying again");
            return;
        }
        tracing::warn!(%service, "open the health-check port {address}: {error}; load balancers get no answer, trying again");
        let note = format!(
            "node {} failed to start healthcheck \"{service}\" on port {port}: listen at {address}: {error}",
            self.node_name
        );
        self.status.events().send(Notice::failed_to_listen(service, note));
    }
}
