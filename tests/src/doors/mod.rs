//! Arbitrary packets at every door, checked against a simple model of what may become of them.
//!
//! The model knows frontends with their backends and nothing of flows, maps or bytes: it remembers what was translated,
//! and says of every changed packet whether it may have become what it is. Whatever a packet holds, it passes
//! untouched, is refused or dropped, or is translated as the model allows.

mod event;
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
use kproxy_ebpf::{Action, Scratch, Verdict, forward, reject, reply};

use crate::acceptance::world::{NODE, NODE_NAMESPACE};
use crate::host::Programmer;
use event::{Entrance, Event};
use model::Model;
use packet::Headers;

/// How many packets one input makes at most.
const EVENTS: usize = 64;

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
    let plan = Programmer::new(NODE, Sizes::default().capacity()).plan(&model::state().manifests())?;
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
        for (family, (address, length)) in [(Family::V4, model::PODS_V4), (Family::V6, model::PODS_V6)] {
            let range = AddressRange::new(address.parse::<std::net::IpAddr>()?.into(), length);
            tables.pod_ranges.insert(family, range);
        }
        Ok(Self {
            tables,
            scratch: Scratch::default(),
            routes: Rc::new(Routes::Anywhere),
            model: Model::new(),
        })
    }

    fn meet(&mut self, event: &Event) -> anyhow::Result<()> {
        self.tables.wait(event.pause);
        let mut packet = Buffer::new(event.bytes.clone()).among(Rc::clone(&self.routes));
        let (tables, scratch) = (&self.tables, &mut self.scratch);
        let verdict = match event.entrance {
            Entrance::PodIngress => forward::pod_ingress(&mut packet, tables, scratch),
            Entrance::PodEgress => reply::pod_egress(&mut packet, tables, scratch),
            Entrance::UplinkIngress => forward::uplink_ingress(&mut packet, tables, scratch),
            Entrance::UplinkEgress => reply::uplink_egress(&mut packet, tables, scratch),
        };
        self.judge(event, verdict, packet)
            .with_context(|| format!("the verdict was {verdict:?}"))
    }

    fn judge(&mut self, event: &Event, verdict: Verdict, mut packet: Buffer) -> anyhow::Result<()> {
        let (before, changed) = (Headers::read(&event.bytes), packet.bytes != event.bytes);
        match verdict.action() {
            Action::Drop => Ok(()),
            Action::Requeue => {
                ensure!(!changed, "a packet that comes again was changed");
                Ok(())
            }
            Action::Refuse(refusal) => {
                ensure!(!changed, "a packet that is refused was changed before");
                if reject::refuse(&mut packet, &self.tables, refusal).is_none() {
                    return Ok(());
                }
                let before = before.context("a packet without headers was refused")?;
                let after = Headers::read(&packet.bytes).context("the refusal has no headers")?;
                ensure!(after.destination == before.source, "the refusal goes elsewhere");
                ensure!(
                    packet::checksums_are_right(&packet.bytes),
                    "the refusal has a wrong checksum"
                );
                Ok(())
            }
            Action::Continue if !changed => Ok(()),
            action @ (Action::Continue | Action::TurnAround | Action::Forward) => {
                let before = before.context("a packet without headers was changed")?;
                let after = Headers::read(&packet.bytes).context("it lost its headers")?;
                let hops = u8::from(action == Action::Forward);
                ensure!(
                    after.is_answered_echo(&before) || before.hops.checked_sub(hops) == Some(after.hops),
                    "its hops are counted wrongly: {} to {}",
                    before.hops,
                    after.hops
                );
                if packet::checksums_are_right(&event.bytes) {
                    ensure!(
                        packet::checksums_are_right(&packet.bytes),
                        "its checksum is wrong now"
                    );
                }
                ensure!(packet.bytes.len() == event.bytes.len(), "it has another length");
                self.model.judge(event.entrance, &before, &after)
            }
        }
    }
}
