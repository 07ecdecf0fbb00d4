//! What needs more privileges than running does (semantics 10.14).

use std::path::Path;

use anyhow::{Context, Result};

use crate::config::Config;
use crate::node::conntrack::{self, Done};

/// Sets the kernel's connection tracking as configured. No `route_localnet` is needed, as it is by kube-proxy: NodePorts
/// answer on loopback addresses by the socket door.
///
/// # Errors
///
/// When a setting that is there can not be changed.
pub fn set_up(config: &Config) -> Result<()> {
    let Done { changed, left } = conntrack::apply(Path::new("/"), &config.conntrack)
        .context("set the kernel's connection tracking as KubeProxyConfiguration.conntrack says")?;
    if !changed.is_empty() {
        tracing::info!("set {}", changed.join(", "));
    }
    if !left.is_empty() {
        tracing::info!("left as they are, kproxy does not need them: {}", left.join(", "));
    }
    Ok(())
}
