//! From a question to its answer.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use kproxy_common::{
    BackendIndex, Counter, DeviceFlags, Frontend, FrontendFlags, ServiceId, Settings, Tuple,
};
use kproxy_ebpf::lookup::Side;
use kproxy_ebpf::{Age, Tables};
use nix::net::if_::if_nametoindex;

use super::answer::{Answer, ClientKind, FrontendKind, SourceAddress, Verdict};
use super::doors::{self, NODE_NAMESPACE, Route};
use super::frame;
use super::names::Names;
use super::outcome::{Outcome, counted, reason};
use super::question::{Question, Via};
use super::replay::{Event, Replay};
use super::steps::{step, target};
use super::surroundings::Surroundings;
use crate::dataplane::{Entry, Fate, Trial};
use crate::plan::Endpoint;

/// A node's maps, and what it takes to explain what they do with a packet. Made once for many questions.
pub struct Explainer<T> {
    tables: T,
    names: Names,
    surroundings: Surroundings,
    /// The real programs.
    trial: Option<RefCell<Trial>>,
}

/// What one door came to.
struct Passage {
    outcome: Outcome,
    events: Vec<Event>,
    remarks: Vec<String>,
}

impl<T: Tables> Explainer<T> {
    /// Answers from these maps.
    pub fn new(tables: T, names: Names, surroundings: Surroundings) -> Self {
        Self {
            tables,
            names,
            surroundings,
            trial: None,
        }
    }

    /// Has the real programs decide on packets.
    #[must_use]
    pub fn with_trial(self, trial: Trial) -> Self {
        Self {
            trial: Some(RefCell::new(trial)),
            ..self
        }
    }

    /// Answers one question. The maps stay as they are.
    ///
    /// # Errors
    /// When the kernel does not run its program.
    pub fn explain(&self, question: &Question) -> Result<Answer> {
        let sender = question.from.address;
        let device = question.device.as_deref();
        let via = question
            .via
            .unwrap_or_else(|| self.surroundings.usual_door(sender, device));
        let client = self.surroundings.client(sender, via, device);
        let tuple = frame::tuple(question);
        let mut steps = vec![format!(
            "{sender}, a client of the kind {client}, asks {} by the {via} door",
            target(&tuple)
        )];
        let mut passage = match via {
            Via::Socket => self.at_socket(&tuple, client),
            Via::Pod => self.at_pod(&tuple)?,
            Via::Uplink => self.at_uplink(&tuple, device)?,
        };
        let side = doors::side(client);
        if passage.outcome.counter == Some(Counter::LeftToPacket) {
            self.describe(&passage, side, &mut steps);
            steps.push("the socket door leaves it to the pod's door, where its packet arrives next".into());
            passage = self.at_pod(&tuple)?;
        }
        self.describe(&passage, side, &mut steps);
        Ok(self.answer(&tuple, client, side, &passage, steps))
    }

