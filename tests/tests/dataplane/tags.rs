//! VLAN tags at a pod's door. The kernel takes a tag out of what comes in before it asks programs, and puts it beside the packet.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kproxy::dataplane::DeviceDoor;
use kproxy_common::{Counter, Door};
use kproxy_tests::cluster::tap;
use kproxy_tests::host::frame::{Frame, Tcp, Transport};

use super::place::{Place, services};
use super::pods::{index, ip};

/// Where the addresses of an Ethernet header end, and a tag begins (IEEE 802.1Q).
const TAG: usize = 12;
const BOUND: Duration = Duration::from_secs(30);

/// A client's SYN to the service, with a tag that names this VLAN.
fn frame(port: u16, vlan: Option<u8>) -> Vec<u8> {
    let (from, to): (SocketAddr, SocketAddr) = (([10, 1, 0, 9], port).into(), ([10, 96, 0, 1], 80).into());
    let mut bytes = Frame::new(from, to, Transport::Tcp(Tcp::Syn)).bytes().unwrap();
    if let Some(vlan) = vlan {
        bytes.splice(TAG..TAG, [0x81, 0x00, 0xe0, vlan]);
    }
    bytes
}

#[test]
fn what_has_a_vlan_is_nobodys_and_a_priority_is_none() {
    // This thread's own network namespace, which ends with the thread.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    let mut pod = tap("pod0").unwrap();
    ip("link set pod0 up");
    let place = Place::new();
    let (mut dataplane, mut applied) = place.open();
    dataplane.apply(&applied.replace(services(1, 1))).unwrap();
    dataplane.attach(DeviceDoor::Pod, index("pod0"), "pod0").unwrap();
    let count = |wanted| {
        let counters = dataplane.counters().unwrap().into_iter();
        let ours = counters.filter(|(door, counter, _)| (*door, *counter) == (Door::PodIngress, wanted));
        ours.map(|(.., count)| count).sum::<u64>()
    };

    // What was sent first has come in when the last has.
    for (port, vlan) in [(1, Some(5)), (2, Some(0)), (3, None)] {
        pod.write_all(&frame(port, vlan)).unwrap();
    }
    let deadline = Instant::now() + BOUND;
    while count(Counter::New) < 2 {
        assert!(Instant::now() < deadline, "two of three have no other VLAN");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(count(Counter::New), 2, "a VLAN's addresses are not the cluster's");
}
