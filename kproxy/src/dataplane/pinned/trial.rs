//! The real program on a packet, without a trace.
//!
//! The same object is loaded once more. Its copy reads the pinned maps that say what services there are, but has flows,
//! affinity and counters of its own, which begin each run with what is known of the one connection and end it empty.
//! `BPF_PROG_TEST_RUN` carries out no redirect, so nothing leaves the machine either.

use std::io;

use aya::maps::{Array, Map, MapData, MapError, PerCpuArray};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use kproxy_common::answering::{self, Answering};
use kproxy_common::{Affinity, AffinityKey, Counter, Door, Flow, PortSearch, SnatKey, Tuple, maps};
use kproxy_ebpf::Age;

use super::{Pinned, map_error};
use crate::dataplane::OBJECT;
use crate::dataplane::attempts::load_program;
use crate::dataplane::error::OpenError;
use crate::dataplane::pins::map_path;
use crate::dataplane::sys::hash::{Hash, Stopped};
use crate::dataplane::tables::sum_counters;

/// Maps that the copy shares with the programs in force. It only reads them.
const SHARED: [&str; 10] = [
    maps::ADDRESSES,
    maps::GATE,
    maps::FRONTENDS,
    maps::SLOTS,
    maps::BACKENDS,
    maps::SOURCE_RANGES,
    maps::SERVICE_CIDRS,
    maps::NODE_ADDRESSES,
    maps::POD_RANGES,
    maps::DEVICES,
];
/// Maps of its own that programs write.
const OWN: [&str; 5] = [
    maps::FLOWS,
    maps::FLOWS_NEW,
    maps::SOCKET_FLOWS,
    maps::AFFINITY,
    maps::SNAT_PORTS,
];
/// Entries of those: an LRU keeps some for every processor.
const ENTRIES: u32 = 4_096;

/// Length of the context up to its field `ifindex`, and where that is (include/uapi/linux/bpf.h).
const CONTEXT_LENGTH: usize = 11 * size_of::<u32>();
const CONTEXT_DEVICE: usize = 10 * size_of::<u32>();

/// Verdicts of a TC program (`include/uapi/linux/pkt_cls.h`).
const TC_ACT_UNSPEC: u32 = u32::MAX;
const TC_ACT_SHOT: u32 = 2;
const TC_ACT_REDIRECT: u32 = 7;

/// A second copy of the programs that decide on packets which come in.
pub struct Trial {
    object: Ebpf,
    flows: Hash<Tuple, Flow>,
    flows_new: Hash<Tuple, Flow>,
    affinity: Hash<AffinityKey, Affinity>,
    port_searches: Hash<SnatKey, PortSearch>,
    counters: PerCpuArray<MapData, u64>,
}

/// Where a packet comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Out of a pod.
    Pod,
    /// By an uplink; by the device with this interface index, or by none in particular.
    Uplink(Option<u32>),
}

impl Entry {
    const fn program(self) -> &'static str {
        match self {
            Self::Pod => "pod_ingress",
            Self::Uplink(_) => "uplink_ingress",
        }
    }

    const fn door(self) -> Door {
        match self {
            Self::Pod => Door::PodIngress,
            Self::Uplink(_) => Door::UplinkIngress,
        }
    }
}

/// What the program did with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// What it said.
    pub action: Action,
    /// The packet afterwards.
    pub bytes: Vec<u8>,
    /// What it counted.
    pub counted: Vec<Counter>,
}

/// What a TC program says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The packet goes on.
    Continue,
    /// It goes out around the stack, translated or as a rejection.
    Redirect,
    /// It ends here.
    Drop,
}

impl Pinned {
    /// Loads a copy of the programs.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn trial(&self) -> Result<Trial, OpenError> {
        let settings = self.settings()?;
        let mut loader = EbpfLoader::new();
        loader.override_global("SETTINGS", bytemuck::bytes_of(&settings), true);
        for name in SHARED {
            loader.map_pin_path(name, map_path(&self.root, name));
        }
        for name in OWN {
            loader.map_max_entries(name, ENTRIES);
        }
        let mut object = loader.load(OBJECT)?;
        for program in [Entry::Pod, Entry::Uplink(None)].map(Entry::program) {
            let classifier: &mut SchedClassifier = object
                .program_mut(program)
                .and_then(|program| program.try_into().ok())
                .ok_or(OpenError::Missing {
                    program,
                    kind: "classifier",
                })?;
            load_program(|| classifier.load()).map_err(|source| OpenError::Program { program, source })?;
        }
        expect_flows(&mut object)?;
        let flows = take(&mut object, maps::FLOWS)?;
        let flows_new = take(&mut object, maps::FLOWS_NEW)?;
        let affinity = take(&mut object, maps::AFFINITY)?;
        let port_searches = take(&mut object, maps::SNAT_PORTS)?;
        let counters = object
            .take_map(maps::COUNTERS)
            .ok_or_else(missing(maps::COUNTERS))?;
        let counters = PerCpuArray::try_from(counters)
            .map_err(|error| map_error(maps::COUNTERS)(io::Error::other(error)))?;
        Ok(Trial {
            object,
            flows,
            flows_new,
            affinity,
            port_searches,
            counters,
        })
    }
}

