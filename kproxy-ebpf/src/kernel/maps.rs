//! The maps, and the library's view of them.
//!
//! Sizes given here are those of a small node; the agent sets them when it loads the object.

use aya_ebpf::bindings::{BPF_ANY, BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_NOEXIST};
use aya_ebpf::helpers::generated::{bpf_get_prandom_u32, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray};
use aya_ebpf::{Global, btf_maps::SkStorage};
use kproxy_common::gate::{self, Place, Sign};
use kproxy_common::{
    Address, AddressRange, AddressRole, Affinity, AffinityKey, Answering, Asking, Backend, BackendIndex,
    Counter, Device, DeviceIndex, Door, Family, Flow, Fragment, FragmentKey, Frontend, FrontendKey,
    Nanoseconds, PortSearch, RangeSetId, ServiceId, ServiceName, Settings, SnatKey, SocketFlow,
    SocketFlowKey, SocketPeer, SourceRange, Tuple, Vlan, answering, counter, maps,
};
use kproxy_ebpf::ports::{self, Claim};
use kproxy_ebpf::{Age, Existing, InsertError, Scratch, Tables, Work};

use super::way::{Known, Last};

const EEXIST: i32 = 17;

#[map]
static ADDRESSES: HashMap<Address, AddressRole> = HashMap::with_max_entries(16_384, BPF_F_NO_PREALLOC);
#[map]
static GATE: Array<u64> = Array::with_max_entries(gate::WORDS, BPF_F_MMAPABLE);
#[map]
static FRONTENDS: HashMap<FrontendKey, Frontend> = HashMap::with_max_entries(16_384, BPF_F_NO_PREALLOC);
#[map]
static SLOTS: Array<BackendIndex> = Array::with_max_entries(65_536, BPF_F_MMAPABLE);
#[map]
static BACKENDS: Array<Backend> = Array::with_max_entries(65_536, BPF_F_MMAPABLE);
#[map]
static FLOWS: LruHashMap<Tuple, Flow> = LruHashMap::with_max_entries(65_536, 0);
#[map]
static FLOWS_NEW: LruHashMap<Tuple, Flow> = LruHashMap::with_max_entries(16_384, 0);
#[map]
static ANSWERING: Array<Answering> = Array::with_max_entries(1, 0);
#[map]
static ASKING: Array<Asking> = Array::with_max_entries(1, 0);
#[map]
static SOCKET_FLOWS: LruHashMap<SocketFlowKey, SocketFlow> = LruHashMap::with_max_entries(16_384, 0);
#[map]
static AFFINITY: LruHashMap<AffinityKey, Affinity> = LruHashMap::with_max_entries(16_384, 0);
#[map]
static SOURCE_RANGES: LpmTrie<SourceRange, u32> = LpmTrie::with_max_entries(16_384, BPF_F_NO_PREALLOC);
#[map]
static SERVICE_CIDRS: Array<AddressRange> = Array::with_max_entries(maps::SERVICE_CIDRS_MAX, 0);
#[map]
static NODE_ADDRESSES: Array<Address> = Array::with_max_entries(maps::FAMILIES, 0);
#[map]
static POD_RANGES: Array<AddressRange> = Array::with_max_entries(maps::FAMILIES, 0);
#[map]
static DEVICES: HashMap<DeviceIndex, Device> =
    HashMap::with_max_entries(maps::DEVICES_MAX, BPF_F_NO_PREALLOC);
#[map]
pub(super) static VLANS: HashMap<Vlan, DeviceIndex> =
    HashMap::with_max_entries(maps::VLANS_MAX, BPF_F_NO_PREALLOC);
#[map]
static SNAT_PORTS: LruHashMap<SnatKey, PortSearch> = LruHashMap::with_max_entries(16_384, 0);
#[map]
static FRAGMENTS: LruHashMap<FragmentKey, Fragment> = LruHashMap::with_max_entries(16_384, 0);
// The agent's notes for people: no program reads them.
#[map]
static SERVICE_NAMES: HashMap<ServiceId, ServiceName> = HashMap::with_max_entries(16_384, BPF_F_NO_PREALLOC);
#[map]
static LOADED_SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(counter::COUNTERS, 0);
#[btf_map]
pub(super) static SOCKET_PEERS: SkStorage<SocketPeer> = SkStorage::new();

