//! Who may ask a load-balancer address: semantics section 3f as a table.

use super::*;
use crate::model::parse_address;

#[test]
fn source_ranges() {
    const NODE: &str = "10.0.0.250 fd01::250";
    // Title, ranges, addresses of the load balancer, of the node; ranges of each family.
    #[rustfmt::skip]
    let rows = [
        ("3.40 no ranges", "", "203.0.113.1", NODE, ["", ""]),
        ("3.40 ranges", "198.51.100.0/24 192.0.2.7/32", "203.0.113.1", NODE, ["192.0.2.7/32 198.51.100.0/24", ""]),
        ("3.40 ranges without a load balancer", "198.51.100.0/24", "", NODE, ["", ""]),
        ("1.17 each family its own", "198.51.100.0/24 2001:db8::/32", "203.0.113.1 2001:db8:1::1", NODE, ["198.51.100.0/24", "2001:db8::/32"]),
        ("1.26 ranges of the other family alone", "198.51.100.0/24", "2001:db8:1::1", NODE, ["", ""]),
        ("1.25 one holds every address", "198.51.100.0/24 0.0.0.0/0 2001:db8::/32", "203.0.113.1 2001:db8:1::1", NODE, ["", "2001:db8::/32"]),
        ("3.45 two halves are two ranges", "0.0.0.0/1 128.0.0.0/1", "203.0.113.1", "", ["0.0.0.0/1 128.0.0.0/1 203.0.113.1/32", ""]),
        ("3.43 the node is in no range", "198.51.100.0/24", "203.0.113.1", NODE, ["198.51.100.0/24", ""]),
        ("3.44 the node is in a range", "10.0.0.0/8", "203.0.113.1 203.0.113.2", NODE, ["10.0.0.0/8 203.0.113.1/32 203.0.113.2/32", ""]),
        ("3.44 in each family", "10.0.0.0/8 fd01::/64", "203.0.113.1 2001:db8:1::1", NODE, ["10.0.0.0/8 203.0.113.1/32", "2001:db8:1::1/128 fd01::/64"]),
        ("3.44 in one family", "10.0.0.0/8 fd02::/64", "203.0.113.1 2001:db8:1::1", NODE, ["10.0.0.0/8 203.0.113.1/32", "fd02::/64"]),
        ("3.44 an unknown node is loopback", "127.0.0.0/8 ::1/128", "203.0.113.1 2001:db8:1::1", "", ["127.0.0.0/8 203.0.113.1/32", "::1/128 2001:db8:1::1/128"]),
        ("3.44 a known one is not", "127.0.0.0/8 ::1/128", "203.0.113.1 2001:db8:1::1", NODE, ["127.0.0.0/8", "::1/128"]),
    ];
    for (row, ranges, addresses, node, expected) in rows {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let ingress: Vec<_> = words(addresses).iter().map(|ip| json!({ "ip": ip })).collect();
        let service = samples::service_object(json!({
            "spec": {
                "type": "LoadBalancer",
                "clusterIPs": ["10.96.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
                "ports": [{"port": 80, "nodePort": 30080}],
                "externalIPs": ["192.0.2.1", "2001:db8::1"],
                "loadBalancerSourceRanges": words(ranges),
            },
            "status": {"loadBalancer": {"ingress": ingress}},
        }));
        let primary = words(node)
            .iter()
            .map(|text| parse_address(text).unwrap())
            .map(|address| (address.family(), address))
            .collect();
        let place = Place { primary, ..place() };
        for (family, expected) in [Family::V4, Family::V6].into_iter().zip(expected) {
            let wanted = compile(&service, &service.ports[0], family, &[], &place);
            let got: Vec<_> = wanted.source_ranges.iter().map(ToString::to_string).collect();
            assert_eq!(got.join(" "), expected, "{row} {family}");
            for (key, frontend) in &wanted.frontends {
                let is_load_balancer = frontend.flags.contains(FrontendFlags::LOAD_BALANCER);
                assert_eq!(
                    frontend.restricted,
                    is_load_balancer && !expected.is_empty(),
                    "{row}: 3.40 {key:?}"
                );
            }
        }
    }
}

#[test]
fn an_external_address_that_is_a_load_balancers_is_restricted() {
    let service = samples::service_object(json!({
        "spec": {
            "type": "LoadBalancer",
            "externalIPs": ["203.0.113.1", "203.0.113.2"],
            "loadBalancerSourceRanges": ["198.51.100.0/24"],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}},
    }));
    let wanted = compile(&service, &service.ports[0], Family::V4, &[], &place());
    let restricted: Vec<_> = wanted
        .frontends
        .iter()
        .filter(|(_, frontend)| frontend.restricted)
        .map(|(key, _)| key.address.to_string())
        .collect();
    assert_eq!(restricted, ["203.0.113.1"], "3.48");
}

#[test]
fn endpoints_do_not_matter_to_ranges() {
    let service = samples::service_object(json!({
        "spec": {
            "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000,
            "loadBalancerSourceRanges": ["198.51.100.0/24"],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}},
    }));
    let drop = FrontendFlags::DROP_OUTSIDE;
    let rows: [(&str, &[&str], bool, &str); 2] = [
        ("3.46 no endpoints: who is allowed is rejected", &[], false, ""),
        (
            "3.47 none here: dropped outside, served inside",
            &["2 there ready serving"],
            true,
            "2",
        ),
    ];
    for (row, lines, dropped, inside) in rows {
        let wanted = compile(
            &service,
            &service.ports[0],
            Family::V4,
            &[slice("web-1", lines)],
            &place(),
        );
        let (_, frontend) = wanted
            .frontends
            .iter()
            .find(|(_, frontend)| frontend.flags.contains(FrontendFlags::LOAD_BALANCER))
            .unwrap();
        assert!(frontend.restricted && !wanted.source_ranges.is_empty(), "{row}");
        assert_eq!(frontend.flags.contains(drop), dropped, "{row}");
        assert_eq!(set(wanted.set(frontend.inside)), inside, "{row}");
        assert!(wanted.set(frontend.outside).is_empty(), "{row}");
    }
}
