//! The programs of a pod's door and of an uplink, on the maps of a data plane.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use aya::maps::{HashMap, Map, MapData};
use aya::programs::{
    CgroupSockAddr, Iter, Program, SchedClassifier, TestRun as _, TestRunOptions, Xdp, XdpMode,
};
use aya::{Btf, Ebpf, EbpfLoader};
use kproxy::dataplane::{OBJECT, load_program};
use kproxy_common::{Flow, Nanoseconds, maps};

use super::network::{SECOND_MAC, SkbContext};
use super::place::Place;
use crate::acceptance::host::is_evicted;
use crate::acceptance::row::Half;
use crate::acceptance::simulation::{Fate, Hook};
use crate::acceptance::uplink::NEIGHBOUR_MAC;
use crate::host::frame::HOST_MAC;

/// `BPF_EXIST`: no other is written (`include/uapi/linux/bpf.h`).
const EXISTING: u64 = 2;

/// Verdicts of a TC program (`include/uapi/linux/pkt_cls.h`).
const TC_ACT_UNSPEC: u32 = u32::MAX;
const TC_ACT_SHOT: u32 = 2;
const TC_ACT_REDIRECT: u32 = 7;

/// Verdicts of an XDP program (`include/uapi/linux/bpf.h`).
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;
/// Length of a `struct xdp_md`.
const XDP_CONTEXT: usize = 6 * size_of::<u32>();
/// The XDP program.
const EARLY: &str = "uplink_xdp";

/// A VLAN's tag in a frame (IEEE 802.1Q).
pub type Tag = [u8; 4];
/// Where it stands: behind both addresses.
const TAG_AT: usize = 12;

/// The programs that are run on packets here.
const RUN: [&str; 5] = [
    "pod_ingress",
    "pod_egress",
    "uplink_ingress",
    "uplink_egress",
    EARLY,
];

/// Room for a packet and what is put in front of it.
const PACKET: usize = 4096;

type Flows = HashMap<MapData, [u8; size_of::<kproxy_common::Tuple>()], [u8; size_of::<Flow>()]>;

/// Loaded programs.
#[derive(Debug)]
pub struct Programs {
    object: Ebpf,
    flows: [Flows; 2],
}

/// What a packet that leaves again by a device with one of these addresses is: on its way to the neighbour that the routes name, or on
/// its way back.
fn sent(mut out: Vec<u8>, bytes: &[u8], from: &[[u8; 6]]) -> anyhow::Result<Fate> {
    if out[..6] != NEIGHBOUR_MAC {
        return Ok(Fate::Back(out));
    }
    let is_known = from.iter().any(|from| out[6..12] == *from);
    ensure!(is_known, "it leaves from {:02x?}", &out[6..12]);
    // The library knows nothing of addresses on the link.
    out[..12].copy_from_slice(&bytes[..12]);
    Ok(Fate::Forwarded(out))
}

impl Programs {
    /// Loads the object's programs on the maps that are pinned at a place.
    ///
    /// # Errors
    /// With the verifier's words when it refuses one.
    pub fn load(place: &Place) -> anyhow::Result<Self> {
        Self::load_some(place, |_| true)
    }

    /// The same, but only the programs that are run here.
    ///
    /// # Errors
    /// As for [`Programs::load`].
    pub fn load_packets(place: &Place) -> anyhow::Result<Self> {
        Self::load_some(place, |name| RUN.contains(&name))
    }

    fn load_some(place: &Place, is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<Self> {
        let mut loader = EbpfLoader::new();
        loader.override_global("SETTINGS", bytemuck::bytes_of(&place.options.settings), true);
        for name in maps::ALL {
            loader.map_pin_path(name, place.map(name));
        }
        let mut object = loader.load(OBJECT).context("cannot load the object")?;
        let types = Btf::from_sys_fs().context("cannot read the kernel's types")?;
        for (name, program) in object.programs_mut().filter(|(name, _)| is_wanted(name)) {
            let result = if let Ok(program) = <&mut SchedClassifier>::try_from(&mut *program) {
                load_program(|| program.load())
            } else if let Ok(iterator) = <&mut Iter>::try_from(&mut *program) {
                load_program(|| iterator.load("bpf_sk_storage_map", &types))
            } else if let Ok(program) = <&mut Xdp>::try_from(&mut *program) {
                load_program(|| program.load())
            } else {
                let program = <&mut CgroupSockAddr>::try_from(program)?;
                load_program(|| program.load())
            };
            result.with_context(|| format!("cannot load {name}"))?;
        }
        let flows = |name| -> anyhow::Result<Flows> {
            let map = MapData::from_pin(place.map(name)).with_context(|| format!("cannot open {name}"))?;
            Ok(HashMap::try_from(Map::LruHashMap(map))?)
        };
        Ok(Self {
            object,
            flows: [flows(maps::FLOWS)?, flows(maps::FLOWS_NEW)?],
        })
    }

    /// Every loaded program with its name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Program)> {
        self.object.programs()
    }

    /// A loaded TC program.
    ///
    /// # Errors
    /// When the object has none of this name.
    pub fn named(&self, name: &str) -> anyhow::Result<&SchedClassifier> {
        let program = self
            .object
            .program(name)
            .with_context(|| format!("no program {name}"))?;
        Ok(program.try_into()?)
    }

