//! Real datagrams between network namespaces (semantics 3.09).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kproxy::dataplane::Meter;
use kproxy::serve::Gauges as _;
use kproxy_common::Counter;
use kproxy_tests::acceptance::state::{PORT, Service, State, WEB, web};
use kproxy_tests::acceptance::world::{self, CLIENT, FAMILIES, NODE, OUTSIDE, service};
use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Cni, Host, Node};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use socket2::{Domain, Protocol, Type};
use tempfile::TempDir;

use super::datagram::{ETHERNET, payload, udp};

/// Fits a packet, does not, and the longest that UDP over IPv4 carries.
const LENGTHS: [usize; 4] = [1_472, 1_473, 9_000, 65_507];
const NODE_PORT: u16 = 30_080;
/// Against hanging.
const BOUND: Duration = Duration::from_secs(30);
/// How long an answer is waited for before the question is asked again.
const PATIENCE: Duration = Duration::from_millis(200);
/// A source port that no kernel chooses by itself.
const SOURCE_PORT: u16 = 25_800;

/// A cluster whose node [`NODE`] has an agent that serves this.
struct Stage {
    _agent: Agent,
    _manifests: TempDir,
    // Last: removes everything.
    cluster: Cluster,
}

impl Stage {
    fn new(name: &str, cni: Cni, service: Service) -> Self {
        let cluster = world::builder(name, cni).build().unwrap();
        let manifests = tempfile::tempdir().unwrap();
        let state = State::of([service]).manifests();
        fs::write(manifests.path().join("services.yaml"), state).unwrap();
        let options = AgentOptions::manifests(manifests.path());
        let agent = cluster.node(NODE).start_agent(&options).unwrap();
        Self {
            _agent: agent,
            _manifests: manifests,
            cluster,
        }
    }
}

/// A socket of this process, which no socket door sees.
fn bind(host: &Host, is_v4: bool, port: u16) -> UdpSocket {
    let any: IpAddr = if is_v4 {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let bind = || UdpSocket::bind((any, port));
    let socket = host.namespace().run(bind).unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends back what comes, while something is done.
fn echoing(host: &Host, done: impl FnOnce()) {
    let stopped = AtomicBool::new(false);
    // It takes IPv4 as well.
    let socket = bind(host, false, 8080);
    let serve = |socket: UdpSocket| {
        let mut buffer = vec![0; 65_536];
        while !stopped.load(Ordering::Relaxed) {
            if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                // A client that gave up asks again.
                let _ = socket.send_to(&buffer[..length], peer);
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| serve(socket));
        let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(done));
        stopped.store(true, Ordering::Relaxed);
        if let Err(panic) = finished {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Asks until the same comes back from where it was sent to.
fn expect_echo(socket: &UdpSocket, to: SocketAddr, data: &[u8], mut send: impl FnMut()) {
    let deadline = Instant::now() + BOUND;
    let mut buffer = vec![0; 65_536];
    loop {
        send();
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) if from == to && &buffer[..length] == data => return,
            // The answer to a question before.
            Ok((length, from)) => assert!(from == to && length != data.len(), "{length} bytes from {from}"),
            Err(error) => assert!(Instant::now() < deadline, "{} bytes to {to}: {error}", data.len()),
        }
    }
}

/// A socket that sends packets as they are.
fn raw(host: &Host, to: IpAddr) -> socket2::Socket {
    let domain = Domain::for_address((to, 0).into());
    let open = || socket2::Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)));
    host.namespace().run(open).unwrap().unwrap()
}

/// Sends packets from the network header on.
fn send_raw(socket: &socket2::Socket, to: IpAddr, packets: &[Vec<u8>]) {
    for packet in packets {
        let to = SocketAddr::from((to, 0));
        socket.send_to(&packet[ETHERNET..], &to.into()).unwrap();
    }
}

/// Sends the last fragments first, and the first one by another CPU, a little later: the queue of one CPU alone would have
/// to be empty before the next fragment comes.
fn send_reversed(socket: &socket2::Socket, to: IpAddr, fragments: &[Vec<u8>]) {
    let (first, later) = fragments.split_at(1);
    let later: Vec<_> = later.iter().rev().cloned().collect();
    let begun = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(0);
            while !begun.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            let soon = Instant::now() + Duration::from_micros(100);
            while Instant::now() < soon {
                std::hint::spin_loop();
            }
            send_raw(socket, to, first);
        });
        scope.spawn(|| {
            pin(1);
            begun.store(true, Ordering::Relaxed);
            send_raw(socket, to, &later);
        });
    });
}

/// Keeps this thread on a CPU, if there are so many.
fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).unwrap();
    // With one CPU only, threads take turns on it.
    let _ = sched_setaffinity(Pid::from_raw(0), &set);
}

