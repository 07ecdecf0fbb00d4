//! kproxy's own flags, which win over its document.

use std::path::PathBuf;

use clap::Args;

use crate::cli::{LogFormat, PlaceArgs};
use crate::config::own_document::KproxyConfiguration;
use crate::dataplane::{DeviceHooks, XdpMode};
use crate::model::LoadBalancing;
use crate::sizes::SizeArgs;

/// The flags.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "kproxy's own settings")]
pub struct OwnFlags {
    /// Read Services and their endpoint slices from the YAML and JSON files of this directory, and follow their changes.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kubeconfig", "master"])]
    pub manifests: Option<PathBuf>,

    /// Where things are kept.
    #[command(flatten)]
    pub places: PlaceArgs,

    /// Names or patterns (*, ?, [a-z]) of the devices that are host ends of pods' interfaces; no other device is
    /// one then [default: found by looking at the devices].
    #[arg(long, value_name = "PATTERN,...", value_delimiter = ',')]
    pub pod_devices: Vec<String>,

    /// Names or patterns of the devices that lead to other nodes and to clients outside; no other device is one then
    /// [default: every device with an address that is no pod's].
    #[arg(long, value_name = "PATTERN,...", value_delimiter = ',')]
    pub uplink_devices: Vec<String>,

    /// How programs are put on devices [default: tcx where the kernel has it, from Linux 6.6 on].
    #[arg(long, value_enum)]
    pub device_hooks: Option<DeviceHooks>,

    /// Where XDP decides on what comes in by uplinks and leaves the node again [default: auto, by the drivers of NICs that
    /// can].
    #[arg(long, value_enum)]
    pub xdp: Option<XdpMode>,

    /// How clients outside are balanced where the annotation kproxy.io/load-balancing of a Service does not say: by chance,
    /// or by Maglev hashing, which sends a client to the same backend through any node [default: random].
    #[arg(long, value_enum)]
    pub load_balancing: Option<LoadBalancing>,

    /// Where the API server gives NodePorts out, as its flag of this name says: clients that this node stands in for get
    /// other ports [default: 30000-32767].
    #[arg(long, value_name = "FIRST-LAST")]
    pub service_node_port_range: Option<String>,

    /// Directories with named network namespaces [default: /run/netns, /var/run/netns, /run/docker/netns].
    #[arg(long, value_name = "DIR,...", value_delimiter = ',')]
    pub netns_dirs: Option<Vec<PathBuf>>,

    /// Remove the iptables and nftables rules of a former kube-proxy at the start.
    #[arg(long)]
    pub remove_kube_proxy_rules: bool,

    /// How log lines look.
    #[arg(
        long,
        value_enum,
        help = "How log lines look [default: text]; $RUST_LOG chooses what is logged, -v does without it"
    )]
    pub log_format: Option<LogFormat>,

    /// How large the tables are.
    #[command(flatten)]
    pub sizes: SizeArgs,
}

impl OwnFlags {
    /// Puts them over what the document says.
    #[must_use]
    pub fn over(&self, document: KproxyConfiguration) -> KproxyConfiguration {
        let Self {
            manifests,
            places: PlaceArgs { pin_dir, cgroup },
            pod_devices,
            uplink_devices,
            device_hooks,
            xdp,
            load_balancing,
            service_node_port_range,
            netns_dirs,
            remove_kube_proxy_rules,
            log_format,
            sizes,
        } = self.clone();
        let devices = |flag: Vec<String>, document| if flag.is_empty() { document } else { flag };
        KproxyConfiguration {
            manifests: manifests.or(document.manifests),
            pin_dir: pin_dir.or(document.pin_dir),
            cgroup: cgroup.or(document.cgroup),
            pod_devices: devices(pod_devices, document.pod_devices),
            uplink_devices: devices(uplink_devices, document.uplink_devices),
            device_hooks: device_hooks.or(document.device_hooks),
            xdp: xdp.or(document.xdp),
            load_balancing: load_balancing.or(document.load_balancing),
            service_node_port_range: service_node_port_range.or(document.service_node_port_range),
            log_format: log_format.or(document.log_format),
            sizes: sizes.or(&document.sizes),
            netns_dirs: netns_dirs.or(document.netns_dirs),
            remove_kube_proxy_rules: remove_kube_proxy_rules || document.remove_kube_proxy_rules,
            api_version: document.api_version,
            kind: document.kind,
        }
    }
}