    fn replay(&self, chance: Option<u32>) -> Replay<'_, T> {
        let settings = Settings {
            node_namespace: NODE_NAMESPACE,
            ..*self.tables.settings()
        };
        Replay::new(&self.tables, settings, chance)
    }

    fn at_socket(&self, tuple: &Tuple, client: ClientKind) -> Passage {
        let (outcome, events) = doors::socket(self.replay(None), tuple, client);
        Passage {
            outcome,
            events,
            remarks: Vec::new(),
        }
    }

    fn at_uplink(&self, tuple: &Tuple, device: Option<&str>) -> Result<Passage> {
        let mut flags = DeviceFlags::empty();
        let inside = device.is_some_and(|device| self.surroundings.detector.recognises_device(device));
        flags.set(DeviceFlags::INSIDE, inside);
        let at_door = |chance, route| doors::uplink(self.replay(chance), tuple, flags, route);
        let (mut outcome, mut events) = at_door(None, Route::Any);
        let mut remarks = Vec::new();
        if let Some(trial) = &self.trial {
            let (entry, address) = uplink_of(device)?;
            let real = self.run_real(&mut trial.borrow_mut(), entry, (tuple, address), &events)?;
            // Routes and chance are the kernel's: the library is shown the same.
            let chance = self.chance_of(&events, real.chosen, self.side_of(tuple, inside));
            (outcome, events) = at_door(chance, route_of(&real));
            remarks.extend(remarks_on(&real, &outcome));
            outcome = real;
        }
        Ok(Passage {
            outcome,
            events,
            remarks,
        })
    }

    /// The side that the uplink door sees a client on.
    fn side_of(&self, tuple: &Tuple, inside: bool) -> Side {
        if inside
            || self
                .tables
                .pod_range(tuple.source.family())
                .contains(&tuple.source)
        {
            Side::Inside
        } else {
            Side::Outside
        }
    }

    fn at_pod(&self, tuple: &Tuple) -> Result<Passage> {
        let (mut outcome, mut events) = doors::pod(self.replay(None), tuple);
        let mut remarks = Vec::new();
        if let Some(trial) = &self.trial {
            let real = self.run_real(&mut trial.borrow_mut(), Entry::Pod, (tuple, frame::NODE), &events)?;
            // Chance is the kernel's: the library is shown the same, so that both tell of one choice.
            if let Some(chance) = self.chance_of(&events, real.chosen, Side::Inside) {
                (outcome, events) = doors::pod(self.replay(Some(chance)), tuple);
            }
            remarks.extend(remarks_on(&real, &outcome));
            outcome = real;
        }
        Ok(Passage {
            outcome,
            events,
            remarks,
        })
    }

    fn run_real(
        &self,
        trial: &mut Trial,
        entry: Entry,
        (tuple, device): (&Tuple, [u8; 6]),
        events: &[Event],
    ) -> Result<Outcome> {
        let mut flows = Vec::new();
        for age in [Age::Answered, Age::New] {
            let Some(flow) = self.tables.flow(age, tuple) else {
                continue;
            };
            let twin = flow.twin(tuple.protocol);
            flows.push((age, *tuple, flow));
            flows.extend(self.tables.flow(age, &twin).map(|flow| (age, twin, flow)));
        }
        let affinity = events.iter().find_map(|event| {
            let Event::Affinity(key, record) = event else {
                return None;
            };
            record.map(|record| (*key, record))
        });
        let fate = trial.run(entry, &frame::bytes_to(device, tuple), &flows, affinity);
        let Fate { bytes, counted, .. } = fate.context("run the loaded program of the door")?;
        Ok(doors::after_packet(tuple, &counted, bytes))
    }

    /// The chance by which the library picks this backend.
    fn chance_of(&self, events: &[Event], chosen: Option<Endpoint>, side: Side) -> Option<u32> {
        let frontend = found(events).filter(|frontend| !is_hashed(frontend, side))?;
        let run = match side {
            Side::Inside => frontend.inside,
            Side::Outside => frontend.outside,
        };
        let chosen = chosen?;
        let offset = (0..run.count).find(|offset| {
            let index = self.tables.slot(run.base.wrapping_add(*offset));
            let backend = index.and_then(|index| self.tables.backend(index));
            backend.is_some_and(|it| it.address == chosen.address && it.port == chosen.port)
        })?;
        // The least number whose product with the count has the offset as its high half.
        let chance = (u64::from(offset) << 32).div_ceil(u64::from(run.count));
        u32::try_from(chance).ok()
    }

    fn describe(&self, passage: &Passage, side: Side, steps: &mut Vec<String>) {
        let Passage {
            outcome: _,
            events,
            remarks,
        } = passage;
        steps.extend(remarks.iter().cloned());
        let mut events = events.clone();
        events.dedup();
        let hashed = found(&events).is_some_and(|frontend| is_hashed(&frontend, side));
        steps.extend(
            events
                .iter()
                .filter_map(|event| step(event, (side, hashed), &self.names)),
        );
    }

    fn answer(
        &self,
        tuple: &Tuple,
        client: ClientKind,
        side: Side,
        passage: &Passage,
        mut steps: Vec<String>,
    ) -> Answer {
        let Passage { outcome, events, .. } = passage;
        let verdict = outcome.verdict();
        let is_affinity = counted(events).contains(&Counter::Affinity);
        let is_hashed = found(events).is_some_and(|frontend| is_hashed(&frontend, side));
        let reason = reason(
            outcome.counter,
            (is_affinity, is_hashed),
            (tuple.destination, tuple.destination_port, tuple.protocol),
        );
        let found = found(events);
        let mut candidates: Vec<String> = match (verdict, found) {
            (Verdict::Forward, Some(frontend))
                if !is_affinity && outcome.counter != Some(Counter::Established) =>
            {
                self.backends(&frontend, side).map(|it| it.to_string()).collect()
            }
            (Verdict::Forward, _) => outcome.chosen.map(|it| it.to_string()).into_iter().collect(),
            (Verdict::Reject | Verdict::Drop | Verdict::Pass, _) => Vec::new(),
        };
        candidates.sort();
        candidates.dedup();
        steps.push(format!("{verdict}: {reason}"));
        Answer {
            verdict,
            reason,
            service: service(events).map(|id| self.names.of(id)),
            frontend: found.map(|frontend| FrontendKind::of(frontend.flags)),
            client,
            candidates,
            chosen: outcome.chosen.map(|it| it.to_string()),
            source: outcome.source,
            steps,
        }
    }

    /// The set that a frontend offers.
    fn backends(&self, frontend: &Frontend, side: Side) -> impl Iterator<Item = Endpoint> {
        let run = match side {
            Side::Inside => frontend.inside,
            Side::Outside => frontend.outside,
        };
        let slots = (0..run.count).filter_map(move |offset| self.tables.slot(run.base.wrapping_add(offset)));
        // A table has each of them many times.
        let backends: BTreeSet<BackendIndex> = slots.collect();
        backends
            .into_iter()
            .filter_map(|index| self.tables.backend(index))
            .map(|it| Endpoint {
                address: it.address,
                port: it.port,
            })
    }
}

