//! What ICMP does for clients of services, with real sockets, routers and agents: path MTU discovery, traceroute, ping.
//! Semantics 3.09. Needs root.

mod messages;
mod stage;
mod stream;

use anyhow::Context as _;
use kproxy_tests::acceptance::state::{PORT, WEB};
use kproxy_tests::acceptance::world::{self, FAMILIES};

use messages::{Echo, Probe};
use stage::{Hop, NODE_PORT, Stage, Walk};

fn streams_find_their_way(name: &str, walk: Walk) -> anyhow::Result<()> {
    for hop in [Hop::Client, Hop::Backend] {
        // A cluster for each: hosts remember for ten minutes how long packets to somebody may be.
        let stage = Stage::new(&format!("{name}{}", hop.name()), walk)?;
        stage.narrow(hop)?;
        for family in FAMILIES {
            stream::exchange(&stage, hop, family)?;
        }
    }
    Ok(())
}

#[test]
fn a_stream_of_a_pod_finds_its_way_through_a_narrow_hop() -> anyhow::Result<()> {
    streams_find_their_way("mtupod", Walk::Pod)
}

#[test]
fn a_stream_from_outside_to_a_pod_here_finds_its_way_through_a_narrow_hop() -> anyhow::Result<()> {
    streams_find_their_way("mtuhere", Walk::Here)
}

#[test]
fn a_stream_from_outside_to_a_pod_elsewhere_finds_its_way_through_a_narrow_hop() -> anyhow::Result<()> {
    streams_find_their_way("mtuelse", Walk::Elsewhere)
}

#[test]
fn a_trace_through_a_node_port_shows_the_node_and_the_service_behind_it() -> anyhow::Result<()> {
    let stage = Stage::new("trace", Walk::Elsewhere)?;
    for family in FAMILIES {
        let service = world::HOST.address(family);
        let probe = |hops| messages::probe(&stage.client(), (service, NODE_PORT).into(), hops);
        let seen = |is_exceeded| Probe {
            from: service,
            is_exceeded,
            about: (service, NODE_PORT).into(),
        };
        // The node, which is the service as well; the router behind it; and the pod, where nobody listens.
        assert_eq!(probe(1)?, seen(true), "{family}");
        assert_eq!(probe(2)?, seen(true), "{family}");
        assert_eq!(probe(3)?, seen(false), "{family}");
    }
    Ok(())
}

#[test]
fn a_cluster_ip_answers_a_ping_of_a_pod_and_from_outside() -> anyhow::Result<()> {
    for (name, walk) in [("pingpod", Walk::Pod), ("pingout", Walk::Elsewhere)] {
        let stage = Stage::new(name, walk)?;
        stage.lead_to_cluster_ips()?;
        for family in FAMILIES {
            let service = world::service(WEB, PORT, family).ip();
            for length in [0, 56, 1400] {
                let echo = messages::ping(&stage.client(), service, length)
                    .with_context(|| format!("{walk:?} {family}, {length} bytes"))?;
                assert_eq!(
                    echo,
                    Echo {
                        from: service,
                        length
                    }
                );
            }
        }
    }
    Ok(())
}
