//! One address, three pods on two nodes.

use super::{FAMILIES, by_pod, shares};
use crate::{
    cluster::Via,
    demo::{
        screen::Screen,
        world::{Client, World},
    },
    echo::{Options, Outcome, Report},
};

const REQUESTS: u64 = 300;
/// Six standard deviations around a third of [`REQUESTS`]: wrong once in a billion runs.
const FAIR: std::ops::RangeInclusive<u64> = 51..=149;

/// TCP requests to `web`, from a pod by socket, from a sandboxed one by packet, and from a node.
///
/// # Errors
/// When a client can not run.
pub fn spread(world: &World, screen: &mut Screen) -> anyhow::Result<()> {
    screen.scene("A ClusterIP spreads over three pods on two nodes");
    let node = world.cluster.node("b").host();
    let [socket, packet] = world.clients();
    let clients = [
        socket,
        packet,
        Client {
            host: node,
            via: Via::Socket,
            way: "from node b",
        },
    ];
    let mut all = Vec::new();
    let mut fair = true;
    let mut own = true;
    for Client { host, via, way } in clients {
        for (family, service) in FAMILIES.into_iter().zip(world.service("web", 80)) {
            let reports = host.ask(via, &Options::to(service).count(REQUESTS))?;
            let pods = by_pod(&reports);
            screen.row(&format!("{way:<11} {family}   {}", shares(world, &pods)));
            fair &= pods.len() == 3 && pods.values().all(|count| FAIR.contains(count));
            let seen = reports.iter().filter_map(|report| report.answer.as_ref());
            own &= seen
                .map(|answer| answer.peer.ip())
                .all(|seen| host.addresses().both().contains(&seen));
            all.extend(reports);
        }
    }
    answered(screen, &all);
    screen.claim(fair, "each pod got its third, within six standard deviations");
    screen.claim(own, "the pods saw the client's own address");
    let service = all.iter().all(|report| report.peer == Some(report.to));
    screen.claim(
        service,
        "the client saw the service's address, whichever pod answered",
    );
    Ok(())
}

fn answered(screen: &mut Screen, reports: &[Report]) {
    let count = reports
        .iter()
        .filter(|report| report.result == Outcome::Ok)
        .count();
    screen.claim(
        count == reports.len(),
        &format!("{count} of {} requests answered", reports.len()),
    );
    let failed = reports.iter().find(|report| report.result != Outcome::Ok);
    if let Some(Report {
        to, result, error, ..
    }) = failed
    {
        screen.say(&format!(
            "for example to {to}: {result:?} {}",
            error.as_deref().unwrap_or_default()
        ));
    }
}
