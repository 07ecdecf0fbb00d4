//! A service without pods.

use std::time::Duration;

use super::FAMILIES;
use crate::{
    cluster::Via,
    demo::{
        screen::{Screen, duration},
        world::{Client, World},
    },
    echo::{Mode, Options, Outcome, Protocol},
};

/// What counts as at once.
const AT_ONCE: Duration = Duration::from_millis(100);
/// The first retransmission of a SYN, a second after the first one (RFC 6298), and a moment.
const SECOND_SYN: Duration = Duration::from_millis(1_500);

/// Requests to `empty` by socket and by packet, TCP and UDP.
///
/// # Errors
/// When a client can not run.
pub fn empty(world: &World, screen: &mut Screen) -> anyhow::Result<()> {
    screen.scene("A service without pods refuses");
    let mut late = false;
    for Client { host, via, way } in world.clients() {
        for (protocol, words) in [(Protocol::Tcp, "TCP"), (Protocol::Udp, "UDP")] {
            for (family, service) in FAMILIES.into_iter().zip(world.service("empty", 80)) {
                let mut options = Options::to(service).count(2).timeout(Duration::from_secs(3));
                if protocol == Protocol::Udp {
                    options = options.udp(Mode::Connect);
                }
                let reports = host.ask(via, &options)?;
                let refused = reports.iter().all(|report| report.result == Outcome::Refused);
                let slowest = reports
                    .iter()
                    .map(|report| report.micros)
                    .max()
                    .unwrap_or_default();
                let slowest = Duration::from_micros(slowest);
                let bound = if via == Via::Packet && protocol == Protocol::Tcp {
                    SECOND_SYN
                } else {
                    AT_ONCE
                };
                late |= slowest > AT_ONCE;
                let outcome = if refused { "refused" } else { "not refused" };
                let text = format!(
                    "{way} {words} {family}: {outcome}, after {} at most",
                    duration(slowest)
                );
                screen.claim(refused && slowest < bound, &text);
            }
        }
    }
    if late {
        screen.say("The node answers the first SYN at once. Linux drops an ICMP error that arrives while connect() still holds");
        screen.say("the socket, as it does here between two namespaces of one kernel, and takes the one for its second SYN.");
    }
    Ok(())
}
