//! kproxy's own document.

use std::path::{Path, PathBuf};

use kproxy_common::SparePorts;

use crate::cli::LogFormat;
use crate::config::Own;
use crate::config::document::{self, Logging};
use crate::config::own_document::{KIND, KproxyConfiguration};
use crate::config::problems::Problems;
use crate::config::{PortRange, PortRangeError};
use crate::devices::{PatternError, Rules};
use crate::paths::{DEFAULT_PIN_DIR, is_pin_dir};

/// Where `ip netns` and container runtimes keep names of network namespaces.
const NETNS_DIRS: [&str; 3] = ["/run/netns", "/var/run/netns", "/run/docker/netns"];

pub(super) fn own(own: KproxyConfiguration, logging: &Logging, problems: &mut Problems) -> Own {
    let KproxyConfiguration {
        api_version: _,
        kind: _,
        manifests,
        pin_dir,
        cgroup,
        pod_devices,
        uplink_devices,
        device_hooks,
        xdp,
        load_balancing,
        service_node_port_range,
        log_format,
        sizes,
        netns_dirs,
        remove_kube_proxy_rules,
    } = own;
    let pin_dir = pin_dir.unwrap_or_else(|| DEFAULT_PIN_DIR.into());
    if !is_pin_dir(&pin_dir) {
        problems.add(KIND, "pinDir", not_absolute(&pin_dir));
    }
    for (field, error) in sizes.out_of_range() {
        problems.add(KIND, format!("sizes.{field}"), error);
    }
    let netns_dirs = netns_dirs.unwrap_or_else(|| NETNS_DIRS.map(PathBuf::from).into());
    for (index, directory) in netns_dirs.iter().enumerate() {
        if !directory.is_absolute() {
            problems.add(KIND, format!("netnsDirs[{index}]"), not_absolute(directory));
        }
    }
    Own {
        manifests,
        pin_dir,
        cgroup,
        devices: devices(&pod_devices, &uplink_devices, problems),
        device_hooks,
        xdp: xdp.unwrap_or_default(),
        load_balancing: load_balancing.unwrap_or_default(),
        node_port_range: node_port_range(service_node_port_range.as_deref(), problems),
        log_format: self::log_format(log_format, logging, problems),
        sizes,
        netns_dirs,
        remove_kube_proxy_rules,
    }
}

fn devices(pods: &[String], uplinks: &[String], problems: &mut Problems) -> Rules {
    Rules::parse(pods, uplinks).unwrap_or_else(|error| {
        let field = match &error {
            PatternError::Unusable { option, .. } if *option == "--uplink-devices" => "uplinkDevices",
            PatternError::Unusable { .. } | PatternError::Both(_) => "podDevices",
        };
        problems.add(KIND, field, error);
        Rules::default()
    })
}

/// Some port must be left for clients that the node stands in for.
fn node_port_range(asked: Option<&str>, problems: &mut Problems) -> PortRange {
    let Some(text) = asked.filter(|text| !text.is_empty()) else {
        return PortRange::NODE_PORTS;
    };
    let message = match text.parse() {
        Ok(range) if !SparePorts::without(PortRange::ports(range), 0..=0).is_empty() => return range,
        Ok(range) => format!("{range} leaves no port that clients could have; use fewer"),
        Err(error) => PortRangeError::to_string(&error),
    };
    problems.add(KIND, "serviceNodePortRange", message);
    PortRange::NODE_PORTS
}

/// What kproxy is told goes before what kube-proxy is told.
fn log_format(own: Option<LogFormat>, logging: &Logging, problems: &mut Problems) -> LogFormat {
    let asked = match logging.format.as_str() {
        "" | "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        other => {
            let message = format!("{other:?} is no log format; use text or json");
            problems.add(document::KIND, "logging.format", message);
            LogFormat::Text
        }
    };
    own.unwrap_or(asked)
}

fn not_absolute(path: &Path) -> String {
    format!(
        "{} is no directory's whole path; write it like /sys/fs/bpf/kproxy",
        path.display()
    )
}
