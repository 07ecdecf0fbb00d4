//! Why a connected UDP socket is ended.

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{FrontendKey, Port, Protocol, SocketPeer, StalePeer};

use crate::plan::{Action, Endpoint, Plan};

/// What a plan, applied as far as it could be, means for connected UDP sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// A UDP service has lost a backend.
    pub retired: bool,
    /// Service addresses that lead to a backend now and did not before.
    pub served: BTreeSet<Endpoint>,
}

impl Change {
    /// Whether it is a reason to look at sockets.
    #[must_use]
    pub fn matters(&self) -> bool {
        let Self { retired, served } = self;
        *retired || !served.is_empty()
    }
}

impl From<&Plan> for Change {
    fn from(plan: &Plan) -> Self {
        let mut change = Self::default();
        for step in &plan.steps {
            // Nobody knows the protocol of what an earlier run has left behind.
            let is_udp = step
                .service
                .as_ref()
                .is_none_or(|service| service.protocol == Protocol::UDP);
            match &step.action {
                Action::RetireBackend { .. } => change.retired |= is_udp,
                Action::PutFrontend { key, .. } if plan.newly_served.contains(key) => {
                    change.served.extend(named(*key));
                }
                Action::PutFrontend { .. }
                | Action::WriteBackend { .. }
                | Action::WriteSlots { .. }
                | Action::PutSourceRange { .. }
                | Action::RemoveSourceRange { .. }
                | Action::WriteServiceCidr { .. }
                | Action::WriteNodeAddress { .. }
                | Action::WritePodRange { .. }
                | Action::PutDevice { .. }
                | Action::RemoveDevice { .. }
                | Action::PutVlan { .. }
                | Action::RemoveVlan { .. }
                | Action::PutAddress { .. }
                | Action::RemoveAddress { .. }
                | Action::RemoveFrontend { .. } => {}
            }
        }
        change
    }
}

/// A frontend that has an address of its own: where a `NodePort` is not served, the node itself answers that nobody is
/// there, and no socket stays connected.
fn named(key: FrontendKey) -> Option<Endpoint> {
    let FrontendKey { address, port, .. } = key;
    (!address.ip().is_unspecified()).then_some(Endpoint { address, port })
}

/// What a sweep looks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Reasons {
    stale: BTreeMap<u64, SocketPeer>,
    served: BTreeSet<Endpoint>,
}

impl Reasons {
    pub(super) fn new(stale: Vec<StalePeer>, served: BTreeSet<Endpoint>) -> Self {
        let stale = stale.into_iter().map(|StalePeer { cookie, peer }| (cookie, peer));
        Self {
            stale: stale.collect(),
            served,
        }
    }

    /// How many sockets have lost their backend, as far as the socket door knows.
    pub(super) fn stale(&self) -> usize {
        self.stale.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        let Self { stale, served } = self;
        stale.is_empty() && served.is_empty()
    }

    /// The same for a pod's network namespace: what asks for a service there without the socket door meets the pod door,
    /// which follows the service by packet.
    pub(super) fn in_pods(&self) -> Self {
        Self {
            stale: self.stale.clone(),
            served: BTreeSet::new(),
        }
    }

    /// Whether a connected socket has to end.
    pub(super) fn concern(&self, cookie: u64, destination: Endpoint) -> bool {
        // It connected while the service had no backends or did not exist; asked again, it is given one.
        let went_past = self.served.contains(&destination);
        let peer = self.stale.get(&cookie);
        went_past || peer.is_some_and(|peer| sends_to_backend(destination, peer))
    }
}