/// Has the copy look for the flows that it is given, whoever they lead to.
fn expect_flows(object: &mut Ebpf) -> Result<(), OpenError> {
    let map = object
        .map_mut(maps::ANSWERING)
        .ok_or_else(missing(maps::ANSWERING))?;
    let failed = |error: MapError| map_error(maps::ANSWERING)(io::Error::other(error));
    let mut answering: Array<_, Answering> = Array::try_from(map).map_err(failed)?;
    let Ok(everybody) = Box::<Answering>::try_from(vec![1; answering::PLACES]) else {
        unreachable!("it has that many places");
    };
    answering.set(0, everybody, 0).map_err(failed)
}

impl Trial {
    /// Runs the program on a packet, as it would run for a node that knows these connections and this record.
    ///
    /// # Errors
    /// When the kernel does not run it.
    pub fn run(
        &mut self,
        entry: Entry,
        packet: &[u8],
        flows: &[(Age, Tuple, Flow)],
        affinity: Option<(AffinityKey, Affinity)>,
    ) -> io::Result<Fate> {
        self.clear()?;
        for (age, tuple, flow) in flows {
            let map = match age {
                Age::New => &self.flows_new,
                Age::Answered => &self.flows,
            };
            map.put(&[*tuple], &[*flow]).map_err(stopped)?;
        }
        if let Some((key, record)) = affinity {
            self.affinity.put(&[key], &[record]).map_err(stopped)?;
        }
        let before = self.counts(entry.door())?;
        let (action, bytes) = self.test_run(entry, packet)?;
        let after = self.counts(entry.door())?;
        let counted = before.into_iter().zip(after);
        let counted = counted.filter(|((_, before), (_, after))| after > before);
        Ok(Fate {
            action,
            bytes,
            counted: counted.map(|(_, (counter, _))| counter).collect(),
        })
    }

    fn test_run(&self, entry: Entry, packet: &[u8]) -> io::Result<(Action, Vec<u8>)> {
        let program: &SchedClassifier = self
            .object
            .program(entry.program())
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| io::Error::other("no such program"))?;
        // Room for the headers of a rejection as well.
        let mut bytes = vec![0; packet.len() + 256];
        // Only the index may be said of it beside zeros; the kernel takes loopback where nothing is said.
        let context = match entry {
            Entry::Uplink(Some(index)) => Some(context_with(index)),
            Entry::Uplink(None) | Entry::Pod => None,
        };
        let options = TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut bytes),
            ctx_in: context.as_ref().map(|context| &context[..]),
            repeat: 1,
            ..TestRunOptions::default()
        };
        let result = program.test_run(options).map_err(io::Error::other)?;
        bytes.truncate(usize::try_from(result.data_size_out).map_err(io::Error::other)?);
        let action = match result.return_value {
            TC_ACT_UNSPEC => Action::Continue,
            TC_ACT_REDIRECT => Action::Redirect,
            TC_ACT_SHOT => Action::Drop,
            other => return Err(io::Error::other(format!("the program answered {other}"))),
        };
        Ok((action, bytes))
    }

    fn counts(&self, door: Door) -> io::Result<Vec<(Counter, u64)>> {
        let counts = sum_counters(&self.counters).map_err(io::Error::other)?;
        let counts = counts.into_iter().filter(|(at, ..)| *at == door);
        Ok(counts.map(|(_, counter, count)| (counter, count)).collect())
    }

    /// Forgets everything, so that no question bears on the next one.
    fn clear(&self) -> io::Result<()> {
        clear(&self.flows)?;
        clear(&self.flows_new)?;
        clear(&self.affinity)?;
        clear(&self.port_searches)
    }
}

/// A `struct __sk_buff` that came in by a device, as far as the kernel lets it be set (`convert___skb_to_skb`).
fn context_with(index: u32) -> [u8; CONTEXT_LENGTH] {
    let mut context = [0; CONTEXT_LENGTH];
    let end = CONTEXT_DEVICE + size_of::<u32>();
    context[CONTEXT_DEVICE..end].copy_from_slice(&index.to_ne_bytes());
    context
}

fn clear<K: bytemuck::Pod, V: bytemuck::Pod>(map: &Hash<K, V>) -> io::Result<()> {
    let keys: Vec<K> = map.entries()?.into_iter().map(|(key, _)| key).collect();
    map.remove(&keys).map_err(stopped)
}

fn stopped(stopped: Stopped) -> io::Error {
    stopped.error
}

fn take<K: bytemuck::Pod, V: bytemuck::Pod>(
    object: &mut Ebpf,
    name: &'static str,
) -> Result<Hash<K, V>, OpenError> {
    let map = object.take_map(name).ok_or_else(missing(name))?;
    let Map::LruHashMap(data) = map else {
        let error = io::Error::other("the kernel object has another kind of map");
        return Err(map_error(name)(error));
    };
    Hash::new(data).map_err(map_error(name))
}

fn missing(map: &'static str) -> impl Fn() -> OpenError {
    move || map_error(map)(io::Error::other("the kernel object has no such map"))
}