/// Datagrams of every length, as a kernel cuts them.
fn talk(client: &Host, server: &Host, to: SocketAddr) {
    let socket = bind(client, to.is_ipv4(), SOURCE_PORT);
    echoing(server, || {
        for length in LENGTHS {
            let data = payload(length);
            expect_echo(&socket, to, &data, || {
                socket.send_to(&data, to).unwrap();
            });
        }
    });
}

/// The same in reverse order.
fn talk_reversed(client: &Host, server: &Host, to: SocketAddr) {
    let [v4, v6] = client.addresses().both();
    let own = if to.is_ipv4() { v4 } else { v6 };
    let (socket, sender) = (bind(client, to.is_ipv4(), SOURCE_PORT), raw(client, to.ip()));
    let mut id = 0;
    echoing(server, || {
        for length in LENGTHS {
            expect_echo(&socket, to, &payload(length), || {
                // What is known of the fragments before does not help the next ones.
                id += 1;
                send_reversed(&sender, to.ip(), &udp((own, SOURCE_PORT).into(), to, length, id));
            });
        }
    });
}

fn counted(node: &Node, counter: Counter) -> u64 {
    let outcomes = Meter::open(node.pin_dir()).unwrap().outcomes().unwrap();
    let of_it = outcomes.iter().filter(|(_, outcome, _)| *outcome == counter);
    of_it.map(|(.., times)| times).sum()
}

/// Datagrams between a client and a service's only pod, in order and not.
fn they_talk(stage: &Stage, client: &Host, pod: &str, to: [SocketAddr; 2]) {
    let (server, node) = (stage.cluster.pod(pod), stage.cluster.node(NODE));
    for to in to {
        talk(client, server, to);
    }
    assert_eq!(counted(node, Counter::FragmentRequeued), 0, "nothing came early");
    assert_eq!(counted(node, Counter::DroppedFragment), 0);
    for to in to {
        talk_reversed(client, server, to);
    }
    assert!(
        counted(node, Counter::FragmentRequeued) > 0,
        "what came early came again"
    );
}

fn pods_talk(name: &str, cni: Cni) {
    let stage = Stage::new(name, cni, web(&["web-1"]));
    let to = FAMILIES.map(|family| service(WEB, PORT, family));
    they_talk(&stage, stage.cluster.pod(CLIENT), "web-1", to);
}

fn outside_talks(name: &str, cni: Cni, pod: &'static str) {
    let stage = Stage::new(name, cni, web(&[pod]).node_port(NODE_PORT));
    let to = stage.cluster.node(NODE).host().sockets(NODE_PORT);
    they_talk(&stage, stage.cluster.client(OUTSIDE.name), pod, to);
}

#[test]
fn datagrams_from_outside_arrive_on_the_node_in_fragments() {
    outside_talks("fraghere", Cni::RoutedVeth, "web-1");
}

#[test]
fn datagrams_from_outside_arrive_elsewhere_in_fragments() {
    outside_talks("fragthere", Cni::RoutedVeth, "web-2");
}

#[test]
fn datagrams_of_a_routed_pod_arrive_in_fragments() {
    pods_talk("fragrouted", Cni::RoutedVeth);
}

#[test]
fn datagrams_of_a_bridged_pod_arrive_in_fragments() {
    pods_talk("fragbridged", Cni::Bridge);
}

#[test]
fn orphans_do_not_go_round_for_ever() {
    let stage = Stage::new("fragflood", Cni::RoutedVeth, web(&["web-1"]));
    let (client, node) = (stage.cluster.pod(CLIENT), stage.cluster.node(NODE));
    let mut sent = 0;
    for (own, family) in client.addresses().both().into_iter().zip(FAMILIES) {
        let to = service(WEB, PORT, family);
        let orphan = |id| udp((own, SOURCE_PORT).into(), to, 2_000, id).remove(1);
        let orphans: Vec<_> = (1..=500).map(orphan).collect();
        sent += orphans.len() as u64;
        send_raw(&raw(client, to.ip()), to.ip(), &orphans);
    }
    let deadline = Instant::now() + BOUND;
    while counted(node, Counter::DroppedFragment) < sent {
        assert!(Instant::now() < deadline, "some of {sent} fragments go round");
        thread::sleep(Duration::from_millis(1));
    }
    let requeued = counted(node, Counter::FragmentRequeued);
    assert!(requeued > 0);
    thread::sleep(PATIENCE);
    assert_eq!(
        counted(node, Counter::FragmentRequeued),
        requeued,
        "nothing goes round any more"
    );
    assert_eq!(counted(node, Counter::DroppedFragment), sent);
}
