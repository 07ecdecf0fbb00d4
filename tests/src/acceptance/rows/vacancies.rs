//! Ports that are not there, and addresses that no service has (semantics 4d).

use kproxy_common::Family;

use super::bystanders::of_protocol;
use super::{for_each, for_every, reaches};
use crate::acceptance::row::{Expect, Row, Step, Then, Via};
use crate::acceptance::state::{PORT, Protocol, State, WEB, web};
use crate::acceptance::world::{self, FAMILIES, Vip};
use crate::host::frame::Tcp;

/// Of no service, in the range that ClusterIPs come from.
const NOBODY: u8 = 200;

/// IGMP, IPIP, DCCP, GRE, ESP, OSPF, UDP-Lite.
const WITHOUT_PORTS: [u8; 7] = [2, 4, 33, 47, 50, 89, 136];

pub(super) fn rows() -> Vec<Row> {
    [ports(), protocols(), addresses()].concat()
}

fn ports() -> Vec<Row> {
    let all = [
        for_every(|case| {
            Row::new("4.08, 4.03 another port of a ClusterIP refuses")
                .state(web(&["web-1"]))
                .step(case.ask().port(PORT + 1).times(3).expect(Expect::Refused))
                .step(case.ask().by(&["web-1"]))
        }),
        for_every(|case| {
            let other = match case.protocol {
                Protocol::Tcp => Protocol::Udp,
                Protocol::Udp | Protocol::Sctp => Protocol::Tcp,
            };
            Row::new("4.08 another protocol of a ClusterIP refuses")
                .state(web(&["web-1"]).only(other))
                .step(case.ask().expect(Expect::Refused))
        }),
        for_each(&Via::EVERY, &[Protocol::Udp], |case| {
            Row::new("4.08 another port of a ClusterIP refuses a sendto socket")
                .state(web(&["web-1"]))
                .step(case.ask().port(PORT + 1).sendto().expect(Expect::Refused))
        }),
        for_every(|case| {
            Row::new("4.08 a port of a NodePort or of a pod is none of the ClusterIP")
                .state(web(&["web-1"]).node_port(30_083))
                .step(case.ask().port(30_083).expect(Expect::Refused))
                .step(case.ask().port(8080).expect(Expect::Refused))
        }),
        for_each(&[Via::Packet], &[Protocol::Tcp], |case| {
            let talk = case.talk(25_240).port(PORT + 1);
            Row::new("4.08 a rejection answers what is no answer itself")
                .state(web(&["web-1"]))
                .step(talk.sends(Tcp::Syn, Then::Unreachable))
                .step(talk.sends(Tcp::Ack, Then::Unreachable))
                .step(talk.sends(Tcp::Rst, Then::Untouched))
        }),
        for_each(&[Via::Packet], &Protocol::ALL, |case| {
            let talk = case.talk(25_241).port(PORT + 1);
            Row::new("4.02, 1.28 a flow goes on when its port is gone, and a new one is rejected")
                .state(web(&["web-1"]).port(PORT + 1, 8081))
                .step(talk.opens(case.protocol, reaches(&["web-1"])))
                .step(talk.is_opened(case.protocol))
                .state(web(&["web-1"]))
                .step(match case.protocol {
                    Protocol::Tcp => talk.goes_on(case.protocol, Then::ReachesSame),
                    // Its backend is gone with the port (DESIGN.md section 8).
                    Protocol::Udp | Protocol::Sctp => talk.goes_on(case.protocol, Then::Unreachable),
                })
                .step(
                    case.talk(25_242)
                        .port(PORT + 1)
                        .opens(case.protocol, Then::Unreachable),
                )
        }),
    ];
    all.concat()
}

