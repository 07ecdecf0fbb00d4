//! A packet that leaves the node again by XDP, and the floor beneath it: one lookup in an LRU map of that size and one in the
//! FIB, which nobody does without.
//!
//! A test run keeps what a program wrote, so the packet is written anew before each run, by a program that then calls the one
//! under test. All three are run in this way, also the empty one.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, ensure};
use aya::maps::MapData;
use kproxy_common::{Address, Device, DeviceFlags, Family};
use kproxy_tests::acceptance::kernel::network::{self, Network};
use kproxy_tests::acceptance::kernel::{place::Place, programs::Programs};
use kproxy_tests::acceptance::simulation::Fate;
use kproxy_tests::acceptance::uplink;
use kproxy_tests::bench::bpf::{self, Kind, Ran};
use kproxy_tests::host::frame::{Frame, HOST_MAC, Tcp, Transport};

use super::baseline::{self, instruction};

/// Where the node's own services are asked.
pub(crate) const NODE_ITSELF: &str = "172.30.0.1:10250";
const NODE_PORT: &str = "172.30.0.1:30080";
const CLIENT: &str = "172.30.0.100:40000";
/// The same client as the backend sees it: the node, by the client's port.
const STAND_IN: &str = "172.30.0.1:40000";
const BACKEND: &str = "10.244.2.2:8080";

const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
/// `enum bpf_func_id`.
const TAIL_CALL: i32 = 12;
const FIB_LOOKUP: i32 = 69;
/// `struct bpf_fib_lookup`.
const FIB_LENGTH: i16 = 64;
/// `struct xdp_md`.
const CONTEXT: usize = 24;

/// What is under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Empty,
    Floor,
    Established,
}

/// Programs and what they are given.
pub(crate) struct Early {
    callers: [OwnedFd; 3],
    packet: Vec<u8>,
    context: [u8; CONTEXT],
    device: u32,
    _called: [OwnedFd; 2],
    _array: OwnedFd,
    _flows: MapData,
}

/// A service that the node serves at a port, with its backend elsewhere.
pub(crate) fn manifests() -> String {
    "\
apiVersion: v1
kind: Node
metadata: {name: a}
status: {addresses: [{type: InternalIP, address: 172.30.0.1}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: default}
spec:
  type: NodePort
  clusterIP: 10.96.0.30
  clusterIPs: [10.96.0.30]
  ipFamilies: [IPv4]
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: elsewhere, namespace: default, labels: {kubernetes.io/service-name: elsewhere}}
addressType: IPv4
ports: [{name: '', port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.2.2], nodeName: b, conditions: {ready: true}}]"
        .to_owned()
}

impl Early {
    pub(crate) fn set_up(place: &Place, network: &Network, programs: &mut Programs) -> anyhow::Result<Self> {
        place.set_pod_ranges(&uplink::pod_ranges())?;
        let device = Device {
            v4: Address::unspecified(Family::V4),
            v6: Address::unspecified(Family::V6),
            flags: DeviceFlags::empty(),
            link_address: HOST_MAC,
            padding: 0,
        };
        place.set_device(network.uplink(), &device)?;
        programs.attach_early(network::UPLINK)?;
        let packet = packet(CLIENT, NODE_PORT, Tcp::Ack)?;
        let flows = baseline::flows_with_key(place)?;
        let empty = bpf::load(Kind::Xdp, &leave(XDP_PASS)).context("cannot load an empty XDP program")?;
        let floor = bpf::load(Kind::Xdp, &floor(flows.fd().as_fd(), network.uplink())?)
            .context("cannot load the program that asks the FIB")?;
        let established = programs.all().find(|(name, _)| *name == "uplink_xdp");
        let (_, established) = established.context("no program uplink_xdp")?;
        let called = [empty.as_fd(), floor.as_fd(), established.fd()?.as_fd()];
        let array = bpf::program_array(&called).context("cannot make a map of programs")?;
        let writer = |number| {
            bpf::load(Kind::Xdp, &caller(&packet, array.as_fd(), number)).context("cannot load a caller")
        };
        let callers = [writer(0)?, writer(1)?, writer(2)?];
        let mut context = [0; CONTEXT];
        context[4..8].copy_from_slice(&u32::try_from(packet.len())?.to_ne_bytes());
        context[12..16].copy_from_slice(&network.uplink().to_ne_bytes());
        let early = Self {
            callers,
            packet,
            context,
            device: network.uplink(),
            _called: [empty, floor],
            _array: array,
            _flows: flows,
        };
        early.open(programs)?;
        Ok(early)
    }

    /// Opens the connection and lets it be answered.
    pub(crate) fn open(&self, programs: &Programs) -> anyhow::Result<()> {
        let request = programs.run_early(&packet(CLIENT, NODE_PORT, Tcp::Syn)?, self.device)?;
        ensure!(
            request
                == Some(Fate::Forwarded(
                    packet(STAND_IN, BACKEND, Tcp::Syn).map(one_hop_less)?
                )),
            "a request was not sent on: {request:?}"
        );
        let answer = programs.run_early(&packet(BACKEND, STAND_IN, Tcp::SynAck)?, self.device)?;
        ensure!(
            matches!(answer, Some(Fate::Forwarded(_))),
            "an answer was not sent on: {answer:?}"
        );
        for (which, verdict) in [
            (Which::Empty, XDP_PASS),
            (Which::Floor, XDP_TX),
            (Which::Established, XDP_TX),
        ] {
            let said = self.run(which, 1)?.return_value;
            ensure!(said == verdict, "{which:?} answered {said}");
        }
        Ok(())
    }

