//! From a question to its answer.

use std::cell::RefCell;

use anyhow::{Context, Result};
use kproxy_common::{Counter, Frontend, ServiceId, Settings, Tuple};
use kproxy_ebpf::lookup::Side;
use kproxy_ebpf::{Age, Tables};

use super::answer::{Answer, ClientKind, FrontendKind, Verdict};
use super::doors::{self, NODE_NAMESPACE};
use super::frame;
use super::names::Names;
use super::outcome::{Outcome, counted, reason};
use super::question::{Question, Via};
use super::replay::{Event, Replay};
use super::steps::{step, target};
use super::surroundings::Surroundings;
use crate::dataplane::{Fate, Trial};
use crate::plan::Endpoint;

/// A node's maps, and what it takes to explain what they do with a packet. Made once for many questions.
pub struct Explainer<T> {
    tables: T,
    names: Names,
    surroundings: Surroundings,
    /// The real program of a pod's door.
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

    /// Has the real program decide at the pod's door.
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
            Via::Uplink => self.at_uplink(&tuple, client),
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

    fn at_uplink(&self, tuple: &Tuple, client: ClientKind) -> Passage {
        let (outcome, events) = doors::uplink(self.replay(None), tuple, client);
        Passage {
            outcome,
            events,
            remarks: vec!["the uplink door has no program yet: this is what its maps say already".into()],
        }
    }

    fn at_pod(&self, tuple: &Tuple) -> Result<Passage> {
        let (mut outcome, mut events) = doors::pod(self.replay(None), tuple);
        let mut remarks = Vec::new();
        if let Some(trial) = &self.trial {
            let real = self.run_real(&mut trial.borrow_mut(), tuple, &events)?;
            // Chance is the kernel's: the library is shown the same, so that both tell of one choice.
            if let Some(chance) = self.chance_of(&events, real.chosen) {
                (outcome, events) = doors::pod(self.replay(Some(chance)), tuple);
            }
            remarks.push("the kernel ran the loaded program on this packet, with flows of its own".into());
            if real != outcome {
                remarks
                    .push("the library would have done something else, see below; the kernel counts".into());
            }
            outcome = real;
        }
        Ok(Passage {
            outcome,
            events,
            remarks,
        })
    }

    fn run_real(&self, trial: &mut Trial, tuple: &Tuple, events: &[Event]) -> Result<Outcome> {
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
        let fate = trial.run(&frame::bytes(tuple), &flows, affinity);
        let Fate { bytes, counted, .. } = fate.context("run the program of the pod's door")?;
        Ok(doors::after_packet(tuple, &counted, bytes))
    }

    /// The chance by which the library picks this backend.
    fn chance_of(&self, events: &[Event], chosen: Option<Endpoint>) -> Option<u32> {
        let frontend = found(events)?;
        let run = frontend.inside;
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
        steps.extend(events.iter().filter_map(|event| step(event, side, &self.names)));
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
        let reason = reason(
            outcome.counter,
            is_affinity,
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
        slots
            .filter_map(|index| self.tables.backend(index))
            .map(|it| Endpoint {
                address: it.address,
                port: it.port,
            })
    }
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

/// The frontend that the library found.
fn found(events: &[Event]) -> Option<Frontend> {
    events.iter().rev().find_map(|event| {
        let Event::Frontend(_, frontend) = event else {
            return None;
        };
        *frontend
    })
}
