//! Source ranges of load balancers (semantics 3f): who is in none is dropped, pods and the node like everybody.

use super::{Case, for_each, for_every, reaches};
use crate::acceptance::row::{Ask, Expect, Row, Then, Via};
use crate::acceptance::service::Service;
use crate::acceptance::state::{PORT, Protocol, web};
use crate::acceptance::world::{CLIENT, STICKY, Vip};
use crate::host::frame::Tcp;

const VIP: Vip = Vip::Number(8);
const NOBODY: [&str; 2] = ["192.0.2.0/24", "2001:db8::/32"];
const PODS: [&str; 2] = ["10.244.0.0/16", "fd44::/16"];
const NODES: [&str; 2] = ["172.30.0.0/16", "fd30::/16"];
const EVERYBODY: [&str; 4] = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"];

pub(super) fn rows() -> Vec<Row> {
    [requests(), flows()].concat()
}

fn requests() -> Vec<Row> {
    let all = [
        for_every(|case| {
            let pods_ask = if case.via == Via::Node {
                case.dropped()
            } else {
                Expect::By(vec!["web-1"])
            };
            let node_asks = if case.via == Via::Node {
                Expect::By(vec!["web-1"])
            } else {
                case.dropped()
            };
            Row::new("3.41, 3.43 only who is in a range may ask")
                .state(balanced(web(&["web-1"])).source_ranges(&PODS))
                .step(ask(case).times(3).expect(pods_ask))
                .state(balanced(web(&["web-1"])).source_ranges(&NODES))
                .step(ask(case).expect(node_asks))
        }),
        for_every(|case| {
            Row::new("3.42, 3.43 neither pods nor the node are exempt")
                .state(balanced(web(&["web-1"])).source_ranges(&NOBODY))
                .step(ask(case).expect(case.dropped()))
        }),
        for_every(|case| {
            Row::new("3.40 NodePorts, external addresses and ClusterIPs have no ranges")
                .state(
                    balanced(web(&["web-1"]))
                        .source_ranges(&NOBODY)
                        .node_port(30_081)
                        .external_ips(&[Vip::Number(9)]),
                )
                .step(case.ask().by(&["web-1"]))
                .step(case.ask().to(Vip::Node.port(30_081, case.family)).by(&["web-1"]))
                .step(
                    case.ask()
                        .to(Vip::Number(9).port(PORT, case.family))
                        .by(&["web-1"]),
                )
                .step(ask(case).expect(case.dropped()))
        }),
        for_every(|case| {
            Row::new("3.45 two halves are everybody, and so is 1.25 the whole")
                .state(balanced(web(&["web-1"])).source_ranges(&EVERYBODY))
                .step(ask(case).by(&["web-1"]))
                .state(balanced(web(&["web-1"])).source_ranges(&["192.0.2.0/24", "0.0.0.0/0", "::/0"]))
                .step(ask(case).by(&["web-1"]))
        }),
        for_every(|case| {
            Row::new("3.46 without pods who is in no range is dropped, and others are refused")
                .state(balanced(web(&[])).source_ranges(&NOBODY))
                .step(ask(case).expect(case.dropped()))
                .state(balanced(web(&[])).source_ranges(&EVERYBODY))
                .step(ask(case).expect(Expect::Refused))
        }),
        for_every(|case| {
            Row::new("3.47 external policy Local: allowed clients inside use every pod")
                .state(balanced(web(&["web-2"]).external_local()).source_ranges(&EVERYBODY))
                .step(ask(case).by(&["web-2"]))
                .state(balanced(web(&["web-2"]).external_local()).source_ranges(&NOBODY))
                .step(ask(case).expect(case.dropped()))
        }),
        for_every(|case| {
            Row::new("3.48 an address that is external as well has its ranges")
                .state(
                    balanced(web(&["web-1"]))
                        .external_ips(&[VIP])
                        .source_ranges(&NOBODY),
                )
                .step(ask(case).expect(case.dropped()))
        }),
        for_every(|case| {
            Row::new("3.41 ranges that change hold for the next client")
                .state(balanced(web(&["web-1"])).source_ranges(&EVERYBODY))
                .step(ask(case).by(&["web-1"]))
                .state(balanced(web(&["web-1"])).source_ranges(&NOBODY))
                .step(ask(case).expect(case.dropped()))
                .state(balanced(web(&["web-1"])))
                .step(ask(case).by(&["web-1"]))
        }),
        for_each(&Via::ALL, &Protocol::ALL, |case| {
            Row::new("3.41 a range may be one address")
                .state(balanced(web(&["web-1"])).source_ranges(&[
                    "10.244.1.2/32",
                    "10.244.1.6/32",
                    "fd44:0:0:1::2/128",
                    "fd44:0:0:1::6/128",
                ]))
                .step(ask(case).from(CLIENT).by(&["web-1"]))
                .step(ask(case).from(STICKY).by(&["web-1"]))
                .step(ask(case).from("other").expect(Expect::Silence))
        }),
    ];
    all.concat()
}

fn flows() -> Vec<Row> {
    let all = [
        for_each(&[Via::Packet], &Protocol::ALL, |case| {
            let talk = case.talk(25_220).at(VIP.port(PORT, case.family));
            Row::new("3.41 a flow goes on when its client is in no range any more")
                .state(balanced(web(&["web-1"])))
                .step(talk.opens(case.protocol, reaches(&["web-1"])))
                .step(talk.is_opened(case.protocol))
                .state(balanced(web(&["web-1"])).source_ranges(&NOBODY))
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
                .step(talk.is_opened(case.protocol))
                .step(
                    case.talk(25_221)
                        .at(VIP.port(PORT, case.family))
                        .opens(case.protocol, Then::Dropped),
                )
        }),
        for_each(&[Via::Packet], &[Protocol::Tcp], |case| {
            let talk = case.talk(25_222).at(VIP.port(PORT, case.family));
            Row::new("3.41 whoever begins in the middle is dropped as well")
                .state(balanced(web(&["web-1"])).source_ranges(&NOBODY))
                .step(talk.sends(Tcp::Ack, Then::Dropped))
                .step(talk.sends(Tcp::Rst, Then::Untouched))
        }),
    ];
    all.concat()
}

fn balanced(service: Service) -> Service {
    service.load_balancer(&[VIP])
}

fn ask(case: Case) -> Ask {
    let client = match case.via {
        Via::Socket => STICKY,
        Via::Packet | Via::Node | Via::Uplink => case.via.client(),
    };
    case.ask().from(client).to(VIP.port(PORT, case.family))
}
