//! The library's view of the maps while it decides on one packet: it reads what is there, its own writes stay here, and
//! all that it looked at is noted.
//!
//! So a question never leaves a trace in the maps, and the answer says what the library saw and not what somebody else
//! believes that it looks at.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use kproxy_common::gate::{Place, Sign};
use kproxy_common::{
    Address, AddressRange, AddressRole, Affinity, AffinityKey, Backend, BackendIndex, Counter, Device,
    DeviceFlags, DeviceIndex, Door, Family, Flow, Fragment, FragmentKey, Frontend, FrontendKey, Nanoseconds,
    PortSearch, RangeSetId, Settings, SnatKey, SocketFlow, SocketFlowKey, Tuple,
};
use kproxy_ebpf::{Age, Existing, InsertError, Tables};

/// Something that the library has seen or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It asked the gate.
    Address(Address, AddressRole),
    /// It looked for a frontend.
    Frontend(FrontendKey, Option<Frontend>),
    /// It looked for a connection that is known already.
    Flow(Flow),
    /// It looked for what a socket got before.
    SocketFlow(SocketFlow),
    /// It asked whether the client is in one of the service's source ranges.
    SourceRange(RangeSetId, Address, bool),
    /// It looked for the backend that a client had before.
    Affinity(AffinityKey, Option<Affinity>),
    /// It chose a slot.
    Slot(u32, BackendIndex),
    /// It read a backend.
    Backend(BackendIndex, Backend),
    /// It named an outcome.
    Counted(Counter),
}

/// A device without addresses.
const NAMELESS: Device = Device {
    v4: Address::unspecified(Family::V4),
    v6: Address::unspecified(Family::V6),
    flags: DeviceFlags::empty(),
    link_address: [0; 6],
    padding: 0,
};

/// Reads go to the maps below, writes stay here.
pub(super) struct Replay<'a, T> {
    below: &'a T,
    settings: Settings,
    /// What was written, `None` for what was removed.
    flows: RefCell<HashMap<Tuple, Option<Flow>>>,
    flows_new: RefCell<HashMap<Tuple, Option<Flow>>>,
    socket_flows: RefCell<HashMap<SocketFlowKey, Option<SocketFlow>>>,
    affinity: RefCell<HashMap<AffinityKey, Affinity>>,
    chance: Cell<Option<u32>>,
    /// The device that is known not by the maps but by the question.
    device: Option<(DeviceIndex, DeviceFlags)>,
    events: RefCell<Vec<Event>>,
}

impl<'a, T: Tables> Replay<'a, T> {
    /// A view of these maps for programs with these constants. The first chance is the given one, if there is one.
    pub(super) fn new(below: &'a T, settings: Settings, chance: Option<u32>) -> Self {
        Self {
            below,
            settings,
            flows: RefCell::default(),
            flows_new: RefCell::default(),
            socket_flows: RefCell::default(),
            affinity: RefCell::default(),
            chance: Cell::new(chance),
            device: None,
            events: RefCell::default(),
        }
    }

    /// The device that the packet comes in by is such a one, whatever the maps say.
    pub(super) fn by(self, index: DeviceIndex, flags: DeviceFlags) -> Self {
        Self {
            device: Some((index, flags)),
            ..self
        }
    }

    /// What was seen and done, in order.
    pub(super) fn into_events(self) -> Vec<Event> {
        self.events.into_inner()
    }

    fn note(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }

    fn own_flows(&self, age: Age) -> &RefCell<HashMap<Tuple, Option<Flow>>> {
        match age {
            Age::New => &self.flows_new,
            Age::Answered => &self.flows,
        }
    }

    fn look_up(&self, age: Age, key: &Tuple) -> Option<Flow> {
        let own = self.own_flows(age).borrow().get(key).copied();
        own.unwrap_or_else(|| self.below.flow(age, key))
    }
}

