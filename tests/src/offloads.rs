//! What devices do instead of the kernel: checksums, cutting into segments and joining them.

use std::fs;
use std::process::Command;

use crate::cluster::{Cluster, Host, Namespace};
use anyhow::{Context as _, ensure};

/// Who does it in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offloads {
    /// Packets are up to 64 KiB long, and nobody computes their checksums: veth leaves that to the last device.
    On,
    /// The same, and the nodes' devices can neither: the nodes' kernels compute and cut what has been translated.
    NotOnNodes,
    /// Every packet fits its cable, has its checksum, and whoever receives it looks whether it is right.
    Off,
}

/// In the order in which one needs the other.
const FEATURES: [&str; 6] = ["rx", "tx", "sg", "tso", "gso", "gro"];

/// Switches every device of the cluster.
///
/// # Errors
/// When `ethtool` is missing or a device refuses.
pub fn set(cluster: &Cluster, offloads: Offloads) -> anyhow::Result<()> {
    let (on_nodes, elsewhere) = match offloads {
        Offloads::On => ("on", "on"),
        Offloads::NotOnNodes => ("off", "on"),
        Offloads::Off => ("off", "off"),
    };
    let nodes = cluster.nodes().iter().map(|node| node.host().namespace());
    let pods = cluster.pods().iter().map(Host::namespace);
    let outside = cluster.clients().iter().map(Host::namespace);
    let outside = outside.chain([cluster.switch()]);
    let nodes = nodes.map(|namespace| (namespace, on_nodes));
    let others = pods.chain(outside).map(|namespace| (namespace, elsewhere));
    nodes.chain(others).try_for_each(|(namespace, word)| {
        set_in(namespace, word).with_context(|| format!("in {}", namespace.name()))
    })
}

fn set_in(namespace: &Namespace, word: &str) -> anyhow::Result<()> {
    namespace.run(|| {
        let devices = devices()?;
        devices
            .iter()
            .try_for_each(|name| set_features(name, &FEATURES, word))
    })?
}

/// Names of the devices in this thread's network namespace, but for loopback.
///
/// # Errors
/// When they can not be listed.
pub fn devices() -> anyhow::Result<Vec<String>> {
    // `/proc/net` is the namespace of the process, not of its thread.
    let devices = fs::read_to_string("/proc/thread-self/net/dev").context("cannot list devices")?;
    let names = devices.lines().filter_map(|line| line.split_once(':'));
    let names = names.map(|(name, _)| name.trim()).filter(|name| *name != "lo");
    Ok(names.map(str::to_owned).collect())
}

/// Switches features of a device in this thread's network namespace `on` or `off`.
///
/// # Errors
/// When `ethtool` is missing or the device refuses.
pub fn set_features(name: &str, features: &[&str], word: &str) -> anyhow::Result<()> {
    let changes = features.iter().flat_map(|feature| [*feature, word]);
    let output = Command::new("ethtool")
        .args(["-K", name])
        .args(changes)
        .output()
        .context("cannot run `ethtool`; install it: apt-get install ethtool")?;
    ensure!(
        output.status.success(),
        "ethtool -K {name}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
