//! What may become of a packet, by the memory of what was translated.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use kproxy_ebpf::{Action, Refusal, Verdict};

use super::cluster::{
    LOCAL, backends, family, is_closed, is_cluster_ip, is_in_service_cidr, is_martian, is_pod, is_service,
    is_unicast,
};
use super::event::{Entrance, Event};
use super::flow::Flow;
use super::packet::{Headers, Part, SCTP, UDP};
use crate::acceptance::world::{HOST, Pod};

/// Where no source ports are for clients whose own is taken: NodePorts, and ports of connections of the node's or a pod's own.
const OTHERS_PORTS: std::ops::RangeInclusive<u16> = 30_000..=60_999;

/// Who has asked what, and what it became.
#[derive(Debug, Default)]
pub(super) struct Model {
    flows: Vec<Flow>,
    /// Protocol, client and service of what may have begun a flow, and was refused or dropped then.
    unseen: Vec<(u8, SocketAddr, SocketAddr)>,
    now: Duration,
}

impl Model {
    /// What the backends of all flows send, and what clients did: the seeds of further packets.
    pub(super) fn known(&self) -> impl Iterator<Item = (u8, SocketAddr, SocketAddr)> + '_ {
        self.flows.iter().flat_map(Flow::keys)
    }

    pub(super) fn wait(&mut self, pause: Duration) {
        self.now += pause;
        for flow in &mut self.flows {
            flow.grow_old(self.now);
        }
    }

    /// Notes a packet that was judged. One that has gone nowhere may have begun a flow all the same.
    pub(super) fn note(&mut self, event: &Event, has_gone: bool, seen: &Headers) {
        let Some((from, to)) = seen.ends() else { return };
        if !has_gone {
            self.unseen.push((seen.protocol, from, to));
        }
        for flow in &mut self.flows {
            let is_its_own = flow.keys().contains(&(seen.protocol, from, to));
            let is_replaced = !has_gone && flow.client == from;
            flow.may_be_over |= is_its_own && seen.may_end(&event.bytes) || is_replaced;
        }
    }

    /// Whether a packet may have become this one.
    pub(super) fn judge(
        &mut self,
        event: &Event,
        action: Action,
        before: &Headers,
        (bytes, after): (&[u8], &Headers),
    ) -> anyhow::Result<()> {
        ensure!(
            (before.protocol, before.part) == (after.protocol, after.part),
            "it is something else"
        );
        ensure!(!before.is_routed, "it has other places to go to");
        if before.is_icmp() {
            return self.judge_icmp(event, action, before, (bytes, after));
        }
        let entrance = event.entrance;
        if before.part == Part::Later {
            return self.judge_fragment(entrance, before, after);
        }
        let (Some(from), Some(to)) = (before.ends(), after.ends()) else {
            bail!("it has no ports");
        };
        let key = (before.protocol, from.0, from.1);
        let known = self
            .flows
            .iter()
            .position(|flow| flow.rewrite(entrance, key) == Some(to));
        if let Some(flow) = known {
            return self.go_on(flow, action);
        }
        let answers = |(protocol, client, asked): &(u8, SocketAddr, SocketAddr)| {
            let allowed = backends(*protocol, client.ip(), *asked, is_pod(client.ip())).unwrap_or_default();
            *protocol == before.protocol && to == (*asked, *client) && allowed.contains(&from.0)
        };
        if self.unseen.iter().any(answers) {
            return Ok(());
        }
        self.judge_request(entrance, action, key, to)
    }

    /// A flow goes on, or begins once more: then whoever shares its tuples has left them.
    fn go_on(&mut self, index: usize, action: Action) -> anyhow::Result<()> {
        let flow = &mut self.flows[index];
        flow.seen = self.now;
        let (keys, usual) = (flow.keys(), flow.action());
        for (other, flow) in self.flows.iter_mut().enumerate() {
            flow.may_be_over |= other != index && flow.keys().iter().any(|key| keys.contains(key));
        }
        ensure!(
            action == usual,
            "{action:?} is not how its flow goes, but {usual:?}"
        );
        Ok(())
    }

    fn judge_request(
        &mut self,
        entrance: Entrance,
        action: Action,
        (protocol, client, asked): (u8, SocketAddr, SocketAddr),
        (source, backend): (SocketAddr, SocketAddr),
    ) -> anyhow::Result<()> {
        let is_uplink = match entrance {
            Entrance::PodIngress => false,
            Entrance::UplinkIngress => true,
            Entrance::PodEgress | Entrance::UplinkEgress => bail!("something leaves that answers nothing"),
        };
        let inside = !is_uplink || is_pod(client.ip());
        let allowed = backends(protocol, client.ip(), asked, inside).context("it goes to no frontend")?;
        ensure!(allowed.contains(&backend), "{backend} is not for it: {allowed:?}");
        let local = Pod::named(LOCAL).address(family(backend.ip())) == backend.ip();
        let hairpin = client.ip() == backend.ip();
        let node = HOST.address(family(backend.ip()));
        let stands_in = match (is_uplink, hairpin) {
            (false, true) => asked.ip(),
            (true, _) if hairpin || !local => node,
            _ => client.ip(),
        };
        ensure!(
            source.ip() == stands_in,
            "{source} stands in for {client}, not {stands_in}"
        );
        ensure!(
            source.port() == client.port()
                || source.port() >= 1_024 && !OTHERS_PORTS.contains(&source.port()),
            "{source} has a port that is nobody's to take"
        );
        ensure!(
            !is_uplink || source.ip() != node || backends(protocol, node, source, true).is_none(),
            "{source} is a NodePort"
        );
        ensure!(
            !is_martian(entrance, client.ip(), asked.ip()),
            "nobody there has the address {client}"
        );
        let flow = Flow {
            protocol,
            client,
            asked,
            source,
            backend,
            is_uplink,
            is_around: if is_uplink { hairpin || !local } else { hairpin },
            seen: self.now,
            may_be_over: false,
        };
        ensure!(
            action == flow.action(),
            "{action:?} instead of {:?}",
            flow.action()
        );
        self.begin(flow)
    }

    /// A later flow may take over the answers only of one that has left them.
    fn begin(&mut self, mut flow: Flow) -> anyhow::Result<()> {
        let [request, answer] = flow.keys();
        for other in &mut self.flows {
            let [others_request, others_answer] = other.keys();
            // Whoever asks the same by another door stays, if it lives and was answered.
            flow.may_be_over |= request == others_request && flow.is_uplink != other.is_uplink;
            ensure!(
                answer != others_answer || request == others_request || other.may_be_over,
                "it takes the answers of {other:?}"
            );
            other.may_be_over |= [request, answer]
                .iter()
                .any(|key| [others_request, others_answer].contains(key));
        }
        self.flows.push(flow);
        Ok(())
    }

    /// A fragment follows a flow between the same two addresses, also one that was begun by what was refused.
    fn judge_fragment(&self, entrance: Entrance, before: &Headers, after: &Headers) -> anyhow::Result<()> {
        let follows = self.flows.iter().any(|flow| {
            flow.keys().into_iter().any(|key| {
                let (protocol, from, to) = key;
                let Some((source, destination)) = flow.rewrite(entrance, key) else {
                    return false;
                };
                protocol == before.protocol
                    && (from.ip(), to.ip()) == (before.source, before.destination)
                    && (source.ip(), destination.ip()) == (after.source, after.destination)
            })
        });
        let may_follow = self.unseen.iter().any(|(protocol, client, asked)| {
            let allowed = backends(*protocol, client.ip(), *asked, is_pod(client.ip())).unwrap_or_default();
            let is_for = |address| allowed.iter().any(|backend| backend.ip() == address);
            let asks = (before.source, before.destination) == (client.ip(), asked.ip());
            let answered = (after.source, after.destination) == (asked.ip(), client.ip());
            let sources = [client.ip(), asked.ip(), HOST.address(family(asked.ip()))];
            *protocol == before.protocol
                && (asks && is_for(after.destination) && sources.contains(&after.source)
                    || answered && is_for(before.source))
        });
        ensure!(follows || may_follow, "it has no ports, and follows no flow");
        Ok(())
    }

    /// An error message goes as what it is about goes, against it; an answered echo to who has asked.
    fn judge_icmp(
        &self,
        event: &Event,
        action: Action,
        before: &Headers,
        (bytes, after): (&[u8], &Headers),
    ) -> anyhow::Result<()> {
        if after.is_answered_echo(before) {
            ensure!(
                is_service(before.destination) && is_unicast(before.source),
                "{} is no service's, or {} nobody's",
                before.destination,
                before.source
            );
            return Ok(());
        }
        ensure!(before.kind() == after.kind(), "it became another message");
        let quotes = (before.quoted(&event.bytes), after.quoted(bytes));
        let (Some(old), Some(new)) = quotes else {
            bail!("it quotes nothing");
        };
        let (Some((sender, receiver)), Some(told)) = (old.ends(), new.ends()) else {
            bail!("it quotes no ports");
        };
        let key = (old.protocol, receiver, sender);
        let fits = |flow: &Flow| {
            let Some((source, destination)) = flow.rewrite(event.entrance, key) else {
                return false;
            };
            let speaker = if source.ip() == receiver.ip() {
                before.source
            } else {
                source.ip()
            };
            told == (destination, source)
                && (after.source, after.destination) == (speaker, destination.ip())
                && action == flow.action()
        };
        let is_unseen = self
            .unseen
            .iter()
            .any(|(_, client, asked)| told == (*client, *asked) || (receiver, sender) == (*client, *asked));
        ensure!(
            is_unseen || self.flows.iter().any(fits),
            "it is about {sender} to {receiver}, and says {} to {} for no flow",
            told.0,
            told.1
        );
        Ok(())
    }

    /// Whether a packet may pass as it is.
    pub(super) fn judge_passage(&self, event: &Event, seen: &Headers) -> anyhow::Result<()> {
        let Some((from, to)) = seen.ends() else {
            return Ok(());
        };
        if seen.part != Part::Whole || seen.is_routed || !seen.is_sound(&event.bytes) {
            return Ok(());
        }
        let key = (seen.protocol, from, to);
        if !seen.may_end(&event.bytes) && !seen.opens(&event.bytes) || seen.protocol == UDP {
            let belongs = |flow: &&Flow| !flow.may_be_over && flow.rewrite(event.entrance, key).is_some();
            if let Some(flow) = self.flows.iter().find(belongs) {
                bail!("it belongs to {flow:?}");
            }
        }
        let inside = match event.entrance {
            Entrance::PodIngress => true,
            Entrance::UplinkIngress => is_pod(from.ip()),
            Entrance::PodEgress | Entrance::UplinkEgress => return Ok(()),
        };
        let asks = seen.opens(&event.bytes)
            && (backends(seen.protocol, from.ip(), to, inside).is_some()
                || is_closed(seen.protocol, from.ip(), to));
        // To a client whose address is a service's too.
        let answers = self.flows.iter().any(|flow| flow.keys()[1] == key);
        ensure!(!asks || answers, "it asks for a service");
        Ok(())
    }
}