fn protocols() -> Vec<Row> {
    let of_each = |row: Row, protocols: &[u8], family, then: &Then| {
        protocols.iter().fold(row, |row, protocol| {
            row.step(Step::Raw(of_protocol(*protocol, family), then.clone()))
        })
    };
    FAMILIES
        .into_iter()
        .flat_map(|family| {
            let echo = match family {
                Family::V4 => 1,
                Family::V6 => 58,
            };
            let row = |name: &str| Row::new(format!("{name} ({family} by packet)"));
            let defined =
                row("4.08 protocols without ports are rejected by a ClusterIP").state(web(&["web-1"]));
            let defined = of_each(defined, &WITHOUT_PORTS, family, &Then::Unreachable);
            let external = row("4.14 protocols without ports are left alone by a service that is gone")
                .state(web(&["web-1"]))
                .state(State::default());
            let external = of_each(external, &WITHOUT_PORTS, family, &Then::Untouched);
            let nobody = row("4.09 every protocol to a ClusterIP of no service is dropped")
                .state(State::default().with_service_cidrs());
            let nobody = of_each(nobody, &WITHOUT_PORTS, family, &Then::Dropped);
            let nobody = of_each(nobody, &[echo], family, &Then::Dropped);
            let gone = row("4.10 every protocol to the ClusterIP of a service that is gone is dropped")
                .state(web(&["web-1"]))
                .state(State::default().with_service_cidrs());
            let gone = of_each(gone, &WITHOUT_PORTS, family, &Then::Dropped);
            let ping = row("4.08 ICMP to a ClusterIP is left alone").state(web(&["web-1"]));
            let ping = of_each(ping, &[echo], family, &Then::Untouched);
            [defined, external, nobody, gone, ping]
        })
        .collect()
}

fn addresses() -> Vec<Row> {
    let unallocated = |family: Family| world::service(NOBODY, PORT, family);
    let known = || State::of([web(&["web-1"])]).with_service_cidrs();
    let all = [
        for_every(|case| {
            Row::new("4.09 a ClusterIP of no service is dropped")
                .state(known())
                .step(case.ask().to(unallocated(case.family)).expect(case.dropped()))
                .step(case.ask().by(&["web-1"]))
        }),
        for_each(&Via::EVERY, &[Protocol::Udp], |case| {
            Row::new("4.09 a ClusterIP of no service is dropped for a sendto socket")
                .state(known())
                .step(
                    case.ask()
                        .to(unallocated(case.family))
                        .sendto()
                        .expect(case.dropped()),
                )
        }),
        for_every(|case| {
            Row::new("4.12 where no range is known nothing is dropped")
                .state(web(&["web-1"]))
                .step(case.ask().to(unallocated(case.family)).expect(Expect::Untouched))
        }),
        for_every(|case| {
            Row::new("4.11 ranges that come and go hold at once")
                .state(web(&["web-1"]))
                .step(case.ask().to(unallocated(case.family)).expect(Expect::Untouched))
                .state(known())
                .step(case.ask().to(unallocated(case.family)).expect(case.dropped()))
                .state(web(&["web-1"]))
                .step(case.ask().to(unallocated(case.family)).expect(Expect::Untouched))
        }),
        for_every(|case| {
            Row::new("4.10, 4.07 the ClusterIP of a service that is gone is dropped")
                .state(known())
                .step(case.ask().by(&["web-1"]))
                .state(State::default().with_service_cidrs())
                .step(case.ask().expect(case.dropped()))
                .state(State::default())
                .step(case.ask().expect(Expect::Untouched))
        }),
        for_every(|case| {
            let elsewhere = Vip::Number(12).port(PORT, case.family);
            Row::new("4.09 addresses of no range are left alone")
                .state(known())
                .step(case.ask().to(elsewhere).expect(Expect::Untouched))
        }),
        for_each(&[Via::Packet], &[Protocol::Tcp], |case| {
            let talk = case.talk(25_243).to(NOBODY);
            Row::new("4.09 only what begins a connection is dropped")
                .state(known())
                .step(talk.sends(Tcp::Syn, Then::Dropped))
                .step(talk.sends(Tcp::Ack, Then::Untouched))
                .step(talk.sends(Tcp::Fin, Then::Untouched))
                .step(talk.sends(Tcp::Rst, Then::Untouched))
        }),
        for_each(&[Via::Packet], &[Protocol::Tcp], |case| {
            let talk = case.talk(25_244).to(WEB);
            Row::new("4.02 a connection goes on when its service and its range remain without each other")
                .state(known())
                .step(talk.sends(Tcp::Syn, reaches(&["web-1"])))
                .step(talk.answers(Tcp::SynAck))
                .state(State::default().with_service_cidrs())
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
                .step(talk.answers(Tcp::Ack))
                .step(case.talk(25_245).to(WEB).sends(Tcp::Syn, Then::Dropped))
        }),
    ];
    all.concat()
}
