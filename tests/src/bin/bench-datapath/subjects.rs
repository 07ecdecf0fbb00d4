//! What is measured.
//!
//! A test run repeats a program on one packet and keeps what it wrote, so a translated packet would be a bystander from
//! the second repetition on. Two services that are each other's backend turn it into a circle: every repetition is a
//! whole translation, of addresses, port and both checksums, and the next one finds a flow again. New flows have no such
//! circle: each is one run of its own on a port that was not used before, timed by the kernel, less what the empty
//! program takes in such a single run.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, ensure};
use kproxy::dataplane::Dataplane;
use kproxy_tests::acceptance::kernel::{network::Network, place::Place, programs::Programs};
use kproxy_tests::acceptance::row::Half;
use kproxy_tests::acceptance::world::NODE;
use kproxy_tests::bench::bpf;
use kproxy_tests::host::Programmer;
use kproxy_tests::host::frame::{Frame, Tcp, Transport};

use super::baseline;
use super::early::{self, Early, Which};

const TC_ACT_UNSPEC: u32 = u32::MAX;
/// New flows in one measurement: few enough that no LRU has to evict.
const NEW: u16 = 5_000;
const FIRST_PORT: u16 = 20_000;

const MANIFESTS: &str = include_str!("circle.yaml");
const CLIENT: &str = "10.244.1.2:40000";
const NEIGHBOUR: &str = "10.244.1.3:8080";
const SERVICE: &str = "10.96.0.10:80";
const OTHER_SERVICE: &str = "10.96.0.20:81";

/// Programs, packets and flows.
pub(crate) struct Subjects {
    programs: Programs,
    empty: OwnedFd,
    lookup: OwnedFd,
    small_lookup: OwnedFd,
    early: Early,
    _dataplane: Dataplane,
    // Last: removes what the others pinned.
    _place: Place,
}

/// One line of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Empty,
    Lookup,
    BystanderIngress,
    BystanderEgress,
    New,
    Established,
    Reply,
    SmallLookup,
    BystanderOwn,
    EarlyEmpty,
    EarlyFloor,
    EarlyEstablished,
}

impl Subject {
    pub(crate) const ALL: [Self; 12] = [
        Self::Empty,
        Self::Lookup,
        Self::BystanderIngress,
        Self::BystanderEgress,
        Self::New,
        Self::Established,
        Self::Reply,
        Self::SmallLookup,
        Self::BystanderOwn,
        Self::EarlyEmpty,
        Self::EarlyFloor,
        Self::EarlyEstablished,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty program",
            Self::Lookup => "one LRU lookup",
            Self::BystanderIngress => "bystander, from a pod",
            Self::BystanderEgress => "bystander, to a pod",
            Self::New => "new flow",
            Self::Established => "established",
            Self::Reply => "reply",
            Self::SmallLookup => "one small lookup",
            Self::BystanderOwn => "bystander, to the node",
            Self::EarlyEmpty => "XDP: empty program",
            Self::EarlyFloor => "XDP: LRU lookup and FIB",
            Self::EarlyEstablished => "XDP: established",
        }
    }
}

impl Subjects {
    /// With so many services besides those that are asked. This thread moves to a network namespace of its own.
    pub(crate) fn set_up(services: u32) -> anyhow::Result<Self> {
        let network = Network::enter()?;
        let mut place = Place::new()?;
        place.options.sizes.slots = (2 * services).max(place.options.sizes.slots);
        place.options.sizes.backends = (2 * services).max(place.options.sizes.backends);
        let (mut dataplane, _) = Dataplane::open(&place.options)?;
        let mut programmer = Programmer::new(NODE, place.options.sizes.capacity());
        let manifests = [MANIFESTS.to_owned(), early::manifests(), strangers(services)].join("\n---\n");
        dataplane.apply(&programmer.plan(&manifests)?)?;
        let mut programs = Programs::load(&place)?;
        let early = Early::set_up(&place, &network, &mut programs)?;
        let subjects = Self {
            programs,
            early,
            empty: baseline::empty().context("cannot load an empty program")?,
            lookup: baseline::lookup(&place)?,
            small_lookup: baseline::small_lookup(&place)?,
            _dataplane: dataplane,
            _place: place,
        };
        subjects.open_circle()?;
        Ok(subjects)
    }

    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Nanoseconds that one packet takes.
    pub(crate) fn measure(&mut self, subject: Subject, repeat: u32) -> anyhow::Result<f64> {
        let packet = |source, destination| packet(source, destination, Tcp::Ack);
        match subject {
            Subject::Empty => time(self.empty.as_fd(), &packet(CLIENT, NEIGHBOUR)?, repeat),
            Subject::Lookup => time(self.lookup.as_fd(), &packet(CLIENT, NEIGHBOUR)?, repeat),
            Subject::BystanderIngress => time(self.ingress()?, &packet(CLIENT, NEIGHBOUR)?, repeat),
            Subject::BystanderEgress => time(self.egress()?, &packet(NEIGHBOUR, CLIENT)?, repeat),
            Subject::New => self.time_new(),
            Subject::Established => time(self.ingress()?, &packet(CLIENT, SERVICE)?, repeat),
            Subject::Reply => time(self.egress()?, &packet(OTHER_SERVICE, CLIENT)?, repeat),
            Subject::SmallLookup => time(self.small_lookup.as_fd(), &packet(CLIENT, NEIGHBOUR)?, repeat),
            Subject::BystanderOwn => time(self.ingress()?, &packet(CLIENT, early::NODE_ITSELF)?, repeat),
            Subject::EarlyEmpty => self.early.measure(Which::Empty, repeat),
            Subject::EarlyFloor => self.early.measure(Which::Floor, repeat),
            Subject::EarlyEstablished => self.early.measure(Which::Established, repeat),
        }
    }