impl<T: Tables> Tables for Replay<'_, T> {
    /// Whoever asks wants to know what is looked up where the first look does not say that nothing is.
    fn sign(&self, _place: Place) -> Sign {
        Sign::all()
    }

    fn address(&self, address: &Address) -> AddressRole {
        let role = self.below.address(address);
        self.note(Event::Address(*address, role));
        role
    }

    fn frontend(&self, key: &FrontendKey) -> Option<Frontend> {
        let frontend = self.below.frontend(key);
        self.note(Event::Frontend(*key, frontend));
        frontend
    }

    fn slot(&self, index: u32) -> Option<BackendIndex> {
        let backend = self.below.slot(index);
        if let Some(backend) = backend {
            self.note(Event::Slot(index, backend));
        }
        backend
    }

    fn backend(&self, index: BackendIndex) -> Option<Backend> {
        let backend = self.below.backend(index);
        if let Some(backend) = backend {
            self.note(Event::Backend(index, backend));
        }
        backend
    }

    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        let own = self.affinity.borrow().get(key).copied();
        let affinity = own.or_else(|| self.below.affinity(key));
        self.note(Event::Affinity(*key, affinity));
        affinity
    }

    fn insert_affinity(&self, _door: Door, key: &AffinityKey, affinity: &Affinity) -> bool {
        self.affinity.borrow_mut().insert(*key, *affinity);
        true
    }

    fn in_source_range(&self, set: RangeSetId, address: &Address) -> bool {
        let contained = self.below.in_source_range(set, address);
        self.note(Event::SourceRange(set, *address, contained));
        contained
    }

    fn service_cidr(&self, index: u32) -> AddressRange {
        self.below.service_cidr(index)
    }

    fn node_address(&self, family: Family) -> Option<Address> {
        self.below.node_address(family)
    }

    fn pod_range(&self, family: Family) -> AddressRange {
        self.below.pod_range(family)
    }

    fn device(&self, index: DeviceIndex) -> Option<Device> {
        let known = self.below.device(index);
        match self.device {
            Some((asked, flags)) if asked == index => Some(Device {
                flags,
                ..known.unwrap_or(NAMELESS)
            }),
            _ => known,
        }
    }

    fn port_search(&self, key: &SnatKey) -> Option<PortSearch> {
        self.below.port_search(key)
    }

    // One question searches once.
    fn insert_port_search(&self, _key: &SnatKey, _search: &PortSearch) {}

    fn flow(&self, age: Age, key: &Tuple) -> Option<Flow> {
        let flow = self.look_up(age, key);
        if let Some(flow) = flow {
            self.note(Event::Flow(flow));
        }
        flow
    }

    fn insert_flow(
        &self,
        _door: Door,
        age: Age,
        key: &Tuple,
        flow: &Flow,
        existing: Existing,
    ) -> Result<(), InsertError> {
        if existing == Existing::Keep && self.look_up(age, key).is_some() {
            return Err(InsertError::Exists);
        }
        self.own_flows(age).borrow_mut().insert(*key, Some(*flow));
        Ok(())
    }

    fn remove_flow(&self, age: Age, key: &Tuple) {
        self.own_flows(age).borrow_mut().insert(*key, None);
    }

    // As if every lookup were made.
    fn is_answering(&self, _place: u16) -> bool {
        true
    }

    fn note_answering(&self, _place: u16) {}

    fn is_asking(&self, _place: u16) -> bool {
        true
    }

    fn note_asking(&self, _place: u16) {}

    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        self.below.fragment(key)
    }

    // A question is about one packet.
    fn insert_fragment(&self, _key: &FragmentKey, _fragment: &Fragment, _existing: Existing) {}

    fn remove_fragment(&self, _key: &FragmentKey) {}

    fn socket_flow(&self, key: &SocketFlowKey) -> Option<SocketFlow> {
        let own = self.socket_flows.borrow().get(key).copied();
        let flow = own.unwrap_or_else(|| self.below.socket_flow(key));
        if let Some(flow) = flow {
            self.note(Event::SocketFlow(flow));
        }
        flow
    }

    fn insert_socket_flow(&self, key: &SocketFlowKey, flow: &SocketFlow) -> bool {
        self.socket_flows.borrow_mut().insert(*key, Some(*flow));
        true
    }

    fn remove_socket_flow(&self, key: &SocketFlowKey) {
        self.socket_flows.borrow_mut().insert(*key, None);
    }

    fn count(&self, _door: Door, counter: Counter) {
        self.note(Event::Counted(counter));
    }

    fn now(&self) -> Nanoseconds {
        self.below.now()
    }

    fn precise_now(&self) -> Nanoseconds {
        self.below.precise_now()
    }

    fn random(&self) -> u32 {
        self.chance.take().unwrap_or_else(|| self.below.random())
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }
}
