//! Which frontends of UDP lead somewhere that led nowhere before (semantics 7.07).

use super::super::{Applied, MapContents};
use super::model::Model;
use super::*;

/// A service of UDP on `10.96.0.<address>:53` with the port of its backends.
fn dns(address: u8, endpoints: &[Endpoint]) -> (ServicePortName, WantedService) {
    let protocol = Protocol::UDP;
    let mut wanted = service(address, &[]);
    let frontends = std::mem::take(&mut wanted.frontends);
    wanted.frontends = frontends
        .into_values()
        .map(|frontend| (udp(address), frontend))
        .collect();
    let flags = BackendFlags::empty();
    wanted.endpoints = endpoints.iter().map(|it| (*it, flags)).collect();
    wanted.cluster = endpoints.to_vec();
    let name = ServicePortName {
        protocol,
        ..name(&format!("dns{address}"))
    };
    (name, wanted)
}

fn udp(address: u8) -> FrontendKey {
    FrontendKey {
        protocol: Protocol::UDP,
        ..key(address, 53)
    }
}

#[test]
fn a_frontend_is_newly_served_when_it_gets_its_first_backends() {
    let (mut applied, mut model) = (Applied::new(ROOMY), Model::new(ROOMY));
    // (what, backends, whether it is newly served)
    let rows: [(&str, &[u8], bool); 6] = [
        ("7.07 without backends", &[], false),
        ("7.07 the first one", &[1], true),
        ("another one", &[1, 2], false),
        ("others", &[3], false),
        ("7.07 none again", &[], false),
        ("7.07 and back", &[2], true),
    ];
    for (row, backends, expected) in rows {
        let backends: Vec<_> = backends.iter().copied().map(endpoint).collect();
        let (name, wanted) = dns(1, &backends);
        let plan = applied.change([(name, Some(wanted))].into());
        model.apply(&plan);
        assert_eq!(plan.newly_served.contains(&udp(1)), expected, "{row}");
    }
    let mut restarted = Applied::adopt(ROOMY, model.contents.clone());
    let plan = restarted.replace([dns(1, &[endpoint(1)])].into());
    assert!(plan.newly_served.is_empty(), "after a restart: {plan:?}");
    let mut fresh = Applied::adopt(ROOMY, MapContents::default());
    let plan = fresh.replace([dns(1, &[endpoint(1)])].into());
    assert_eq!(plan.newly_served, [udp(1)].into(), "on a fresh node");
}

#[test]
fn what_a_backend_listens_at_is_not_newly_served() {
    let mut applied = Applied::new(ROOMY);
    let FrontendKey { address, port, .. } = udp(1);
    let plan = applied.replace([dns(1, &[Endpoint { address, port }])].into());
    assert!(
        plan.newly_served.is_empty(),
        "a socket of the node that is connected there may mean the backend"
    );
}

#[test]
fn tcp_does_not_matter() {
    let plan = Applied::new(ROOMY).replace(wanted([("web", service(1, &[1]))]));
    assert!(plan.newly_served.is_empty(), "7.02");
}