    fn ingress(&self) -> anyhow::Result<BorrowedFd<'_>> {
        Ok(self.programs.named("pod_ingress")?.fd()?.as_fd())
    }

    fn egress(&self) -> anyhow::Result<BorrowedFd<'_>> {
        Ok(self.programs.named("pod_egress")?.fd()?.as_fd())
    }

    /// Opens both connections of the circle and lets both be answered.
    fn open_circle(&self) -> anyhow::Result<()> {
        let request = step(self.ingress()?, &packet(CLIENT, SERVICE, Tcp::Syn)?)?;
        ensure!(
            request == packet(CLIENT, OTHER_SERVICE, Tcp::Syn)?,
            "a request was not translated"
        );
        let request = step(self.ingress()?, &request)?;
        ensure!(
            request == packet(CLIENT, SERVICE, Tcp::Syn)?,
            "the requests are no circle"
        );
        let answer = step(self.egress()?, &packet(OTHER_SERVICE, CLIENT, Tcp::SynAck)?)?;
        ensure!(
            answer == packet(SERVICE, CLIENT, Tcp::SynAck)?,
            "an answer was not translated"
        );
        let answer = step(self.egress()?, &answer)?;
        ensure!(
            answer == packet(OTHER_SERVICE, CLIENT, Tcp::SynAck)?,
            "the answers are no circle"
        );
        Ok(())
    }

    fn time_new(&mut self) -> anyhow::Result<f64> {
        let (ingress, mut total, mut idle) = (self.ingress()?, 0, 0);
        for port in FIRST_PORT..FIRST_PORT + NEW {
            let mut client: SocketAddr = CLIENT.parse()?;
            client.set_port(port);
            let bytes = Frame::new(client, SERVICE.parse()?, Transport::Tcp(Tcp::Syn)).bytes()?;
            idle += u64::from(bpf::run(self.empty.as_fd(), &bytes, &[], None, 1)?.nanoseconds);
            total += u64::from(bpf::run(ingress, &bytes, &[], None, 1)?.nanoseconds);
        }
        self.programs.evict(Half::Both)?;
        self.open_circle()?;
        self.early.open(&self.programs)?;
        let spent = u32::try_from(total.saturating_sub(idle))?;
        Ok(f64::from(spent) / f64::from(NEW))
    }
}

/// Services that nobody asks, with one endpoint each.
fn strangers(count: u32) -> String {
    let service = |number: u32| {
        let [_, high, middle, low] = number.to_be_bytes();
        format!(
            "\
apiVersion: v1
kind: Service
metadata: {{name: s{number}, namespace: default}}
spec: {{clusterIP: 10.{clusters}.{middle}.{low}, clusterIPs: [10.{clusters}.{middle}.{low}], ipFamilies: [IPv4], ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: s{number}, namespace: default, labels: {{kubernetes.io/service-name: s{number}}}}}
addressType: IPv4
ports: [{{name: '', port: 8080, protocol: TCP}}]
endpoints: [{{addresses: [100.{endpoints}.{middle}.{low}], conditions: {{ready: true}}}}]",
            clusters = 100 + u32::from(high),
            endpoints = 64 + u32::from(high),
        )
    };
    (0..count).map(service).collect::<Vec<_>>().join("\n---\n")
}

fn packet(source: &str, destination: &str, kind: Tcp) -> anyhow::Result<Vec<u8>> {
    Frame::new(source.parse()?, destination.parse()?, Transport::Tcp(kind)).bytes()
}

fn step(program: BorrowedFd<'_>, packet: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut out = vec![0; packet.len()];
    let ran =
        bpf::run(program, packet, &[], Some(&mut out), 1).context("the kernel does not run the program")?;
    ensure!(
        ran.return_value == TC_ACT_UNSPEC,
        "it returned {}",
        ran.return_value
    );
    Ok(out)
}

/// By the clock outside: the kernel's own answer is rounded to whole nanoseconds.
fn time(program: BorrowedFd<'_>, packet: &[u8], repeat: u32) -> anyhow::Result<f64> {
    let start = Instant::now();
    bpf::run(program, packet, &[], None, repeat).context("the kernel does not run the program")?;
    Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(repeat))
}
