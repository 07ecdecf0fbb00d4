//! Access to the maps, the clock and chance.

use kproxy_common::{
    Address, AddressRole, Backend, BackendIndex, Counter, Door, Flow, Frontend, FrontendKey, Nanoseconds,
    Settings, SocketFlow, SocketFlowKey, Tuple,
};

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
    /// `ADDRESSES`; nothing is set for an unknown address.
    fn address(&self, address: &Address) -> AddressRole;
    /// `FRONTENDS`.
    fn frontend(&self, key: &FrontendKey) -> Option<Frontend>;
    /// `SLOTS`.
    fn slot(&self, index: u32) -> Option<BackendIndex>;
    /// `BACKENDS`.
    fn backend(&self, index: BackendIndex) -> Option<Backend>;

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

    /// `SOCKET_FLOWS`.
    fn socket_flow(&self, key: &SocketFlowKey) -> Option<SocketFlow>;
    /// Inserts or replaces; false if the map refused, also at the second try.
    fn insert_socket_flow(&self, key: &SocketFlowKey, flow: &SocketFlow) -> bool;

    /// Removes an entry, if there is one.
    fn remove_socket_flow(&self, key: &SocketFlowKey);

    /// Adds one to a counter.
    fn count(&self, door: Door, counter: Counter);
    /// The monotonic clock.
    fn now(&self) -> Nanoseconds;
    /// 32 random bits.
    fn random(&self) -> u32;
    /// Constants.
    fn settings(&self) -> Settings;
}
