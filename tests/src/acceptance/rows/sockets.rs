//! What only sockets can do.

use std::net::{IpAddr, SocketAddr};

use kproxy_common::Family;

use super::for_each;
use crate::acceptance::row::{Ask, Expect, Row, Step, Via};
use crate::acceptance::state::{PORT, Protocol, SHOP, State, WEB, shop, web};
use crate::acceptance::world::{FAMILIES, HOST, service};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for protocol in Protocol::ALL {
        let mapped = Ask::web(Via::Socket, protocol, Family::V4).to(mapped(WEB));
        rows.push(
            Row::new(format!(
                "an IPv6 socket asks an IPv4-mapped service address ({})",
                protocol.name()
            ))
            .state(web(&["web-1", "web-2"]))
            .step(mapped.clone().times(5).by(&["web-1", "web-2"]))
            .state(web(&[]))
            .step(mapped.expect(Expect::Refused)),
        );
    }
    rows.push(
        Row::new("an IPv6 socket asks IPv4-mapped service addresses by sendto in turn")
            .state(State::of([web(&["web-1"]), shop(&["web-2"])]))
            .step(Step::Alternate {
                ask: Ask::web(Via::Socket, Protocol::Udp, Family::V4)
                    .sendto()
                    .by(&["web-1", "web-2"]),
                to: [mapped(WEB), mapped(SHOP)],
            }),
    );
    rows.extend(for_each(&Via::ALL, &[Protocol::Udp], |case| {
        Row::new("a sendto socket stays with its pod")
            .state(web(&["web-1", "web-2", "web-3"]))
            .step(case.ask().sendto().kept("a").times(20).expect(Expect::Same))
    }));
    rows.extend(for_each(&Via::ALL, &[Protocol::Udp], |case| {
        Row::new("a sendto socket is refused, and served once there are pods")
            .state(web(&[]))
            .step(case.ask().sendto().expect(Expect::Refused))
            .state(web(&["web-2"]))
            .step(case.ask().sendto().by(&["web-2"]))
    }));
    for family in FAMILIES {
        for protocol in Protocol::ALL {
            let ask = || Ask::web(Via::Socket, protocol, family).from(HOST.name);
            let name = |what: &str| format!("{what} ({family} {} by socket of the node)", protocol.name());
            rows.push(
                Row::new(name("a service without pods refuses"))
                    .state(web(&[]))
                    .step(ask().expect(Expect::Refused)),
            );
            rows.push(
                Row::new(name("two services are told apart"))
                    .state(State::of([web(&["web-1"]), shop(&["web-1"]).target(8081)]))
                    .step(ask().by(&["web-1"]))
                    .step(ask().to(service(SHOP, PORT, family)).by(&["web-1"])),
            );
        }
    }
    rows
}

/// The IPv4 service address as an IPv6 socket names it.
fn mapped(number: u8) -> SocketAddr {
    let address = service(number, PORT, Family::V4);
    let ip = match address.ip() {
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
        v6 @ IpAddr::V6(_) => v6,
    };
    (ip, address.port()).into()
}
