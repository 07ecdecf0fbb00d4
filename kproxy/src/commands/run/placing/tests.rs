//! Where health-check node ports are open.

use super::*;
use crate::model::{parse_address, parse_cidr};

fn addresses(texts: &str) -> Vec<Address> {
    let texts = texts.split_whitespace();
    texts
        .map(|text| parse_address(text).expect("an address"))
        .collect()
}

fn node_ports(text: &str) -> NodePortAddresses {
    if text == "primary" {
        return NodePortAddresses::Primary;
    }
    let ranges = text.split_whitespace();
    NodePortAddresses::Cidrs(ranges.map(|text| parse_cidr(text).expect("a range")).collect())
}

fn listen_at(text: &str) -> ListenAt {
    if text == "all" {
        return ListenAt::All;
    }
    ListenAt::Only(addresses(text).iter().map(|address| address.ip()).collect())
}

#[test]
fn health_check_ports_are_open_where_node_ports_are() {
    let bound = Some(
        addresses("10.0.0.5 172.17.0.1 127.0.0.1 fd00::5 ::1")
            .into_iter()
            .collect(),
    );
    // What it shows; nodePortAddresses; the Node's addresses; where IPv4 and IPv6 are open.
    let rows = [
        (
            "3.51 primary",
            "primary",
            "10.0.0.5 fd00::5",
            "10.0.0.5",
            "fd00::5",
        ),
        (
            "3.49 primary means all where it is not known",
            "primary",
            "",
            "all",
            "all",
        ),
        ("3.49 match-all", "0.0.0.0/0", "10.0.0.5", "all", "all"),
        ("3.49 ranges", "10.0.0.0/8 fd00::/8", "", "10.0.0.5", "fd00::5"),
        (
            "3.49 loopback, if it is named",
            "10.0.0.0/8 127.0.0.0/8 ::1/128",
            "",
            "10.0.0.5 127.0.0.1",
            "::1",
        ),
        ("3.50 none match", "192.0.2.0/24 2001:db8::/32", "", "", ""),
    ];
    for (what, ranges, known, v4, v6) in rows {
        let mut placing = Placing::new(node_ports(ranges), None);
        placing.take_in(bound.clone());
        let facts = NodeFacts {
            known: &addresses(known),
            bind_address: None,
            bound: placing.bound.as_ref().expect("they were taken in"),
            node_ports: &placing.node_ports,
        };
        let node = facts.wanted(BTreeSet::new());
        let expected = ListenAddresses {
            v4: listen_at(v4),
            v6: listen_at(v6),
        };
        assert_eq!(placing.health_checks_at(&node), expected, "{what}");
    }
    let unknown = ListenAddresses {
        v4: ListenAt::All,
        v6: ListenAt::All,
    };
    assert_eq!(
        ListenAddresses::default(),
        unknown,
        "3.50 until the node's addresses are listed"
    );
}