    /// Nanoseconds that one packet takes, by the kernel's own clock: before and after the runs it waits for its other processors
    /// (`bpf_prog_change_xdp`).
    pub(crate) fn measure(&self, which: Which, repeat: u32) -> anyhow::Result<f64> {
        Ok(f64::from(self.run(which, repeat)?.nanoseconds))
    }

    fn run(&self, which: Which, repeat: u32) -> anyhow::Result<Ran> {
        let caller = self.callers[which as usize].as_fd();
        let ran = bpf::run(caller, &self.packet, &self.context, None, repeat);
        ran.context("the kernel does not run the program")
    }
}

/// The header's checksum is corrected by difference in the data plane, and here it is computed anew.
fn one_hop_less(mut packet: Vec<u8>) -> Vec<u8> {
    packet[22] -= 1;
    let sum = u32::from(u16::from_be_bytes([packet[24], packet[25]])) + 0x100;
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or_default();
    packet[24..26].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn packet(source: &str, destination: &str, kind: Tcp) -> anyhow::Result<Vec<u8>> {
    Frame::new(source.parse()?, destination.parse()?, Transport::Tcp(kind)).bytes()
}

/// Writes the packet and calls a program of the array.
fn caller(packet: &[u8], array: BorrowedFd<'_>, number: i32) -> Vec<u64> {
    let length = i32::try_from(packet.len()).unwrap_or_default();
    let mut program = vec![
        // r2 = data, r3 = end; if data + length <= end goto write; return XDP_ABORTED
        instruction(0x61, 2, 1, 0, 0),
        instruction(0x61, 3, 1, 4, 0),
        instruction(0xbf, 4, 2, 0, 0),
        instruction(0x07, 4, 0, 0, length),
        instruction(0xbd, 4, 3, 2, 0),
        instruction(0xb7, 0, 0, 0, 0),
        instruction(0x95, 0, 0, 0, 0),
    ];
    for (number, word) in packet.chunks_exact(4).enumerate() {
        let word = i32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let offset = i16::try_from(number * 4).unwrap_or_default();
        // *(u32 *)(data + offset) = word
        program.push(instruction(0x62, 2, 0, offset, word));
    }
    program.extend([
        // r2 = the array, r3 = the number
        instruction(0x18, 2, 1, 0, array.as_raw_fd()),
        0,
        instruction(0xb7, 3, 0, 0, number),
        instruction(0x85, 0, 0, 0, TAIL_CALL),
    ]);
    program.extend(leave(0));
    program
}

/// One lookup among the flows, and one in the FIB for a packet that goes on to the backend.
fn floor(flows: BorrowedFd<'_>, device: u32) -> anyhow::Result<Vec<u64>> {
    let mut program = vec![instruction(0xbf, 6, 1, 0, 0)];
    program.extend(baseline::look_up_flow(flows)?);
    let field = |at: i16, size: u8, value: i32| instruction(size, 10, 0, at - FIB_LENGTH, value);
    let address = |text: &str| -> anyhow::Result<i32> {
        let address: std::net::SocketAddrV4 = text.parse()?;
        Ok(i32::from_ne_bytes(address.ip().octets()))
    };
    program.extend((0..FIB_LENGTH / 8).map(|word| instruction(0x7a, 10, 0, word * 8 - FIB_LENGTH, 0)));
    program.extend([
        // family, total length, device, source, destination
        field(0, 0x72, libc::AF_INET),
        field(6, 0x6a, 40),
        field(8, 0x62, i32::try_from(device)?),
        field(16, 0x62, address(STAND_IN)?),
        field(32, 0x62, address(BACKEND)?),
        // bpf_fib_lookup(context, parameters, their length, 0)
        instruction(0xbf, 1, 6, 0, 0),
        instruction(0xbf, 2, 10, 0, 0),
        instruction(0x07, 2, 0, 0, -i32::from(FIB_LENGTH)),
        instruction(0xb7, 3, 0, 0, i32::from(FIB_LENGTH)),
        instruction(0xb7, 4, 0, 0, 0),
        instruction(0x85, 0, 0, 0, FIB_LOOKUP),
        // if it was found return XDP_TX, else XDP_ABORTED
        instruction(0x15, 0, 0, 2, 0),
        instruction(0xb7, 0, 0, 0, 0),
        instruction(0x95, 0, 0, 0, 0),
    ]);
    program.extend(leave(XDP_TX));
    Ok(program)
}

fn leave(verdict: u32) -> [u64; 2] {
    let verdict = i32::try_from(verdict).unwrap_or_default();
    [instruction(0xb7, 0, 0, 0, verdict), instruction(0x95, 0, 0, 0, 0)]
}