#[unsafe(no_mangle)]
static SETTINGS: Global<Settings> = Global::new(Settings::DEFAULT);

/// The answer of the last route lookup on this CPU: too big for the stack beside everything else. Programs run to their
/// end on their CPU, and the answer is read by the program that asked.
#[map]
pub(super) static WAY: PerCpuArray<Last> = PerCpuArray::with_max_entries(1, 0);

/// Ways that were found a moment ago, each at a [place](super::way::Known::place) that others may take from it.
#[map]
pub(super) static WAYS: PerCpuArray<Known> = PerCpuArray::with_max_entries(Known::PLACES, 0);

/// Memory of the TC program that runs on this CPU.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// This CPU's memory for one packet, always there. For TC programs only: they run with softirqs off and so never amid
/// one another (`__dev_queue_xmit`, `net_rx_action`), while a hook of a socket may be interrupted.
#[inline(always)]
pub(crate) fn scratch() -> Option<&'static mut Scratch> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: the entry is this CPU's own, array entries live as long as the map, and no other program of this CPU that
    // uses it runs before this one has ended. It begins as zeros, which are a value of this type, and only we write it.
    Some(unsafe { &mut *scratch })
}

/// The maps of this object.
pub(crate) struct Maps;

impl Tables for Maps {
    #[inline(always)]
    fn sign(&self, place: Place) -> Sign {
        let Some(word) = GATE.get_ptr(place.word()) else {
            return Sign::all();
        };
        let sign = word.cast::<u8>().wrapping_add(place.byte());
        // SAFETY: array entries live as long as the map, and the byte is within this one. The agent may write at the same time: a
        // byte is whole.
        Sign::from_bits_retain(unsafe { sign.read_volatile() })
    }

    #[inline(always)]
    fn address(&self, address: &Address) -> AddressRole {
        // SAFETY: copied out at once; values of this type have no invalid bits. The kernel reuses elements at once, so
        // it may be another address's role: then one packet goes on untranslated, ends at the next lookup, or is rejected or
        // dropped as one to that address would be.
        unsafe { ADDRESSES.get(address) }
            .copied()
            .unwrap_or(AddressRole::empty())
    }

    #[inline(always)]
    fn frontend(&self, key: &FrontendKey) -> Option<Frontend> {
        // SAFETY: copied out at once; values of this type have no invalid bits. The kernel reuses elements at once, so
        // it may be another key's value, or of two: the caller compares the fingerprint and the backend's service.
        unsafe { FRONTENDS.get(key) }.copied()
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<BackendIndex> {
        SLOTS.get(index).copied()
    }

    #[inline(always)]
    fn backend(&self, index: BackendIndex) -> Option<Backend> {
        BACKENDS.get(index.0).copied()
    }

    #[inline(always)]
    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        // SAFETY: copied out at once; values of this type have no invalid bits. The kernel reuses elements at once, so
        // it may be another key's value: the caller compares the fingerprint.
        unsafe { AFFINITY.get(key) }.copied()
    }

    #[inline(always)]
    fn insert_affinity(&self, door: Door, key: &AffinityKey, affinity: &Affinity) -> bool {
        let insert = || AFFINITY.insert(key, affinity, u64::from(BPF_ANY)).is_ok();
        if insert() {
            return true;
        }
        self.count(door, Counter::MapRetry);
        insert()
    }

    #[inline(always)]
    fn in_source_range(&self, set: RangeSetId, address: &Address) -> bool {
        SOURCE_RANGES
            .get(Key::new(SourceRange::WHOLE, SourceRange::new(set, *address)))
            .is_some()
    }

    #[inline(always)]
    fn service_cidr(&self, index: u32) -> AddressRange {
        SERVICE_CIDRS.get(index).copied().unwrap_or(AddressRange::UNSET)
    }

