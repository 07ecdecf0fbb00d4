//! Uplinks whose packets have no Ethernet headers: clients and backends behind a tunnel. Needs root and tun devices.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod stage;

use kproxy_tests::acceptance::world::FAMILIES;

use stage::{NARROW, Stage, TUNNEL, Walk};

#[test]
fn clients_and_backends_behind_a_tunnel_meet_3_09() {
    let stage = Stage::new("tunnel");
    for walk in Walk::ALL {
        for family in FAMILIES {
            stage.assert_answered(walk, family);
        }
    }
    assert_eq!(stage.counted("dropped"), 0, "{}", stage.counters());
}

#[test]
fn streams_find_their_way_through_a_tunnel_that_is_narrow_3_09() {
    let stage = Stage::new("narrow");
    for walk in Walk::ALL {
        for family in FAMILIES {
            stage.stream(walk, family);
        }
    }
    // Whoever sends into the tunnel past this node's stack has learned of it from the node's programs.
    let told = stage.counted("too_big");
    assert!(told >= 2, "one in each family: {}", stage.counters());
    for family in FAMILIES {
        stage.assert_knows(Walk::In, family, TUNNEL);
    }

    // A hop behind the tunnel tells what it can not pass on by errors that come in through it.
    let before = stage.counted("uplink_ingress icmp_error");
    stage.narrow();
    for walk in [Walk::Here, Walk::In, Walk::Through] {
        for family in FAMILIES {
            stage.stream(walk, family);
        }
    }
    let errors = stage.counted("uplink_ingress icmp_error") - before;
    assert!(
        errors >= 6,
        "{errors} of one for each stream: {}",
        stage.counters()
    );
    for family in FAMILIES {
        stage.assert_knows(Walk::In, family, NARROW);
    }
    assert_eq!(stage.counted("dropped"), 0, "{}", stage.counters());
}
