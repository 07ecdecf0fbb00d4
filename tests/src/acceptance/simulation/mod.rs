//! Plays a row packet by packet: pods and the node behave like hosts, the network in between like a cluster's, and the
//! doors are those of a [`Machine`].

mod network;
mod packet;
mod request;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use kproxy_common::Counter;

use super::answered::Answered;
use super::row::{Arrival, Ask, End, Expect, Half, Row, Step};
use super::spread;
use super::world::Pod;
use crate::host::MemoryTables;
use request::{Came, Conversation};

/// Where a packet meets a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// It comes from the pod.
    Ingress,
    /// It goes to the pod.
    Egress,
    /// It comes in by the uplink.
    UplinkIngress,
    /// It leaves by the uplink, and has come in by a device.
    UplinkEgress,
    /// It leaves by the uplink, and is the node's own.
    NodeEgress,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 5] = [
        Self::Ingress,
        Self::Egress,
        Self::UplinkIngress,
        Self::UplinkEgress,
        Self::NodeEgress,
    ];
}

/// What became of a packet at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    On(Vec<u8>),
    /// It goes back out by the device it came from.
    Back(Vec<u8>),
    /// It goes out by the routes, past the stack.
    Forwarded(Vec<u8>),
    /// It was dropped.
    Gone,
}

/// A data plane under test.
pub trait Machine {
    /// Brings it to a cluster of exactly these objects.
    fn program(&mut self, manifests: &str) -> anyhow::Result<()>;
    /// Lets a packet meet a hook: one, or with a segment size many in one (GSO).
    fn run(&mut self, hook: Hook, bytes: Vec<u8>, segment_size: u32) -> anyhow::Result<Fate>;
    /// Lets time pass.
    fn wait(&mut self, time: Duration) -> anyhow::Result<()>;
    /// Takes flow entries away.
    fn evict(&mut self, half: Half) -> anyhow::Result<()>;
    /// Lets writes of flows fail, where that is possible.
    fn refuse_inserts(&mut self, tries: u32);
    /// How many packets were counted as this, at all doors.
    fn counted(&self, counter: Counter) -> anyhow::Result<u64>;
    /// The maps, where the socket door can be simulated on them.
    fn tables(&self) -> Option<&MemoryTables>;
}

/// How many connections follow each other on one port. With a fair choice among three pods, one of them never comes up
/// with a probability of 3 * (2/3)^100, about 1e-17.
const REUSES: usize = 100;

/// A row being played.
#[derive(Debug)]
pub struct Simulation<M> {
    /// The data plane.
    pub machine: M,
    kept: HashMap<&'static str, Conversation>,
    conversations: HashMap<(SocketAddr, SocketAddr), packet::Last>,
    answered: Answered,
    sockets: u16,
}

impl<M: Machine> Simulation<M> {
    /// Nothing has happened yet.
    pub fn new(machine: M) -> Self {
        Self {
            machine,
            kept: HashMap::new(),
            conversations: HashMap::new(),
            answered: Answered::default(),
            sockets: 0,
        }
    }

    /// Plays a row to its end or to the first step that fails.
    ///
    /// # Errors
    /// Names the step and what was not as expected.
    pub fn play(&mut self, row: &Row) -> anyhow::Result<()> {
        self.kept.clear();
        self.conversations.clear();
        self.answered = Answered::default();
        for (number, step) in (1..).zip(&row.steps) {
            self.step(step)
                .with_context(|| format!("in step {number} ({})", summary(step)))?;
        }
        self.answered.check()
    }

    fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::State(state) => self.machine.program(&state.manifests()),
            Step::Ask(ask) => self.ask(ask),
            Step::Alternate { ask, to } => self.alternate(ask, *to),
            Step::Reuse { ask, end } => self.reuse(ask, *end),
            Step::Packet(packet) => self.packet(packet),
            Step::Raw(bytes, then) => self.raw(bytes, then),
            Step::Arrival(arrival) => self.arrival(arrival),
            Step::Counted(counter, step) => {
                let before = self.machine.counted(*counter)?;
                self.step(step)?;
                let times = self.machine.counted(*counter)? - before;
                ensure!(times == 1, "{} was counted {times} times", counter.name());
                Ok(())
            }
            Step::Bystander(bytes) => self.bystander(bytes),
            Step::Wait(time) => self.machine.wait(*time),
            Step::Evict(half) => self.machine.evict(*half),
            Step::RefuseInserts(tries) => {
                self.machine.refuse_inserts(*tries);
                Ok(())
            }
        }
    }

    fn ask(&mut self, ask: &Ask) -> anyhow::Result<()> {
        let mut counts = BTreeMap::new();
        for _ in 0..ask.times {
            self.machine.wait(ask.pause)?;
            let mut conversation = match ask.kept.and_then(|name| self.kept.remove(name)) {
                Some(conversation) => conversation,
                None => self.conversation(ask, ask.to),
            };
            let before = conversation.server;
            let came = self.exchange(&mut conversation)?;
            if let Came::Answer(pod) = came {
                *counts.entry(pod.name.to_owned()).or_default() += 1;
            }
            check(&ask.expect, before, came)?;
            if let Came::Answer(pod) = came {
                self.answered.note(&ask.expect, pod.name)?;
            }
            match ask.kept {
                Some(name) => {
                    self.kept.insert(name, conversation);
                }
                None if matches!(came, Came::Answer(_)) => self.close(&conversation, End::Fin)?,
                None => {}
            }
        }
        if let Expect::Spread(pods) = &ask.expect {
            spread::check(pods, &counts)?;
        }
        Ok(())
    }

    /// `sendto` uses one socket for both, `connect` one each; both from the same port of the client.
    fn alternate(&mut self, ask: &Ask, to: [SocketAddr; 2]) -> anyhow::Result<()> {
        let first = self.conversation(ask, to[0]);
        let second = if ask.sendto {
            first.clone().towards(to[1])
        } else {
            self.conversation(ask, to[1])
        };
        let mut both = [first, second];
        for turn in 0..6 {
            let conversation = &mut both[turn % 2];
            let came = self.exchange(conversation)?;
            check(&ask.expect, None, came)
                .with_context(|| format!("turn {turn}, asking {}", conversation.to))?;
        }
        Ok(())
    }

    fn reuse(&mut self, ask: &Ask, end: End) -> anyhow::Result<()> {
        let (Expect::By(pods) | Expect::Spread(pods)) = &ask.expect else {
            anyhow::bail!("a row that reuses a port must say by which pods it is answered");
        };
        let mut seen = BTreeSet::new();
        for _ in 0..REUSES {
            let mut conversation = self.conversation(ask, ask.to);
            let came = self.exchange(&mut conversation)?;
            check(&ask.expect, None, came)?;
            if let Came::Answer(pod) = came {
                seen.insert(pod.name);
            }
            self.close(&conversation, end)?;
        }
        ensure!(
            seen.len() == pods.len(),
            "only {seen:?} came up in {REUSES} connections from one port"
        );
        Ok(())
    }

    fn bystander(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        for hook in Hook::ALL {
            let fate = self.machine.run(hook, bytes.to_vec(), 0)?;
            ensure!(
                fate == Fate::On(bytes.to_vec()),
                "at {hook:?} it was not left alone: {fate:02x?}"
            );
        }
        Ok(())
    }

    /// A port that no conversation of this row has had.
    fn new_port(&mut self) -> u16 {
        self.sockets = (self.sockets + 1) % 20_000;
        33_000 + self.sockets
    }
}

fn check(expect: &Expect, before: Option<Pod>, came: Came) -> anyhow::Result<()> {
    let fits = match (expect, came) {
        (Expect::By(pods) | Expect::Spread(pods) | Expect::Varied(pods), Came::Answer(pod)) => {
            pods.contains(&pod.name)
        }
        (Expect::Same, Came::Answer(pod)) => before.is_none_or(|before| before == pod),
        (Expect::One(_), Came::Answer(_))
        | (Expect::Refused, Came::Refusal)
        | (Expect::Denied, Came::Denial)
        | (Expect::Silence, Came::Nothing)
        | (Expect::Untouched, Came::Untouched) => true,
        (_, Came::Answer(_) | Came::Refusal | Came::Denial | Came::Nothing | Came::Untouched) => false,
    };
    ensure!(fits, "expected {expect:?}, but it came to {came:?}");
    Ok(())
}

fn summary(step: &Step) -> String {
    match step {
        Step::State(_) => "a new state of the cluster".to_owned(),
        Step::Ask(ask) => summary_of(ask, "asks"),
        Step::Alternate { ask, to } => format!("{} and {}", summary_of(ask, "alternates between"), to[1]),
        Step::Reuse { ask, end } => format!("{}, ended by {end:?}", summary_of(ask, "reuses a port towards")),
        Step::Packet(packet) => format!(
            "{:?} sends {:?} between port {} and {}",
            packet.side, packet.kind, packet.port, packet.to
        ),
        Step::Raw(bytes, _) => format!("the client sends {bytes:02x?}"),
        Step::Arrival(Arrival { bytes, .. }) => format!("there comes in {bytes:02x?}"),
        Step::Counted(_, step) => summary(step),
        Step::Bystander(_) => "a bystander".to_owned(),
        Step::Wait(time) => format!("{time:?} pass"),
        Step::Evict(half) => format!("eviction of {half:?}"),
        Step::RefuseInserts(tries) => format!("{tries} refused inserts"),
    }
}

fn summary_of(ask: &Ask, verb: &str) -> String {
    format!(
        "{} {verb} {} over {} by {:?}",
        ask.from.name,
        ask.to,
        ask.protocol.name(),
        ask.via
    )
}