/// Whether a packet may be refused like this.
pub(super) fn judge_refusal(event: &Event, refusal: Refusal, seen: &Headers) -> anyhow::Result<()> {
    ensure!(
        seen.part != Part::Later && !seen.is_icmp(),
        "no message may be about it"
    );
    let ends = seen.ends();
    let is_served = |inside: bool| {
        ends.is_some_and(|(from, to)| backends(seen.protocol, from.ip(), to, inside).is_some())
    };
    match refusal {
        Refusal::PortUnreachable => {
            ensure!(is_cluster_ip(seen.destination), "it is not for us to refuse");
            ensure!(!is_served(true), "it asks for what is served");
        }
        Refusal::TooBig | Refusal::TimeExceeded => {
            ensure!(
                event.entrance == Entrance::UplinkIngress,
                "the node is no router for it"
            );
            let may_go_on = if refusal == Refusal::TimeExceeded {
                seen.hops > 1
            } else {
                event.segment_size <= 1_000 && event.bytes.len() <= 1_500
            };
            ensure!(!may_go_on, "it may go on");
        }
    }
    Ok(())
}

/// Whether the header leaves the length at 0.
fn says_no_length(event: &Event, seen: &Headers) -> bool {
    let length = if seen.source.is_ipv6() { 18..20 } else { 16..18 };
    event.bytes.get(length) == Some(&[0, 0])
}

