//! The node's source ports towards one backend, until they are used up (semantics 5.11). In the library: no root needed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use kproxy_common::{Counter, Family};
use kproxy_tests::acceptance::host::HostMachine;
use kproxy_tests::acceptance::simulation::{Fate, Hook, Machine as _};
use kproxy_tests::acceptance::state::{State, web};
use kproxy_tests::acceptance::world::{HOST, OUTSIDERS, Pod, Vip};
use kproxy_tests::host::Seen;
use kproxy_tests::host::frame::{Frame, Tcp, Transport};

const NODE_PORT: u16 = 30_190;
const BACKEND: &str = "web-2";
/// A client that repeats its SYN as often has come by every port: each time some are tried.
const REPETITIONS: u32 = 4_096;

/// A node with one service, whose backend is elsewhere.
struct Uplink {
    machine: HostMachine,
    family: Family,
}

impl Uplink {
    fn new(family: Family) -> anyhow::Result<Self> {
        let mut machine = HostMachine::new(7);
        let state = State::from(web(&[BACKEND]).node_port(NODE_PORT));
        machine.program(&state.manifests())?;
        Ok(Self { machine, family })
    }

    fn backend(&self) -> SocketAddr {
        (Pod::named(BACKEND).address(self.family), 8080).into()
    }

    /// A client begins a connection; as whom the backend sees it, if it does.
    fn connect(&mut self, client: Pod, port: u16) -> anyhow::Result<Option<u16>> {
        let source: SocketAddr = (client.address(self.family), port).into();
        let to = Vip::Node.port(NODE_PORT, self.family);
        let Some((source, destination)) = self.forward(source, to, Tcp::Syn)? else {
            return Ok(None);
        };
        ensure!(source.ip() == HOST.address(self.family), "it comes from {source}");
        ensure!(destination == self.backend(), "it goes to {destination}");
        Ok(Some(source.port()))
    }

    /// The backend answers who has asked from this port of the node; it must be this client.
    fn answer(&mut self, seen: u16, client: Pod, port: u16) -> anyhow::Result<()> {
        let node = (HOST.address(self.family), seen).into();
        let answer = self.forward(self.backend(), node, Tcp::SynAck)?;
        let wanted = (
            Vip::Node.port(NODE_PORT, self.family),
            (client.address(self.family), port).into(),
        );
        ensure!(
            answer == Some(wanted),
            "the answer became {answer:?} instead of {wanted:?}"
        );
        Ok(())
    }

    /// Source and destination of what a packet becomes, or that it is dropped.
    fn forward(
        &mut self,
        source: SocketAddr,
        to: SocketAddr,
        kind: Tcp,
    ) -> anyhow::Result<Option<(SocketAddr, SocketAddr)>> {
        let bytes = Frame::new(source, to, Transport::Tcp(kind)).bytes()?;
        match self.machine.run(Hook::UplinkIngress, bytes, 0)? {
            Fate::Forwarded(bytes) => match Seen::read(&bytes)? {
                Seen::Segment {
                    source, destination, ..
                } => Ok(Some((source, destination))),
                Seen::Unreachable { .. } => bail!("a rejection was forwarded"),
            },
            Fate::Gone => Ok(None),
            other @ (Fate::On(_) | Fate::Back(_)) => bail!("it was not forwarded: {other:02x?}"),
        }
    }
}

#[test]
fn fifty_thousand_connections_of_one_client_to_one_backend_5_11() -> anyhow::Result<()> {
    let mut uplink = Uplink::new(Family::V4)?;
    let [client, _] = OUTSIDERS;
    let ports = 10_000..60_000_u16;

    let mut seen = BTreeMap::new();
    for port in ports {
        let found = uplink.connect(client, port)?.context("no port is found")?;
        ensure!(
            seen.insert(found, port).is_none(),
            "port {found} is given away twice"
        );
    }

    ensure!(seen.len() == 50_000, "{} connections", seen.len());
    ensure!(
        uplink.machine.tables.counted(Counter::DroppedPorts) == 0,
        "a packet was dropped"
    );
    seen.iter()
        .step_by(97)
        .try_for_each(|(found, port)| uplink.answer(*found, client, *port))
}

#[test]
fn a_connection_fails_when_every_port_is_used_up_and_not_before_5_11() -> anyhow::Result<()> {
    let mut uplink = Uplink::new(Family::V6)?;
    let [first, second] = OUTSIDERS;
    let spare = uplink.machine.tables.settings.spare_ports;
    let all: BTreeSet<u16> = (0..spare.len()).map(|place| spare.at(place.into())).collect();
    // The first client keeps its ports, nine in ten of those that the node can give away ...
    let kept: Vec<u16> = all.iter().copied().take(all.len() * 9 / 10).collect();
    let mut used = BTreeSet::new();
    for port in &kept {
        used.extend(uplink.connect(first, *port)?);
    }
    ensure!(used.len() == kept.len(), "the first client lacks ports");

    // ... and the second comes from the same ports, with as many connections as it takes.
    let mut failed = false;
    for port in kept {
        let mut found = None;
        for _ in 0..REPETITIONS {
            found = uplink.connect(second, port)?;
            if found.is_some() {
                break;
            }
        }
        let Some(found) = found else {
            failed = true;
            break;
        };
        ensure!(used.insert(found), "port {found} is given away twice");
        uplink.answer(found, second, port)?;
    }

    ensure!(failed, "there are more connections than ports");
    ensure!(
        used == all,
        "a connection failed while {} of {} were used",
        used.len(),
        all.len()
    );
    let counted = uplink.machine.tables.counted(Counter::DroppedPorts);
    ensure!(
        counted >= u64::from(REPETITIONS),
        "{counted} failures are counted"
    );
    Ok(())
}
