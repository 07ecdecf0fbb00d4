//! Which frontend stands for a destination and what it offers, and what a destination is that has none.

use bytemuck::{Pod, Zeroable};
use kproxy_common::{
    Address, AddressRange, AddressRole, BackendFlags, Frontend, FrontendFlags, FrontendKey, RangeSetId,
    ServiceId, SlotRun, maps,
};

use crate::tables::Tables;

/// Which side of a frontend's policies a client is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A socket of this node, a pod, or a source that the local-traffic detector knows.
    Inside,
    /// Everybody else.
    Outside,
}

/// What a frontend offers to the clients on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Offer {
    /// The service port.
    pub service: ServiceId,
    /// Session affinity by client address in seconds, 0 for none.
    pub affinity_seconds: u32,
    /// Who may ask.
    pub ranges: RangeSetId,
    /// The backends.
    pub run: SlotRun,
    /// Which set of the service they are, as backends are marked.
    pub set: BackendFlags,
    /// Not 0 if a request is dropped instead of rejected when there are none.
    pub drops: u8,
    /// Not 0 if the client's hash chooses among them.
    pub hashed: u8,
}

impl Offer {
    /// Whether it depends on who asks.
    #[must_use]
    #[inline(always)]
    pub const fn depends_on_client(&self) -> bool {
        self.affinity_seconds != 0 || self.ranges.0 != RangeSetId::EVERYBODY.0
    }

    #[inline(always)]
    fn new(frontend: &Frontend, side: Side) -> Self {
        let (run, drop, local, hashed) = match side {
            Side::Inside => (
                frontend.inside,
                FrontendFlags::DROP_INSIDE,
                FrontendFlags::INSIDE_LOCAL,
                FrontendFlags::empty(),
            ),
            Side::Outside => (
                frontend.outside,
                FrontendFlags::DROP_OUTSIDE,
                FrontendFlags::OUTSIDE_LOCAL,
                FrontendFlags::MAGLEV,
            ),
        };
        Self {
            service: frontend.service,
            affinity_seconds: frontend.affinity_seconds,
            ranges: frontend.ranges,
            run,
            set: if frontend.flags.contains(local) {
                BackendFlags::IN_LOCAL_SET
            } else {
                BackendFlags::IN_CLUSTER_SET
            },
            drops: u8::from(frontend.flags.contains(drop)),
            hashed: u8::from(frontend.flags.intersects(hashed)),
        }
    }
}

/// What a look for a frontend came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// One; what it offers was written to where the caller said.
    Frontend,
    /// There is none.
    Nothing,
    /// Its element was reused under our hands ([`kproxy_common::check`]): look again.
    Raced,
}

/// Finds the frontend of a destination. The address itself comes first; a `NodePort` is what is left for an address of
/// the node (semantics 3.02).
#[inline(never)]
pub fn find<T: Tables>(
    tables: &T,
    role: AddressRole,
    destination: &FrontendKey,
    side: Side,
    offer: &mut Offer,
) -> Found {
    if role.contains(AddressRole::SERVICE) {
        let found = read(tables, destination, side, offer);
        if found != Found::Nothing {
            return found;
        }
    }
    if role.contains(AddressRole::NODE) {
        return read(tables, &destination.node_port(), side, offer);
    }
    Found::Nothing
}

#[inline(always)]
fn read<T: Tables>(tables: &T, key: &FrontendKey, side: Side, offer: &mut Offer) -> Found {
    let Some(frontend) = tables.frontend(key) else {
        return Found::Nothing;
    };
    if frontend.check != key.check() {
        return Found::Raced;
    }
    *offer = Offer::new(&frontend, side);
    Found::Frontend
}

/// What a destination without a frontend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vacancy {
    /// An address of the node, whose own processes listen there, or of a service that is not served here.
    Node,
    /// The ClusterIP of a service: nobody else is behind it (semantics 4.08).
    ClusterIp,
    /// A ClusterIP that no service has (semantics 4.09).
    Unallocated,
    /// Another address of a service: what is not its port is somebody else's (semantics 4.14).
    Other,
}

/// Tells what a destination is that has no frontend. An address that is bound to the node is neither a ClusterIP with
/// undefined ports nor unallocated (semantics 4.13).
#[inline(always)]
pub fn vacancy<T: Tables>(tables: &T, role: AddressRole, address: &Address) -> Vacancy {
    if role.contains(AddressRole::CLUSTER_IP) {
        Vacancy::ClusterIp
    } else if role.intersects(
        AddressRole::OWN
            .union(AddressRole::NODE)
            .union(AddressRole::EXEMPT),
    ) {
        Vacancy::Node
    } else if is_in_service_cidr(tables, address) {
        Vacancy::Unallocated
    } else {
        Vacancy::Other
    }
}

/// Whether ClusterIPs are given out where this address lies. No hash and no trie: bystanders pay for it.
#[inline(always)]
pub fn is_in_service_cidr<T: Tables>(tables: &T, address: &Address) -> bool {
    for index in 0..maps::SERVICE_CIDRS_MAX {
        let range: AddressRange = tables.service_cidr(index);
        if range.is_unset() {
            break;
        }
        if range.contains(address) {
            return true;
        }
    }
    false
}
