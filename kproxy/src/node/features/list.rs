//! Every feature of the kernel that kproxy needs or likes.

use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::BpfHelper;

use super::probe::{Probe, ROUTE_SOURCE};
use super::{Feature, Need};
use crate::dataplane::DeviceHooks;

const SOCKET_DOOR: ProgramType = ProgramType::CgroupSockAddr;
const DEVICE: ProgramType = ProgramType::SchedClassifier;
const NOTHING: &str = "kproxy does not run";
const TCX: &str = "TCX links";

/// The features, those that are needed first, each group by age.
pub const FEATURES: [Feature; 19] = [
    required(
        "LRU hash maps",
        "4.10",
        Some("CONFIG_BPF_SYSCALL"),
        Probe::Map(MapType::LruHash),
    ),
    required("LPM tries", "4.11", None, Probe::Map(MapType::LpmTrie)),
    required("cgroup v2, mounted", "4.5", None, Probe::Cgroup),
    required(
        "programs on connect and sendmsg",
        "4.18",
        Some("CONFIG_CGROUP_BPF"),
        Probe::Program(SOCKET_DOOR),
    ),
    required(
        "socket storage",
        "5.2",
        Some("CONFIG_NET"),
        Probe::Map(MapType::SkStorage),
    ),
    required(
        "socket storage in connect programs",
        "5.3",
        None,
        helper(SOCKET_DOOR, BpfHelper::BPF_FUNC_sk_storage_get),
    ),
    required("ring buffers", "5.8", None, Probe::Map(MapType::RingBuf)),
    required(
        "a coarse clock (bpf_ktime_get_coarse_ns)",
        "5.11",
        None,
        helper(DEVICE, BpfHelper::BPF_FUNC_ktime_get_coarse_ns),
    ),
    required(
        "cookies of network namespaces",
        "5.14",
        None,
        Probe::NamespaceCookie,
    ),
    required(
        "error codes from connect programs (bpf_set_retval)",
        "5.18",
        None,
        helper(SOCKET_DOOR, BpfHelper::BPF_FUNC_set_retval),
    ),
    Feature {
        name: TCX,
        since: Some("6.6"),
        option: Some("CONFIG_NET_XGRESS"),
        need: Need::Liked,
        without: "clsact filters are used instead",
        probe: Probe::DeviceHooks(DeviceHooks::Tcx),
    },
    Feature {
        name: "clsact filters",
        since: Some("4.5"),
        option: Some("CONFIG_NET_CLS_BPF"),
        need: Need::RequiredWithout(TCX),
        without: "only TCX links can be used",
        probe: Probe::DeviceHooks(DeviceHooks::Clsact),
    },
    liked(
        "types of the kernel (BTF)",
        "5.4",
        Some("CONFIG_DEBUG_INFO_BTF"),
        Probe::Types,
        UDP,
    ),
    liked(
        "BPF iterators over socket storage",
        "5.9",
        None,
        Probe::Type("bpf_iter__bpf_sk_storage_map"),
        UDP,
    ),
    liked(
        "a list of UDP sockets (sock_diag)",
        "3.3",
        Some("CONFIG_INET_UDP_DIAG"),
        Probe::UdpSockets,
        UDP,
    ),
    liked(
        "an end of sockets (SOCK_DESTROY)",
        "4.9",
        Some("CONFIG_INET_DIAG_DESTROY"),
        Probe::SocketEnd,
        UDP,
    ),
    liked(
        "source addresses from bpf_fib_lookup (BPF_FIB_LOOKUP_SRC)",
        "6.7",
        None,
        ROUTE_SOURCE,
        "where SNAT is needed, the source is the device's primary address",
    ),
    Feature {
        name: "IPv6",
        since: None,
        option: Some("CONFIG_IPV6, not switched off"),
        need: Need::Liked,
        without: "only services of IPv4 are served",
        probe: Probe::IpV6,
    },
    Feature {
        name: "forwarding",
        since: None,
        option: Some("net.ipv4.ip_forward, net.ipv6.conf.all.forwarding"),
        need: Need::Liked,
        without: "the node routes no packets of pods; its CNI plugin sets this",
        probe: Probe::Forwarding,
    },
];

/// What stops when connected UDP sockets can not be found or ended.
const UDP: &str = "connected UDP sockets are not told that their backend is gone";

const fn required(
    name: &'static str,
    since: &'static str,
    option: Option<&'static str>,
    probe: Probe,
) -> Feature {
    Feature {
        name,
        since: Some(since),
        option,
        need: Need::Required,
        without: NOTHING,
        probe,
    }
}

const fn liked(
    name: &'static str,
    since: &'static str,
    option: Option<&'static str>,
    probe: Probe,
    without: &'static str,
) -> Feature {
    Feature {
        name,
        since: Some(since),
        option,
        need: Need::Liked,
        without,
        probe,
    }
}

const fn helper(program: ProgramType, helper: BpfHelper) -> Probe {
    Probe::Helper(program, helper)
}
