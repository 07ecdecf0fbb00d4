//! Requests of the echo client, and what its reports must say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{bail, ensure};

use super::allowed;
use crate::acceptance::answered::Answered;
use crate::acceptance::row::{Ask, Expect, Source, Via};
use crate::acceptance::spread;
use crate::acceptance::state::Protocol;
use crate::acceptance::world::{self, HOST, Pod};
use crate::cluster::{self, Host};
use crate::echo::{Mode, Options, Outcome, Report};

/// How long an answer may take; longer where one must come, since the machine may be busy.
const PATIENT: Duration = Duration::from_secs(3);
const IMPATIENT: Duration = Duration::from_millis(200);

/// The echo client's words for a request.
pub(super) fn options(ask: &Ask, to: SocketAddr) -> Options {
    let mode = if ask.sendto { Mode::Sendto } else { Mode::Connect };
    let options = match ask.protocol {
        Protocol::Tcp => Options::to(to),
        // SCTP does not fit this runner.
        Protocol::Udp | Protocol::Sctp => Options::to(to).udp(mode),
    };
    let answered = matches!(
        ask.expect,
        Expect::By(_)
            | Expect::Spread(_)
            | Expect::Same
            | Expect::One(_)
            | Expect::Varied(_)
            | Expect::Refused
    ) || ask.expect == Expect::Untouched && world::has_kernel(to.ip());
    Options {
        timeout: if answered { PATIENT } else { IMPATIENT },
        source_port: ask.source_port.unwrap_or(0),
        // The port must not stay in TIME_WAIT for the next request.
        reset: ask.source_port.is_some() && ask.kept.is_none(),
        count: u64::try_from(ask.times).unwrap_or(u64::MAX),
        ..options
    }
}

pub(super) fn via(ask: &Ask) -> cluster::Via {
    match ask.via {
        Via::Socket | Via::Node => cluster::Via::Socket,
        Via::Packet | Via::Uplink => cluster::Via::Packet,
    }
}

/// Asks, each time on a new socket.
pub(super) fn ask(host: &Host, ask: &Ask, answered: &mut Answered) -> anyhow::Result<()> {
    let reports = host.ask(via(ask), &options(ask, ask.to))?;
    ensure!(
        reports.len() == ask.times,
        "{} of {} reports",
        reports.len(),
        ask.times
    );
    let mut counts = BTreeMap::new();
    for report in &reports {
        check(ask, report)?;
        if let Some(pod) = report.pod() {
            answered.note(&ask.expect, pod)?;
            *counts.entry(pod.to_owned()).or_default() += 1;
        }
    }
    if let Expect::Spread(pods) = &ask.expect {
        spread::check(pods, &counts)?;
    }
    Ok(())
}

/// Asks two destinations in turn, on sockets that are kept.
pub(super) fn alternate(host: &Host, ask: &Ask, to: [SocketAddr; 2]) -> anyhow::Result<()> {
    let options = options(ask, to[0]).and_to(to[1]).keep().count(6);
    let reports = host.ask(via(ask), &options)?;
    ensure!(reports.len() == 6, "{} of 6 reports", reports.len());
    reports.iter().try_for_each(|report| check(ask, report))
}

/// Asks again and again from one port.
pub(super) fn reuse(host: &Host, ask: &Ask, times: u64) -> anyhow::Result<()> {
    let reports = host.ask(via(ask), &options(ask, ask.to).count(times))?;
    reports.iter().try_for_each(|report| check(ask, report))?;
    let seen: BTreeSet<_> = reports.iter().filter_map(Report::pod).collect();
    let pods = allowed(&ask.expect).unwrap_or_default();
    ensure!(
        seen.len() == pods.len(),
        "only {seen:?} came up in {times} connections from one port"
    );
    Ok(())
}

/// Holds a report against what is expected.
pub(super) fn check(ask: &Ask, report: &Report) -> anyhow::Result<()> {
    let fits = match &ask.expect {
        Expect::By(_) | Expect::Spread(_) | Expect::Same | Expect::One(_) | Expect::Varied(_) => {
            report.result == Outcome::Ok
        }
        Expect::Refused => report.result == Outcome::Refused,
        Expect::Denied => is_denied(ask.protocol, report),
        Expect::Silence => report.result == Outcome::Timeout,
        // A kernel that was asked itself says at once that nobody listens.
        Expect::Untouched if world::has_kernel(report.to.ip()) => report.result == Outcome::Refused,
        // Where the address leads without kproxy is the network's business, but nobody lives there.
        Expect::Untouched => matches!(report.result, Outcome::Timeout | Outcome::Error),
    };
    ensure!(
        fits,
        "expected {:?}, but the client reports {report:?}",
        ask.expect
    );
    if report.result == Outcome::Ok {
        check_answer(ask, report)?;
    }
    Ok(())
}

/// By the number of the error, which a client that gave up waiting has not got.
fn is_denied(protocol: Protocol, report: &Report) -> bool {
    let number = match protocol {
        Protocol::Tcp | Protocol::Sctp => "(os error 110)",
        Protocol::Udp => "(os error 1)",
    };
    report.error.as_ref().is_some_and(|error| error.contains(number))
}

fn check_answer(ask: &Ask, report: &Report) -> anyhow::Result<()> {
    let (Some(answer), Some(pod)) = (&report.answer, report.pod()) else {
        bail!("no answer in {report:?}");
    };
    if let Some(pods) = allowed(&ask.expect) {
        ensure!(
            pods.contains(&pod),
            "{pod} answered instead of {pods:?}: {report:?}"
        );
    }
    ensure!(
        report.peer == Some(report.to),
        "the client sees another peer than it asked: {report:?}"
    );
    if let Some(sender) = report.sender {
        ensure!(
            sender == report.to,
            "recvfrom names another sender than was asked: {report:?}"
        );
    }
    let client = ask.from;
    let is_translated = report.to.ip().to_canonical() != plain(answer.local);
    let family = kproxy_common::Address::from(report.to.ip()).family();
    ensure!(
        plain(answer.local) == Pod::named(pod).address(family),
        "{pod} was asked under another address: {report:?}"
    );
    let by_default = if ask.via == Via::Uplink && is_translated && Pod::named(pod).is_elsewhere() {
        Source::Node
    } else {
        Source::Kept
    };
    let stated = ask.seen_as.iter().find(|(name, _)| *name == pod);
    let mut expected = match stated.map_or(by_default, |(_, source)| *source) {
        Source::Kept => vec![client.address(family)],
        Source::Node => world::addresses_of_node(family).to_vec(),
    };
    if pod == client.name {
        // A hairpin, if the packets met a door.
        expected.push(plain(report.to));
    }
    // Which of its addresses the node speaks from is the CNI's choice.
    ensure!(
        client == HOST || expected.contains(&plain(answer.peer)),
        "{pod} sees another client than {expected:?}: {report:?}"
    );
    Ok(())
}

/// IPv4 where it is IPv4.
fn plain(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}
