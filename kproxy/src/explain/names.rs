//! What service ports are called in answers.

use std::collections::BTreeMap;

use kproxy_common::{Frontend, FrontendFlags, FrontendKey, ServiceId, ServiceName};

/// `namespace/name:port` for every service port, with the port's name, or its number if it has none.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<ServiceId, String>);

impl Names {
    /// From the names, and the frontends that give the numbers of unnamed ports. A name without a frontend is of a
    /// service that is gone.
    #[must_use]
    pub fn new<'a>(
        names: &BTreeMap<ServiceId, ServiceName>,
        frontends: impl IntoIterator<Item = (&'a FrontendKey, &'a Frontend)>,
    ) -> Self {
        let mut numbers = BTreeMap::<ServiceId, (bool, u16)>::new();
        for (key, frontend) in frontends {
            // All frontends of a service port have its number, but for NodePorts.
            let own = !frontend.flags.contains(FrontendFlags::NODE_PORT);
            let number = numbers
                .entry(frontend.service)
                .or_insert((own, key.port.number()));
            if own && !number.0 {
                *number = (own, key.port.number());
            }
        }
        let full = numbers.into_iter().map(|(id, (_, number))| {
            let Some(name) = names.get(&id) else {
                return (id, format!("service {}", id.0));
            };
            let (namespace, service) = (name.namespace(), name.name());
            let text = match name.port() {
                "" => format!("{namespace}/{service}:{number}"),
                port => format!("{namespace}/{service}:{port}"),
            };
            (id, text)
        });
        Self(full.collect())
    }

    /// The name of a service port.
    #[must_use]
    pub fn of(&self, id: ServiceId) -> String {
        let known = self.0.get(&id).cloned();
        known.unwrap_or_else(|| format!("service {}", id.0))
    }
}

#[cfg(test)]
mod tests {
    use kproxy_common::{Address, Family, Port, Protocol};

    use super::*;

    #[test]
    fn an_unnamed_port_is_known_by_its_number() {
        let frontend = |service, flags| Frontend {
            service: ServiceId(service),
            flags,
            ..bytemuck::Zeroable::zeroed()
        };
        let key = |address, port| FrontendKey::new(address, Port::new(port), Protocol::TCP);
        let node_port = Address::unspecified(Family::V4);
        let cluster_ip = Address::from(std::net::Ipv4Addr::new(10, 96, 0, 1));
        let frontends = [
            (key(node_port, 30_080), frontend(1, FrontendFlags::NODE_PORT)),
            (key(cluster_ip, 80), frontend(1, FrontendFlags::CLUSTER_IP)),
            (key(node_port, 30_443), frontend(2, FrontendFlags::NODE_PORT)),
            (key(cluster_ip, 443), frontend(2, FrontendFlags::CLUSTER_IP)),
            (key(cluster_ip, 9), frontend(3, FrontendFlags::CLUSTER_IP)),
        ];
        let labels = [
            (ServiceId(1), ServiceName::new("shop", "web", "")),
            (ServiceId(2), ServiceName::new("shop", "web", "https")),
        ];
        let names = Names::new(
            &labels.into(),
            frontends.iter().map(|(key, frontend)| (key, frontend)),
        );
        let texts = [1, 2, 3].map(|id| names.of(ServiceId(id)));
        assert_eq!(texts, ["shop/web:80", "shop/web:https", "service 3"]);
    }
}
