//! Arbitrary packets at every door, checked against a simple model of what may become of them.
//!
//! The model knows frontends with their backends and nothing of flows, maps or bytes: it remembers what was translated,
//! and says of every changed packet whether it may have become what it is. Whatever a packet holds, it passes
//! untouched, is refused or dropped, or is translated as the model allows.

mod cluster;
mod dress;
mod event;
mod flow;
mod message;
mod model;
mod packet;

use std::rc::Rc;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use arbitrary::{Arbitrary as _, Unstructured};
use kproxy::dataplane::Sizes;
use kproxy::memory::{Buffer, MemoryTables, Routes};
use kproxy::plan::Plan;
use kproxy_common::{AddressRange, Family};
use kproxy_ebpf::{Action, Refusal, Scratch, Verdict, forward, reject, reply};

use crate::acceptance::world::{NODE, NODE_NAMESPACE};
use crate::host::{Programmer, frame};
use event::{Entrance, Event};
use model::Model;
use packet::{Headers, Part};

/// How many packets one input makes at most.
const EVENTS: usize = 64;
/// Length of an Ethernet header.
const ETHERNET: usize = 14;

/// Plays what the bytes say, packet by packet.
///
/// # Errors
/// Says which packet became what it must not, or that a cluster could not be programmed.
pub fn play(bytes: &[u8]) -> anyhow::Result<()> {
    let mut input = Unstructured::new(bytes);
    let mut subject = Subject::new(u64::arbitrary(&mut input).unwrap_or(1))?;
    for number in 0..EVENTS {
        if input.is_empty() {
            break;
        }
        let Ok(event) = Event::arbitrary(&mut input, &subject.model) else {
            break;
        };
        subject
            .meet(&event)
            .with_context(|| format!("packet {number}, {event:02x?}"))?;
    }
    Ok(())
}

/// What brings the maps to the model's cluster: the same for every input.
fn plan() -> anyhow::Result<&'static Plan> {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    if let Some(plan) = PLAN.get() {
        return Ok(plan);
    }
    let plan = Programmer::new(NODE, Sizes::default().capacity()).plan(&cluster::state().manifests())?;
    Ok(PLAN.get_or_init(|| plan))
}

/// The library with its model.
struct Subject {
    tables: MemoryTables,
    scratch: Scratch,
    routes: Rc<Routes>,
    model: Model,
}

impl Subject {
    fn new(seed: u64) -> anyhow::Result<Self> {
        let mut tables = MemoryTables::new(seed | 1);
        tables.settings.node_namespace = NODE_NAMESPACE;
        tables.apply(plan()?);
        for (family, (address, length)) in [(Family::V4, cluster::PODS_V4), (Family::V6, cluster::PODS_V6)] {
            let range = AddressRange::new(address.parse::<std::net::IpAddr>()?.into(), length);
            tables.pod_ranges.insert(family, range);
        }
        Ok(Self {
            tables,
            scratch: Scratch::default(),
            routes: Rc::new(Routes::Anywhere),
            model: Model::default(),
        })
    }

    fn meet(&mut self, event: &Event) -> anyhow::Result<()> {
        self.tables.wait(event.pause);
        self.model.wait(event.pause);
        let bytes = event.bytes.clone();
        let packet = if event.is_partial {
            Buffer::partial(bytes)
        } else {
            Buffer::new(bytes)
        };
        let mut packet = packet
            .among(Rc::clone(&self.routes))
            .in_segments_of(event.segment_size);
        let (tables, scratch) = (&self.tables, &mut self.scratch);
        let verdict = match event.entrance {
            Entrance::PodIngress => forward::pod_ingress(&mut packet, tables, scratch),
            Entrance::PodEgress => reply::pod_egress(&mut packet, tables, scratch),
            Entrance::UplinkIngress => forward::uplink_ingress(&mut packet, tables, scratch),
            Entrance::UplinkEgress => reply::uplink_egress(&mut packet, tables, scratch),
        };
        let before = Headers::read(&event.bytes);
        self.judge(event, verdict, before.as_ref(), packet)
            .with_context(|| format!("the verdict was {verdict:?}"))?;
        if let Some(before) = before {
            let has_gone = !matches!(verdict.action(), Action::Drop | Action::Refuse(_));
            self.model.note(event, has_gone, &before);
        }
        Ok(())
    }

    fn judge(
        &mut self,
        event: &Event,
        verdict: Verdict,
        before: Option<&Headers>,
        packet: Buffer,
    ) -> anyhow::Result<()> {
        let changed = packet.bytes != event.bytes;
        match verdict.action() {
            Action::Drop => model::judge_drop(event, verdict, before),
            Action::Requeue => {
                ensure!(!changed, "a packet that comes again was changed");
                let before = before.context("what has no headers has nothing to wait for")?;
                ensure!(before.part == Part::Later, "it has nothing to wait for");
                Ok(())
            }
            Action::Refuse(refusal) => {
                ensure!(!changed, "a packet that is refused was changed before");
                let before = before.context("a packet without headers was refused")?;
                model::judge_refusal(event, refusal, before)?;
                self.refuse(event, refusal, before, packet)
            }
            Action::Continue if !changed => match before {
                Some(before) => self.model.judge_passage(event, before),
                None => Ok(()),
            },
            action @ (Action::Continue | Action::TurnAround | Action::Forward) => {
                let before = before.context("a packet without headers was changed")?;
                let after = Headers::read(&packet.bytes).context("it lost its headers")?;
                let hops = u8::from(action == Action::Forward);
                ensure!(
                    after.is_answered_echo(before) || before.hops.checked_sub(hops) == Some(after.hops),
                    "its hops are counted wrongly: {} to {}",
                    before.hops,
                    after.hops
                );
                let errors = [(before, &event.bytes), (&after, &packet.bytes)]
                    .map(|(headers, bytes)| headers.errors(bytes, event.is_partial));
                ensure!(
                    errors[0] == errors[1],
                    "its checksums were wrong by {:?}, and are by {:?}",
                    errors[0],
                    errors[1]
                );
                ensure!(
                    before.kept(&event.bytes) == after.kept(&packet.bytes),
                    "more was changed than a translation may: {:02x?}",
                    packet.bytes
                );
                self.model.judge(event, action, before, (&packet.bytes, &after))
            }
        }
    }

    /// Makes the message that says no, and looks at it.
    fn refuse(
        &self,
        event: &Event,
        refusal: Refusal,
        before: &Headers,
        mut packet: Buffer,
    ) -> anyhow::Result<()> {
        if reject::refuse(&mut packet, &self.tables, refusal).is_none() {
            return Ok(());
        }
        let after = Headers::read(&packet.bytes).context("the refusal has no headers")?;
        ensure!(
            cluster::is_unicast(before.source),
            "{} is nobody to be told anything",
            before.source
        );
        ensure!(after.destination == before.source, "the refusal goes elsewhere");
        ensure!(after.is_icmp(), "the refusal is no message");
        ensure!(
            after.quoted(&packet.bytes).is_some()
                && event.bytes[ETHERNET..].starts_with(after.quote(&packet.bytes)),
            "the refusal does not quote what was sent"
        );
        frame::verify_checksums(&packet.bytes).context("in the refusal")
    }
}
