//! The end of connected UDP sockets whose backend is gone, with the kernel's own `sock_diag`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;

use aya::maps::{Map, MapData, SkStorage};
use bytemuck::Zeroable as _;
use kproxy::dataplane::{Dataplane, StalePeers};
use kproxy::plan::{Applied, BackendSet, Endpoint, ServicePortName, WantedFrontend, WantedService};
use kproxy::sockets::{Sources, sweep};
use kproxy_common::{
    Address, BackendFlags, BackendIndex, Family, FrontendFlags, FrontendKey, Port, Protocol, SocketPeer, maps,
};
use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::LinkUnspec;
use socket2::{Domain, Socket, Type};

use crate::place::Place;

const GONE: u16 = 7001;
const SERVING: u16 = 7002;

/// A data plane with one UDP service on loopback addresses. Nobody listens there: sockets connect, and send nothing.
struct Stage {
    // First: an open data plane holds the pin directory.
    dataplane: Dataplane,
    applied: Applied,
    lost: StalePeers,
    peers: SkStorage<MapData, [u64; size_of::<SocketPeer>() / 8]>,
    _place: Place,
}

impl Stage {
    fn new() -> Self {
        let place = Place::new();
        let (mut dataplane, applied) = place.open();
        let lost = dataplane.stale_peers().unwrap();
        let peers = Map::SkStorage(MapData::from_pin(place.map(maps::SOCKET_PEERS)).unwrap());
        let mut stage = Self {
            dataplane,
            applied,
            lost,
            peers: peers.try_into().unwrap(),
            _place: place,
        };
        stage.serve(&[GONE, SERVING]);
        stage
    }

    /// The service has these ports of both loopback addresses as its endpoints.
    fn serve(&mut self, ports: &[u16]) {
        self.serve_chosen(ports, ports);
    }

    /// The same, but new connections go to some of them only.
    fn serve_chosen(&mut self, ports: &[u16], chosen: &[u16]) {
        let endpoints = |ports: &[u16]| -> Vec<_> {
            let both = |port: &u16| [endpoint("127.0.0.1", *port), endpoint("::1", *port)];
            ports.iter().flat_map(both).collect()
        };
        let name = ServicePortName {
            namespace: "test".into(),
            name: "dns".into(),
            port: "".into(),
            protocol: Protocol::UDP,
            family: Family::V4,
        };
        let frontend = WantedFrontend {
            flags: FrontendFlags::CLUSTER_IP,
            affinity_seconds: 0,
            inside: BackendSet::Cluster,
            outside: BackendSet::Cluster,
            restricted: false,
        };
        let service = endpoint("10.96.0.10", 53);
        let key = FrontendKey::new(service.address, service.port, Protocol::UDP);
        let wanted = WantedService {
            frontends: [(key, frontend)].into(),
            endpoints: endpoints(ports)
                .into_iter()
                .map(|endpoint| (endpoint, BackendFlags::empty()))
                .collect(),
            cluster: endpoints(chosen),
            local: Vec::new(),
            source_ranges: BTreeSet::new(),
            left_alone: None,
        };
        self.apply([(name, wanted)].into());
    }

    fn delete(&mut self) {
        self.apply(BTreeMap::new());
    }

    fn apply(&mut self, wanted: BTreeMap<ServicePortName, WantedService>) {
        let plan = self.applied.replace(wanted);
        self.dataplane.apply(&plan).unwrap();
    }

    /// What the socket door remembers of a socket that was given this endpoint just now.
    fn peer(&self, Endpoint { address, port }: Endpoint) -> SocketPeer {
        let backends = self.dataplane.contents().unwrap().backends;
        let is_it = |(_, backend): &(u32, _)| {
            let backend: &kproxy_common::Backend = backend;
            backend.flags.contains(BackendFlags::ALIVE) && (backend.address, backend.port) == (address, port)
        };
        let (index, backend) = (0..).zip(backends).find(is_it).unwrap();
        SocketPeer {
            backend_address: address,
            backend_port: port,
            backend: BackendIndex(index),
            generation: backend.generation,
            service: backend.service,
            ..SocketPeer::zeroed()
        }
    }

