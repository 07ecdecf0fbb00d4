//! UDP, as a resolver speaks it.

use super::{FAMILIES, by_pod, shares};
use crate::{
    demo::{
        screen::Screen,
        world::{Client, World},
    },
    echo::{Mode, Options, Outcome},
};

const REQUESTS: u64 = 100;

/// UDP requests to `dns`, with connected and unconnected sockets, by socket and by packet.
///
/// # Errors
/// When a client can not run.
pub fn dns(world: &World, screen: &mut Screen) -> anyhow::Result<()> {
    screen.scene("UDP through a DNS-like service");
    let mut all = Vec::new();
    let mut spread = true;
    for Client { host, via, way } in world.clients() {
        for (mode, how) in [(Mode::Connect, "connect"), (Mode::Sendto, "sendto ")] {
            for (family, service) in FAMILIES.into_iter().zip(world.service("dns", 53)) {
                let options = Options::to(service).udp(mode).count(REQUESTS);
                let reports = host.ask(via, &options)?;
                let pods = by_pod(&reports);
                screen.row(&format!("{way} {how} {family}   {}", shares(world, &pods)));
                spread &= pods.len() == 2;
                all.extend(reports);
            }
        }
    }
    let answered = all.iter().filter(|report| report.result == Outcome::Ok).count();
    screen.claim(
        answered == all.len(),
        &format!("{answered} of {} datagrams answered", all.len()),
    );
    screen.claim(spread, "both pods answered every kind of client");
    let senders = all.iter().all(|report| report.sender == Some(report.to));
    screen.claim(senders, "every answer came from the service's address (recvfrom)");
    Ok(())
}