    /// Runs the program of a hook once.
    ///
    /// # Errors
    /// When the kernel does not run it, or it answers nonsense.
    pub fn run(&self, hook: Hook, bytes: &[u8], context: &SkbContext) -> anyhow::Result<Fate> {
        let program = self.named(match hook {
            Hook::Ingress => "pod_ingress",
            Hook::Egress => "pod_egress",
            Hook::UplinkIngress => "uplink_ingress",
            Hook::UplinkEgress | Hook::NodeEgress => "uplink_egress",
        })?;
        let mut out = vec![0; PACKET];
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(bytes),
                data_out: Some(&mut out),
                ctx_in: Some(context),
                repeat: 1,
                ..TestRunOptions::default()
            })
            .with_context(|| format!("the kernel does not run {hook:?} on {bytes:02x?}"))?;
        out.truncate(usize::try_from(result.data_size_out)?);
        Ok(match result.return_value {
            TC_ACT_UNSPEC => Fate::On(out),
            // Whether it goes back or on is said to the redirect's helper alone; what goes back is addressed so, and what goes
            // on is addressed there, unless that is left to the neighbour's lookup.
            TC_ACT_REDIRECT if out[..6] == bytes[..6] => Fate::Forwarded(out),
            // By which device is said there as well.
            TC_ACT_REDIRECT => sent(out, bytes, &[HOST_MAC, SECOND_MAC])?,
            TC_ACT_SHOT => Fate::Gone,
            other => bail!("{hook:?} answered {other}"),
        })
    }

    /// Attaches the XDP program to a device of this network namespace, as test runs with a device want it: only then has a veth
    /// a queue for such packets.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach_early(&mut self, device: &str) -> anyhow::Result<()> {
        let program = self.object.program_mut(EARLY).context("no such program")?;
        let program: &mut Xdp = program.try_into()?;
        program
            .attach(device, XdpMode::Driver)
            .with_context(|| format!("cannot attach {EARLY}"))?;
        Ok(())
    }

    /// Runs the XDP program once, on a packet that has come in by a device. `None` if it leaves the packet to TC.
    ///
    /// # Errors
    /// When the kernel does not run it, it answers nonsense, or it leaves a changed packet.
    pub fn run_early(&self, bytes: &[u8], device: u32) -> anyhow::Result<Option<Fate>> {
        let (verdict, out) = self.run_xdp(bytes, device)?;
        Ok(match verdict {
            XDP_PASS => None,
            XDP_DROP => Some(Fate::Gone),
            XDP_TX => Some(sent(out, bytes, &[HOST_MAC])?),
            XDP_REDIRECT => Some(sent(out, bytes, &[SECOND_MAC])?),
            other => bail!("{EARLY} answered {other}"),
        })
    }

    /// The same for a packet with a tag, which is in what goes back by the same device, and is not in the answer.
    ///
    /// # Errors
    /// As for [`Programs::run_early`], and when what goes back lacks the tag.
    pub fn run_early_tagged(&self, bytes: &[u8], tag: Tag, device: u32) -> anyhow::Result<Option<Fate>> {
        let tagged = [&bytes[..TAG_AT], &tag, &bytes[TAG_AT..]].concat();
        let (verdict, mut out) = self.run_xdp(&tagged, device)?;
        Ok(match verdict {
            XDP_PASS => None,
            XDP_DROP => Some(Fate::Gone),
            XDP_TX => {
                let found: Vec<_> = out.drain(TAG_AT..TAG_AT + tag.len()).collect();
                ensure!(found == tag, "it has the tag {found:02x?}");
                Some(sent(out, bytes, &[HOST_MAC])?)
            }
            XDP_REDIRECT => Some(sent(out, bytes, &[SECOND_MAC])?),
            other => bail!("{EARLY} answered {other}"),
        })
    }

    /// What the XDP program answers, and what it has made of the packet.
    fn run_xdp(&self, bytes: &[u8], device: u32) -> anyhow::Result<(u32, Vec<u8>)> {
        let program = self.object.program(EARLY).context("no such program")?;
        let program: &Xdp = program.try_into()?;
        let mut context = [0; XDP_CONTEXT];
        let length = u32::try_from(bytes.len())?;
        context[4..8].copy_from_slice(&length.to_ne_bytes());
        context[12..16].copy_from_slice(&device.to_ne_bytes());
        let mut out = vec![0; PACKET.max(bytes.len())];
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(bytes),
                data_out: Some(&mut out),
                ctx_in: Some(&context),
                repeat: 1,
                ..TestRunOptions::default()
            })
            .with_context(|| format!("the kernel does not run {EARLY} on {bytes:02x?}"))?;
        out.truncate(usize::try_from(result.data_size_out)?);
        let is_left = result.return_value == XDP_PASS;
        ensure!(
            !is_left || out == bytes,
            "what is left to TC was changed to {out:02x?}"
        );
        Ok((result.return_value, out))
    }

    /// Makes every flow older.
    ///
    /// # Errors
    /// When the maps can not be read or written.
    pub fn age(&mut self, time: Duration) -> anyhow::Result<()> {
        let time = u64::try_from(time.as_nanos())?;
        for flows in &mut self.flows {
            let entries: Vec<_> = flows.iter().collect::<Result<_, _>>()?;
            for (key, value) in entries {
                let mut flow: Flow = bytemuck::pod_read_unaligned(&value);
                let Nanoseconds(seen) = flow.seen;
                let earlier = seen.checked_sub(time);
                flow.seen = Nanoseconds(earlier.context("the machine does not run for so long")?);
                flows.insert(key, bytemuck::cast::<_, [u8; size_of::<Flow>()]>(flow), EXISTING)?;
            }
        }
        Ok(())
    }

    /// Takes flow entries away.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn evict(&mut self, half: Half) -> anyhow::Result<()> {
        for flows in &mut self.flows {
            let entries: Vec<_> = flows.iter().collect::<Result<_, _>>()?;
            for (key, value) in entries {
                let flow: Flow = bytemuck::pod_read_unaligned(&value);
                if is_evicted(half, flow.state) {
                    flows.remove(&key)?;
                }
            }
        }
        Ok(())
    }
}