    fn record(&mut self, socket: &impl AsRawFd, peer: SocketPeer) {
        let value: [u64; size_of::<SocketPeer>() / 8] = bytemuck::cast(peer);
        self.peers.insert(socket, value, 0).unwrap();
    }

    /// A socket that is connected to a backend as if it had asked for the service.
    fn through_service(&mut self, to: &str) -> UdpSocket {
        let socket = connect(to);
        let peer = self.peer(seen(to.parse().unwrap()));
        self.record(&socket, peer);
        socket
    }

    /// Sweeps this namespace only; answers how many sockets were ended.
    fn sweep(&self) -> usize {
        self.sweep_with(&Sources {
            directories: Vec::new(),
            processes: "/nowhere".into(),
        })
    }

    fn sweep_with(&self, sources: &Sources) -> usize {
        let report = sweep(sources, &self.lost, &BTreeSet::new());
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        report.destroyed
    }
}

/// Not by the tool `ip`: a child has the descriptors of this process until its program starts, and with them the locks of
/// pin directories.
fn loopback_up() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let up = LinkUnspec::new_with_index(1).up().build();
        handle.link().set(up).execute().await.unwrap();
    });
}

fn endpoint(address: &str, port: u16) -> Endpoint {
    seen(SocketAddr::new(address.parse().unwrap(), port))
}

fn seen(to: SocketAddr) -> Endpoint {
    Endpoint {
        address: Address::from(to.ip()),
        port: Port::new(to.port()),
    }
}

/// Of the address's own family: an IPv6 socket for an IPv4-mapped one.
fn connect(to: &str) -> UdpSocket {
    let to: SocketAddr = to.parse().unwrap();
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(to).unwrap();
    socket
}

