//! Random states of a cluster and a node, and what happens to them.

use kproxy_common::{DeviceIndex, Vlan};
use proptest::prelude::*;

use super::*;

pub(super) type State = BTreeMap<ServicePortName, WantedService>;

/// What happens next.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Replace(State),
    Change(BTreeMap<ServicePortName, Option<WantedService>>),
    Place(WantedNode),
    Wait(u64),
    /// The agent dies after this share of the steps towards the state and starts again.
    Crash(State, f64),
    /// The same, but it finds out by itself and goes on.
    Heal(State, f64),
}

fn any_frontend() -> impl Strategy<Value = WantedFrontend> {
    let sets = prop_oneof![Just(BackendSet::Cluster), Just(BackendSet::Local)];
    let kinds = prop_oneof![
        Just(FrontendFlags::CLUSTER_IP),
        Just(FrontendFlags::CLUSTER_IP),
        Just(FrontendFlags::LOAD_BALANCER),
    ];
    let restricted = prop::bool::weighted(0.3);
    (kinds, 0..2_u32, sets.clone(), sets, restricted).prop_map(
        |(flags, affinity_seconds, inside, outside, restricted)| WantedFrontend {
            flags,
            affinity_seconds,
            inside,
            outside,
            restricted,
        },
    )
}

/// A frontend's address, or `None` for a `NodePort`.
fn frontend_key(address: Option<u8>, service: u8) -> FrontendKey {
    // Services share addresses but not ports.
    let port = u16::from(service);
    match address {
        Some(address) => key(address, 1000 + port),
        None => FrontendKey {
            address: Address::unspecified(Family::V4),
            ..key(0, 30_000 + port)
        },
    }
}

fn any_service(number: u8) -> impl Strategy<Value = WantedService> {
    let keys = prop::option::weighted(0.9, 0..3_u8).prop_map(move |address| frontend_key(address, number));
    let ranges = prop_oneof![
        Just("10.0.0.0/8"),
        Just("10.1.0.0/16"),
        Just("192.0.2.0/24"),
        Just("0.0.0.0/1")
    ];
    (
        prop::collection::btree_map(keys, any_frontend(), 1..4),
        prop::collection::btree_map(0..12_u8, (any::<bool>(), any::<bool>()), 0..8),
        prop::collection::btree_set(ranges.prop_map(cidr), 0..3),
    )
        .prop_map(|(mut frontends, endpoints, source_ranges)| {
            for (key, frontend) in &mut frontends {
                if key.address.is_unspecified() {
                    frontend.flags = FrontendFlags::NODE_PORT;
                }
            }
            let chosen = |pick: fn(&(bool, bool)) -> bool| {
                endpoints
                    .iter()
                    .filter(|(_, it)| pick(it))
                    .map(|(number, _)| endpoint(*number))
                    .collect()
            };
            let flags = |local| {
                if local {
                    BackendFlags::LOCAL
                } else {
                    BackendFlags::empty()
                }
            };
            WantedService {
                frontends,
                endpoints: endpoints
                    .iter()
                    .map(|(number, (local, _))| (endpoint(*number), flags(*local)))
                    .collect(),
                cluster: chosen(|(_, usable)| *usable),
                local: chosen(|(local, usable)| *local && *usable),
                source_ranges,
                left_alone: None,
            }
        })
}

fn any_vlans() -> impl Strategy<Value = BTreeMap<Vlan, DeviceIndex>> {
    let vlan = (2..4_u32, 1..4_u32, 4..8_u32).prop_map(|(parent, id, device)| {
        let parent = DeviceIndex(parent);
        (Vlan { parent, id }, DeviceIndex(device))
    });
    prop::collection::vec(vlan, 0..4).prop_map(|vlans| vlans.into_iter().collect())
}

fn any_node() -> impl Strategy<Value = WantedNode> {
    let addresses = || prop::collection::btree_set((0..16_u8).prop_map(address), 0..5);
    let ranges = (0..16_u8, 28..=32_u8).prop_map(|(host, length)| cidr(&format!("10.96.0.{host}/{length}")));
    (
        addresses(),
        addresses(),
        prop::collection::btree_set(ranges, 0..6),
        prop::option::of((0..16_u8).prop_map(address)),
        any_vlans(),
    )
        .prop_map(
            |(node_port_addresses, bound, service_cidrs, primary, vlans)| WantedNode {
                node_port_addresses,
                bound,
                primary: primary.map(|address| (Family::V4, address)).into_iter().collect(),
                service_cidrs,
                vlans,
                ..WantedNode::default()
            },
        )
}

fn any_change() -> impl Strategy<Value = (u8, Option<WantedService>)> {
    (0..5_u8).prop_flat_map(|number| (Just(number), prop::option::weighted(0.8, any_service(number))))
}

fn any_state() -> impl Strategy<Value = State> {
    prop::collection::vec(any_change(), 0..5).prop_map(|services| {
        services
            .into_iter()
            .filter_map(|(number, service)| Some((name(&number.to_string()), service?)))
            .collect()
    })
}

pub(super) fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => any_state().prop_map(Event::Replace),
        6 => prop::collection::vec(any_change(), 1..4).prop_map(|changes| {
            Event::Change(changes.into_iter().map(|(number, it)| (name(&number.to_string()), it)).collect())
        }),
        3 => any_node().prop_map(Event::Place),
        3 => (0..1500_u64).prop_map(Event::Wait),
        1 => (any_state(), 0.0..1.0).prop_map(|(state, share)| Event::Crash(state, share)),
        1 => (any_state(), 0.0..1.0).prop_map(|(state, share)| Event::Heal(state, share)),
    ]
}