/// Whether a socket sends to the backend that it was given.
///
/// What the socket door remembers outlives the connection: the process may have connected elsewhere since, or have
/// disconnected, or be inside `connect` just now.
fn sends_to_backend(destination: Endpoint, peer: &SocketPeer) -> bool {
    let SocketPeer {
        backend_address,
        backend_port,
        ..
    } = *peer;
    backend_port != Port::new(0) && (destination.address, destination.port) == (backend_address, backend_port)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use bytemuck::Zeroable as _;
    use kproxy_common::{Address, Backend, BackendIndex, Family, Frontend};

    use super::*;
    use crate::plan::{ServicePortName, Step};

    fn endpoint(address: &str, port: u16) -> Endpoint {
        let address: IpAddr = address.parse().expect("an address");
        Endpoint {
            address: Address::from(address),
            port: Port::new(port),
        }
    }

    #[test]
    fn only_what_the_socket_door_gave_is_stale() {
        let v4 = endpoint("10.0.0.1", 5353);
        let v6 = endpoint("fd00::1", 5353);
        // `connect` to something that is no service keeps the record and clears its port.
        let direct = Endpoint {
            port: Port::new(0),
            ..v4
        };
        let rows = [
            ("7.03 as given", v4, v4, true),
            ("7.03 as given, IPv6", v6, v6, true),
            (
                "7.03 an IPv6 socket on IPv4",
                endpoint("::ffff:10.0.0.1", 5353),
                v4,
                true,
            ),
            ("connected elsewhere since", endpoint("10.0.0.2", 5353), v4, false),
            (
                "connected to another port since",
                endpoint("10.0.0.1", 53),
                v4,
                false,
            ),
            ("connected to the backend itself since", v4, direct, false),
            ("to no port", direct, direct, false),
        ];
        for (row, destination, given, expected) in rows {
            let peer = SocketPeer {
                backend_address: given.address,
                backend_port: given.port,
                ..SocketPeer::zeroed()
            };
            let reasons = Reasons::new(vec![StalePeer { cookie: 7, peer }], BTreeSet::new());
            assert_eq!(reasons.concern(7, destination), expected, "{row}");
            assert_eq!(
                reasons.in_pods().concern(7, destination),
                expected,
                "{row}, in a pod"
            );
            assert!(!reasons.concern(8, destination), "{row}, another socket");
        }
    }

    /// 7.07: what was not translated, since there was nothing to translate it to, starts over. Pods need it not.
    #[test]
    fn a_socket_that_is_connected_to_the_service_address_itself_went_past_the_door() {
        let service = endpoint("10.96.0.10", 53);
        let reasons = Reasons::new(Vec::new(), [service].into());
        assert!(reasons.concern(7, service));
        assert!(!reasons.concern(7, endpoint("10.96.0.10", 54)));
        assert!(!reasons.concern(7, endpoint("10.96.0.11", 53)));
        assert!(!reasons.in_pods().concern(7, service));
        assert!(!reasons.is_empty());
        assert!(reasons.in_pods().is_empty());
    }

    #[test]
    fn what_a_plan_means_for_sockets() {
        let (index, backend) = (BackendIndex(1), Backend::zeroed());
        let retired = Action::RetireBackend { index, backend };
        let written = Action::WriteBackend { index, backend };
        let key = |address: &str| {
            let Endpoint { address, port } = endpoint(address, 53);
            FrontendKey::new(address, port, Protocol::UDP)
        };
        let put = |address: &str| Action::PutFrontend {
            key: key(address),
            frontend: Frontend::zeroed(),
        };
        let address = "10.96.0.10";
        let (udp, tcp, sctp) = (Some(Protocol::UDP), Some(Protocol::TCP), Some(Protocol::SCTP));
        let rows = [
            // 7.01: kube-proxy asks for a changed slice; here any change counts that takes a backend away.
            ("7.01 7.06 7.09 retired", retired.clone(), udp, true, None),
            ("7.02 TCP", retired.clone(), tcp, false, None),
            ("7.02 SCTP", retired.clone(), sctp, false, None),
            ("left behind by an earlier run", retired, None, true, None),
            ("7.05 changed", written, udp, false, None),
            (
                "7.07 it has backends now",
                put(address),
                udp,
                false,
                Some(address),
            ),
            (
                "7.07 it had some before, or has none",
                put("10.96.0.11"),
                udp,
                false,
                None,
            ),
            ("a NodePort", put("0.0.0.0"), udp, false, None),
        ];
        for (row, action, protocol, retired, served) in rows {
            let service = protocol.map(|protocol| {
                Arc::new(ServicePortName {
                    namespace: "test".into(),
                    name: "dns".into(),
                    port: "".into(),
                    protocol,
                    family: Family::V4,
                })
            });
            let plan = Plan {
                steps: vec![Step { action, service }],
                newly_served: [key(address), key("0.0.0.0"), key("10.96.0.12")].into(),
                ..Plan::default()
            };
            let change = Change {
                retired,
                served: served.map(|address| endpoint(address, 53)).into_iter().collect(),
            };
            assert_eq!(Change::from(&plan), change, "{row}");
            assert_eq!(change.matters(), retired || served.is_some(), "{row}");
        }
        assert!(!Change::from(&Plan::default()).matters());
    }
}