/// Whether a packet may be dropped for this reason.
pub(super) fn judge_drop(event: &Event, verdict: Verdict, seen: Option<&Headers>) -> anyhow::Result<()> {
    ensure!(verdict.counter().is_some(), "a drop must be counted");
    let seen = seen.context("what has no headers is nobody's to drop")?;
    let ends = seen.ends();
    let is_closed = ends.is_some_and(|(from, to)| is_closed(seen.protocol, from.ip(), to));
    let is_outside = event.entrance == Entrance::UplinkIngress;
    let reasons = [
        (Verdict::DropSource, is_closed),
        (
            Verdict::DropMartian,
            is_martian(event.entrance, seen.source, seen.destination),
        ),
        (
            Verdict::DropUnallocated,
            is_in_service_cidr(seen.destination) && !is_service(seen.destination),
        ),
        (Verdict::DropFragment, seen.part == Part::Later),
        (
            Verdict::DropSctpFragment,
            seen.part == Part::First && seen.protocol == SCTP,
        ),
        // Without its length no checksum can be corrected.
        (
            Verdict::DropRewrite,
            seen.protocol == SCTP && says_no_length(event, seen),
        ),
        // An error message that goes no further.
        (Verdict::DropRoute, is_outside && seen.is_icmp()),
    ];
    ensure!(
        reasons.contains(&(verdict, true)),
        "nothing here is a reason to drop it"
    );
    Ok(())
}