/// What is to be said of the two of them.
fn remarks_on(real: &Outcome, library: &Outcome) -> Vec<String> {
    let mut remarks =
        vec!["the kernel ran the loaded program on this packet, with flows of its own".to_owned()];
    if real != library {
        remarks.push("the library would have done something else, see below; the kernel counts".to_owned());
    }
    remarks
}

/// What the kernel has found on the way, so that the library finds the same.
fn route_of(real: &Outcome) -> Route {
    match (real.counter, real.source) {
        (Some(Counter::DroppedRoute), _) => Route::Missing,
        (Some(Counter::DroppedForwarding), _) => Route::Off,
        (_, SourceAddress::Becomes(source)) => Route::From(source),
        (_, SourceAddress::Kept | SourceAddress::BecomesUnknown) => Route::Any,
    }
}

/// The device that a packet comes in by, and its Ethernet address; the kernel takes loopback where nothing is said.
fn uplink_of(device: Option<&str>) -> Result<(Entry, [u8; 6])> {
    let Some(device) = device else {
        return Ok((Entry::Uplink(None), [0; 6]));
    };
    let index =
        if_nametoindex(device).with_context(|| format!("look for the device {device} of this node"))?;
    let address = fs::read_to_string(Path::new("/sys/class/net").join(device).join("address"));
    let bytes = address.unwrap_or_default();
    let mut bytes = bytes
        .trim()
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap_or_default());
    Ok((
        Entry::Uplink(Some(index)),
        std::array::from_fn(|_| bytes.next().unwrap_or_default()),
    ))
}

/// The service port that the packet belongs to: by its frontend, or by its connection.
fn service(events: &[Event]) -> Option<ServiceId> {
    let by_flow = || {
        events.iter().find_map(|event| {
            let Event::Flow(flow) = event else {
                return None;
            };
            Some(flow.service)
        })
    };
    found(events).map(|frontend| frontend.service).or_else(by_flow)
}

/// Whether it is the client's hash that chooses, and not chance.
fn is_hashed(frontend: &Frontend, side: Side) -> bool {
    side == Side::Outside && frontend.flags.contains(FrontendFlags::MAGLEV)
}

/// The frontend that the library found.
fn found(events: &[Event]) -> Option<Frontend> {
    events.iter().rev().find_map(|event| {
        let Event::Frontend(_, frontend) = event else {
            return None;
        };
        *frontend
    })
}