/// Whether the kernel has told the socket that it was ended, and disconnected it.
fn is_ended(socket: &UdpSocket) -> bool {
    match socket.take_error().unwrap() {
        None => {
            socket.peer_addr().unwrap();
            false
        }
        Some(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
            assert_eq!(socket.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
            true
        }
    }
}

/// 7.02, 7.03, 7.05: sockets of a retired backend end, in both families, and nobody else's.
#[test]
fn stale_sockets_end_and_no_others() {
    let mut stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listens = listener.local_addr().unwrap();
    stage.serve(&[GONE, SERVING, listens.port()]);
    let gone =
        ["127.0.0.1:7001", "[::1]:7001", "[::ffff:127.0.0.1]:7001"].map(|to| stage.through_service(to));
    let serving =
        ["127.0.0.1:7002", "[::1]:7002", "[::ffff:127.0.0.1]:7002"].map(|to| stage.through_service(to));
    let direct = ["127.0.0.1:7001", "[::1]:7001"].map(connect);
    let moved_on = connect("127.0.0.1:7001");
    let before = SocketPeer {
        backend_port: Port::new(0),
        ..stage.peer(endpoint("127.0.0.1", GONE))
    };
    stage.record(&moved_on, before);
    let tcp = TcpStream::connect(listens).unwrap();
    let tcp_peer = stage.peer(seen(listens));
    stage.record(&tcp, tcp_peer);
    assert_eq!(stage.sweep(), 0, "every backend serves");

    stage.serve(&[SERVING]);
    let found = stage.lost.read().unwrap();
    assert_eq!(found.len(), gone.len(), "neither TCP nor who moved on: {found:?}");
    assert_eq!(stage.sweep(), gone.len());

    assert!(gone.iter().all(is_ended));
    for socket in serving.iter().chain(&direct).chain([&moved_on]) {
        assert!(!is_ended(socket), "{socket:?}");
    }
    assert!(tcp.take_error().unwrap().is_none());
    tcp.peer_addr().unwrap();
    assert_eq!(stage.sweep(), 0, "nothing is left to end");
}

/// What becomes of a socket that was given port 7001 when its service changes.
#[test]
fn a_socket_ends_exactly_when_its_endpoint_serves_no_more() {
    type Change = fn(&mut Stage);
    let rows: [(&str, Change, bool); 8] = [
        (
            "7.03 another endpoint took its place",
            |stage| stage.serve(&[SERVING]),
            true,
        ),
        (
            "7.05 the endpoint serves and is not chosen",
            |stage| stage.serve_chosen(&[GONE, SERVING], &[SERVING]),
            false,
        ),
        (
            "7.05 the last endpoint serves and is not chosen",
            |stage| stage.serve_chosen(&[GONE], &[]),
            false,
        ),
        ("7.06 no endpoint is left", |stage| stage.serve(&[]), true),
        (
            "7.08 the target port has changed",
            |stage| stage.serve(&[GONE + 10]),
            true,
        ),
        ("7.09 the service is deleted", Stage::delete, true),
        (
            "the endpoint went and came back",
            |stage| {
                stage.serve(&[SERVING]);
                stage.serve(&[GONE, SERVING]);
            },
            true,
        ),
        (
            "an endpoint came",
            |stage| stage.serve(&[GONE, SERVING, GONE + 10]),
            false,
        ),
    ];
    let mut stage = Stage::new();
    for (row, change, ends) in rows {
        stage.delete();
        stage.serve(&[GONE, SERVING]);
        let socket = stage.through_service("127.0.0.1:7001");
        change(&mut stage);
        assert_eq!(stage.sweep(), usize::from(ends), "{row}");
        assert_eq!(is_ended(&socket), ends, "{row}");
    }
}

/// An ended socket can be connected again, and is then judged anew.
#[test]
fn an_ended_socket_starts_over() {
    let mut stage = Stage::new();
    let socket = stage.through_service("127.0.0.1:7001");
    stage.serve(&[SERVING]);
    assert_eq!(stage.sweep(), 1);
    assert!(is_ended(&socket));

    socket.connect("127.0.0.1:7002").unwrap();
    let peer = stage.peer(endpoint("127.0.0.1", SERVING));
    stage.record(&socket, peer);
    assert_eq!(stage.sweep(), 0);
    assert!(!is_ended(&socket));

    stage.serve(&[]);
    assert_eq!(stage.sweep(), 1);
    assert!(is_ended(&socket));
}

/// The kernel looks a socket up by its addresses, and finds one of two that share them.
#[test]
fn sockets_that_share_their_addresses_all_end() {
    let mut stage = Stage::new();
    let sockets: [UdpSocket; 2] = std::array::from_fn(|_| {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        let [own, to]: [SocketAddr; 2] =
            ["127.0.0.1:7100", "127.0.0.1:7001"].map(|address| address.parse().unwrap());
        socket.bind(&own.into()).unwrap();
        socket.connect(&to.into()).unwrap();
        socket.into()
    });
    for socket in &sockets {
        let peer = stage.peer(endpoint("127.0.0.1", GONE));
        stage.record(socket, peer);
    }
    stage.serve(&[SERVING]);
    let ended: usize = std::iter::repeat_with(|| stage.sweep())
        .take_while(|ended| *ended > 0)
        .sum();
    assert_eq!(ended, 2);
    assert!(sockets.iter().all(is_ended));
}

/// A socket in another namespace, which a file in a directory names.
#[test]
fn other_namespaces_are_visited() {
    let mut stage = Stage::new();
    let home = File::open("/proc/thread-self/ns/net").unwrap();
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    loopback_up();
    let elsewhere = stage.through_service("127.0.0.1:7001");
    let folder = tempfile::tempdir().unwrap();
    let there = File::open("/proc/thread-self/ns/net").unwrap();
    let name = format!("/proc/{}/fd/{}", std::process::id(), there.as_raw_fd());
    symlink(name, folder.path().join("pod")).unwrap();
    setns(home, CloneFlags::CLONE_NEWNET).unwrap();
    stage.serve(&[SERVING]);

    assert_eq!(stage.sweep(), 0, "it is not here");
    let sources = Sources {
        directories: vec![folder.path().to_owned()],
        processes: "/nowhere".into(),
    };
    assert_eq!(stage.sweep_with(&sources), 1);
    assert!(is_ended(&elsewhere));
}

/// Two data planes on one machine: each ends what went through its own services.
#[test]
fn the_sockets_of_another_data_plane_are_left_alone() {
    let mut stage = Stage::new();
    let socket = stage.through_service("127.0.0.1:7001");
    let mut other = Stage::new();
    let its = other.through_service("127.0.0.1:7001");
    other.serve(&[SERVING]);

    let everywhere = Sources::default();
    assert_eq!(other.sweep_with(&everywhere), 1);
    assert!(is_ended(&its));
    assert!(!is_ended(&socket));
}
