//! `KproxyConfiguration`: what only kproxy has to be told, in the same file as kube-proxy's document.
//!
//! Every field has a flag, which wins.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cli::LogFormat;
use crate::dataplane::{DeviceHooks, XdpMode};
use crate::model::LoadBalancing;
use crate::sizes::SizeArgs;

/// The `apiVersion` of the document.
pub const API_VERSION: &str = "kproxy.config.k8s.io/v1alpha1";
/// The `kind` of the document.
pub const KIND: &str = "KproxyConfiguration";

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KproxyConfiguration {
    /// [`API_VERSION`].
    pub api_version: String,
    /// [`KIND`].
    pub kind: String,
    /// A directory of manifests to read instead of asking an API server.
    pub manifests: Option<PathBuf>,
    /// Directory in a BPF file system that holds maps and links.
    pub pin_dir: Option<PathBuf>,
    /// The cgroup whose processes reach Services by their sockets.
    pub cgroup: Option<PathBuf>,
    /// Devices that are host ends of pods' interfaces.
    pub pod_devices: Vec<String>,
    /// Devices that lead to other nodes and to clients outside.
    pub uplink_devices: Vec<String>,
    /// How programs are put on devices.
    pub device_hooks: Option<DeviceHooks>,
    /// Where XDP decides on what comes in by uplinks.
    pub xdp: Option<XdpMode>,
    /// How clients outside are balanced, where a Service does not say.
    pub load_balancing: Option<LoadBalancing>,
    /// Where the API server gives NodePorts out.
    pub service_node_port_range: Option<String>,
    /// How log lines look.
    pub log_format: Option<LogFormat>,
    /// How large the tables are.
    pub sizes: SizeArgs,
    /// Directories with named network namespaces.
    pub netns_dirs: Option<Vec<PathBuf>>,
    /// Whether a normal start removes the rules of a former kube-proxy.
    pub remove_kube_proxy_rules: bool,
}
