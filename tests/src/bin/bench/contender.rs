//! Who is compared.

use kproxy_tests::cluster::Via;

use crate::translator::Translator;

/// A way to the same pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contender {
    /// As it is called everywhere.
    pub(crate) name: &'static str,
    pub(crate) translator: Translator,
    pub(crate) via: Via,
}

pub(crate) const DIRECT: &str = "direct";
pub(crate) const SOCKET: &str = "kproxy socket";
pub(crate) const POD: &str = "kproxy pod door";
pub(crate) const TC: &str = "kproxy TC";
pub(crate) const XDP: &str = "kproxy XDP";
pub(crate) const IPTABLES: &str = "iptables";
pub(crate) const NFTABLES: &str = "nftables";
pub(crate) const KUBE_PROXY: &str = "kube-proxy";

/// kproxy where no door is asked.
pub(crate) const KPROXY: &str = "kproxy";
/// The program that others are compared with where programs are.
pub(crate) const EMPTY: &str = "empty program";

/// In the order of tables and colours.
pub(crate) const ORDER: [&str; 10] = [
    EMPTY, KPROXY, DIRECT, SOCKET, POD, TC, XDP, IPTABLES, NFTABLES, KUBE_PROXY,
];

const fn by(name: &'static str, translator: Translator, via: Via) -> Contender {
    Contender {
        name,
        translator,
        via,
    }
}

/// From a pod of the node to another by a `ClusterIP`.
pub(crate) const INSIDE: [Contender; 6] = [
    by(DIRECT, Translator::Nobody, Via::Packet),
    by(SOCKET, Translator::Kproxy, Via::Socket),
    by(POD, Translator::Kproxy, Via::Packet),
    by(IPTABLES, Translator::Iptables, Via::Packet),
    by(NFTABLES, Translator::Nftables, Via::Packet),
    by(KUBE_PROXY, Translator::KubeProxy, Via::Packet),
];

/// From a client outside to a pod elsewhere by the node's `NodePort`.
pub(crate) const OUTSIDE: [Contender; 6] = [
    by(DIRECT, Translator::Nobody, Via::Packet),
    by(TC, Translator::Kproxy, Via::Packet),
    by(XDP, Translator::KproxyXdp, Via::Packet),
    by(IPTABLES, Translator::Iptables, Via::Packet),
    by(NFTABLES, Translator::Nftables, Via::Packet),
    by(KUBE_PROXY, Translator::KubeProxy, Via::Packet),
];
