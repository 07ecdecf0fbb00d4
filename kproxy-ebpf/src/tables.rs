//! Access to the maps, the clock and chance.

use kproxy_common::gate::{Place, Sign};
use kproxy_common::{
    Address, AddressRange, AddressRole, Affinity, AffinityKey, Backend, BackendIndex, Counter, Device,
    DeviceIndex, Door, Family, Flow, Fragment, FragmentKey, Frontend, FrontendKey, Nanoseconds, PortSearch,
    RangeSetId, Settings, SnatKey, SocketFlow, SocketFlowKey, Tuple,
};

use crate::ports::{self, Claim};
use crate::scratch::Work;

/// Which of the two flow maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// `FLOWS_NEW`: the peer has not answered.
    New,
    /// `FLOWS`.
    Answered,
}

/// What an insert does to an entry that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the insert fails (`BPF_NOEXIST`).
    Keep,
    /// It is replaced (`BPF_ANY`).
    Replace,
}

/// Why an insert failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// There is such an entry.
    Exists,
    /// The map refused, twice: full, busy or out of memory.
    Failed,
}

/// The maps of the data plane. Values are copied out; a missing entry is `None`.
pub trait Tables {
    /// `GATE`.
    fn sign(&self, place: Place) -> Sign;
    /// `ADDRESSES`; nothing is set for an unknown address.
    fn address(&self, address: &Address) -> AddressRole;
    /// `FRONTENDS`.
    fn frontend(&self, key: &FrontendKey) -> Option<Frontend>;
    /// `SLOTS`.
    fn slot(&self, index: u32) -> Option<BackendIndex>;
    /// `BACKENDS`.
    fn backend(&self, index: BackendIndex) -> Option<Backend>;

    /// `AFFINITY`.
    fn affinity(&self, key: &AffinityKey) -> Option<Affinity>;
    /// Inserts or replaces; false if the map refused, also at the second try, which is counted.
    fn insert_affinity(&self, door: Door, key: &AffinityKey, affinity: &Affinity) -> bool;
    /// `SOURCE_RANGES`: whether a set has a range that contains the address.
    fn in_source_range(&self, set: RangeSetId, address: &Address) -> bool;
    /// `SERVICE_CIDRS`; unset past the end of the list.
    fn service_cidr(&self, index: u32) -> AddressRange;
    /// `NODE_ADDRESSES`: the node's own address of a family, if it is known.
    fn node_address(&self, family: Family) -> Option<Address>;

    /// `POD_RANGES`; unset if source addresses of this family tell nothing.
    fn pod_range(&self, family: Family) -> AddressRange;
    /// `DEVICES`.
    fn device(&self, index: DeviceIndex) -> Option<Device>;

    /// `SNAT_PORTS`.
    fn port_search(&self, key: &SnatKey) -> Option<PortSearch>;
    /// Inserts or replaces. A refusal costs only what was learned.
    fn insert_port_search(&self, key: &SnatKey, search: &PortSearch);

    /// What [`ports::search_own`] does, for those who call it in another way.
    #[inline(always)]
    fn search_ports(&self, work: &mut Work, tuple: &Tuple) -> Claim
    where
        Self: Sized,
    {
        ports::search_own(self, work, tuple)
    }

    /// `FLOWS` or `FLOWS_NEW`.
    fn flow(&self, age: Age, key: &Tuple) -> Option<Flow>;
    /// Inserts a flow entry. A failure that is not [`InsertError::Exists`] has been retried once and counted.
    fn insert_flow(
        &self,
        door: Door,
        age: Age,
        key: &Tuple,
        flow: &Flow,
        existing: Existing,
    ) -> Result<(), InsertError>;
    /// Removes an entry, if there is one.
    fn remove_flow(&self, age: Age, key: &Tuple);

    /// `ANSWERING`: whether there may be flows whose backend, or whose service, has this
    /// [place](kproxy_common::answering::place).
    fn is_answering(&self, place: u16) -> bool;
    /// Says from now on that there may be.
    fn note_answering(&self, place: u16);
    /// `ASKING`: whether there may be flows of pods at this [place](kproxy_common::answering::place_of_client).
    fn is_asking(&self, place: u16) -> bool;
    /// Says from now on that there may be.
    fn note_asking(&self, place: u16);

    /// `FRAGMENTS`.
    fn fragment(&self, key: &FragmentKey) -> Option<Fragment>;
    /// Inserts what became of a first fragment. A refusal is noticed by the later ones, which do not find it.
    fn insert_fragment(&self, key: &FragmentKey, fragment: &Fragment, existing: Existing);
    /// Removes an entry, if there is one.
    fn remove_fragment(&self, key: &FragmentKey);

    /// `SOCKET_FLOWS`.
    fn socket_flow(&self, key: &SocketFlowKey) -> Option<SocketFlow>;
    /// Inserts or replaces; false if the map refused, also at the second try.
    fn insert_socket_flow(&self, key: &SocketFlowKey, flow: &SocketFlow) -> bool;

    /// Removes an entry, if there is one.
    fn remove_socket_flow(&self, key: &SocketFlowKey);

    /// Adds one to a counter.
    fn count(&self, door: Door, counter: Counter);
    /// The monotonic clock, which may go by ticks.
    fn now(&self) -> Nanoseconds;
    /// The monotonic clock to the microsecond, at a higher price. Not to be compared with [`Tables::now`].
    fn precise_now(&self) -> Nanoseconds;
    /// 32 random bits.
    fn random(&self) -> u32;
    /// Constants.
    fn settings(&self) -> &Settings;
}