    #[inline(always)]
    fn node_address(&self, family: Family) -> Option<Address> {
        NODE_ADDRESSES
            .get(maps::family_index(family))
            .copied()
            .filter(|address| !address.is_unspecified())
    }

    #[inline(always)]
    fn pod_range(&self, family: Family) -> AddressRange {
        let range = POD_RANGES.get(maps::family_index(family));
        range.copied().unwrap_or(AddressRange::UNSET)
    }

    #[inline(always)]
    fn device(&self, index: DeviceIndex) -> Option<Device> {
        // SAFETY: copied out at once; values of this type have no invalid bits. Another device's value, of an element
        // that was reused, differs for one new flow.
        unsafe { DEVICES.get(index) }.copied()
    }

    #[inline(always)]
    fn port_search(&self, key: &SnatKey) -> Option<PortSearch> {
        // On the stack, as in `record_reply`.
        let key = *key;
        // SAFETY: copied out at once; values of this type have no invalid bits, and any of them is a place to begin.
        unsafe { SNAT_PORTS.get(key) }.copied()
    }

    #[inline(always)]
    fn insert_port_search(&self, key: &SnatKey, search: &PortSearch) {
        // On the stack, as in `record_reply`.
        let (key, search) = (*key, *search);
        // What was learned is lost, and learned again.
        let _ = SNAT_PORTS.insert(key, search, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn search_ports(&self, work: &mut Work, tuple: &Tuple) -> Claim {
        Claim::from_number(search_ports(work, tuple))
    }

    #[inline(always)]
    fn flow(&self, age: Age, key: &Tuple) -> Option<Flow> {
        // SAFETY: copied out at once; values of this type have no invalid bits. The kernel reuses elements at once, so
        // it may be another key's value: the caller compares the fingerprint.
        unsafe { flows(age).get(key) }.copied()
    }

    #[inline(always)]
    fn insert_flow(
        &self,
        door: Door,
        age: Age,
        key: &Tuple,
        flow: &Flow,
        existing: Existing,
    ) -> Result<(), InsertError> {
        let flags = match existing {
            Existing::Keep => u64::from(BPF_NOEXIST),
            Existing::Replace => u64::from(BPF_ANY),
        };
        let insert = || flows(age).insert(key, flow, flags);
        let Err(first) = insert() else { return Ok(()) };
        if first == -EEXIST {
            return Err(InsertError::Exists);
        }
        self.count(door, Counter::MapRetry);
        insert().map_err(|second| {
            if second == -EEXIST {
                InsertError::Exists
            } else {
                InsertError::Failed
            }
        })
    }

    #[inline(always)]
    fn remove_flow(&self, age: Age, key: &Tuple) {
        // An entry that is gone already is what was wanted.
        let _ = flows(age).remove(key);
    }

    #[inline(always)]
    fn is_answering(&self, place: u16) -> bool {
        is_noted(&ANSWERING, place)
    }

    #[inline(always)]
    fn note_answering(&self, place: u16) {
        note(&ANSWERING, place);
    }

    #[inline(always)]
    fn is_asking(&self, place: u16) -> bool {
        is_noted(&ASKING, place)
    }

    #[inline(always)]
    fn note_asking(&self, place: u16) {
        note(&ASKING, place);
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        // SAFETY: copied out at once; values of this type have no invalid bits. The kernel reuses elements at once, so
        // it may be another key's value: the caller compares the fingerprint.
        unsafe { FRAGMENTS.get(key) }.copied()
    }

    #[inline(always)]
    fn insert_fragment(&self, key: &FragmentKey, fragment: &Fragment, existing: Existing) {
        let flags = match existing {
            Existing::Keep => u64::from(BPF_NOEXIST),
            Existing::Replace => u64::from(BPF_ANY),
        };
        // What is not recorded is missed when a later fragment comes, and counted then.
        let _ = FRAGMENTS.insert(key, fragment, flags);
    }

    #[inline(always)]
    fn remove_fragment(&self, key: &FragmentKey) {
        // An entry that is gone already is what was wanted.
        let _ = FRAGMENTS.remove(key);
    }

    #[inline(always)]
    fn socket_flow(&self, key: &SocketFlowKey) -> Option<SocketFlow> {
        // SAFETY: copied out at once; values of this type have no invalid bits. The kernel reuses elements at once, so
        // it may be another key's value: the caller compares the fingerprint.
        unsafe { SOCKET_FLOWS.get(key) }.copied()
    }

    #[inline(always)]
    fn insert_socket_flow(&self, key: &SocketFlowKey, flow: &SocketFlow) -> bool {
        let insert = || SOCKET_FLOWS.insert(key, flow, u64::from(BPF_ANY)).is_ok();
        if insert() {
            return true;
        }
        self.count(Door::Socket, Counter::MapRetry);
        insert()
    }

    #[inline(always)]
    fn remove_socket_flow(&self, key: &SocketFlowKey) {
        // An entry that is gone already is what was wanted.
        let _ = SOCKET_FLOWS.remove(key);
    }

    #[inline(always)]
    fn count(&self, door: Door, counter: Counter) {
        if let Some(value) = COUNTERS.get_ptr_mut(counter::index(door, counter)) {
            // SAFETY: the entry is this CPU's own, and array entries live as long as the map.
            unsafe { *value += 1 };
        }
    }

    #[inline(always)]
    fn now(&self) -> Nanoseconds {
        // SAFETY: the helper takes nothing and is allowed in every program type. Ticks are fine enough here.
        Nanoseconds(unsafe { bpf_ktime_get_coarse_ns() })
    }

    #[inline(always)]
    fn precise_now(&self) -> Nanoseconds {
        // SAFETY: the helper takes nothing and is allowed in every program type.
        Nanoseconds(unsafe { bpf_ktime_get_ns() })
    }

    #[inline(always)]
    fn random(&self) -> u32 {
        // SAFETY: the helper takes nothing and is allowed in every program type.
        unsafe { bpf_get_prandom_u32() }
    }

    /// In place: a copy of all of them would take their room on the stack wherever one of them is asked for.
    #[inline(always)]
    fn settings(&self) -> &Settings {
        // What the compiler can not see through is not what the object says, but what the agent has put there.
        let settings: *const Settings = core::hint::black_box(&raw const SETTINGS).cast();
        // SAFETY: `Global` is transparent and always holds a value; nobody writes it once the program is loaded.
        unsafe { &*settings }
    }
}

/// Whether the byte at a place is not 0.
#[inline(always)]
fn is_noted(places: &Array<[u8; answering::PLACES]>, place: u16) -> bool {
    let Some(places) = places.get_ptr(0) else {
        return true;
    };
    let noted = places.cast::<u8>().wrapping_add(usize::from(place));
    // SAFETY: array entries live as long as the map, and every place is within this one. Another CPU may write at
    // the same time: a byte, and always the same.
    unsafe { noted.read_volatile() != 0 }
}

#[inline(always)]
fn note(places: &Array<[u8; answering::PLACES]>, place: u16) {
    // Read first: a line of the cache that nobody writes to is every CPU's.
    if is_noted(places, place) {
        return;
    }
    if let Some(places) = places.get_ptr_mut(0) {
        let noted = places.cast::<u8>().wrapping_add(usize::from(place));
        // SAFETY: as above.
        unsafe { noted.write_volatile(1) };
    }
}

#[inline(always)]
fn flows(age: Age) -> &'static LruHashMap<Tuple, Flow> {
    match age {
        Age::New => &FLOWS_NEW,
        Age::Answered => &FLOWS,
    }
}

/// Global, which makes the verifier follow the search once and not for every state that a caller may be in. The kernel
/// takes the pointers for ones that may be null.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn search_ports(work: *mut Work, tuple: *const Tuple) -> u32 {
    // SAFETY: the only caller has references, and does not use them until this returns.
    let work = unsafe { work.as_mut() };
    // SAFETY: as above.
    let tuple = unsafe { tuple.as_ref() };
    match (work, tuple) {
        (Some(work), Some(tuple)) => ports::search_own(&Maps, work, tuple) as u32,
        _ => Claim::Failed as u32,
    }
}
