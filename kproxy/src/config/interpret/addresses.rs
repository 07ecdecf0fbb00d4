//! Addresses of the node and of its servers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::document::{KIND, KubeProxyConfiguration};
use crate::config::problems::Problems;
use crate::model::parse_address;

pub(super) fn bind_address(document: &KubeProxyConfiguration, problems: &mut Problems) -> Option<IpAddr> {
    let text = &document.bind_address;
    let Some(address) = parse_address(text) else {
        problems.add(KIND, "bindAddress", not_an_address(text));
        return None;
    };
    Some(address.ip()).filter(|address| !address.is_unspecified())
}

pub(super) fn healthz(document: &KubeProxyConfiguration, problems: &mut Problems) -> Option<SocketAddr> {
    let text = &document.healthz_bind_address;
    if text.is_empty() {
        return None;
    }
    let address = socket_address(text);
    address
        .map_err(|message| problems.add(KIND, "healthzBindAddress", message))
        .ok()
}

pub(super) fn metrics(document: &KubeProxyConfiguration, problems: &mut Problems) -> SocketAddr {
    socket_address(&document.metrics_bind_address).unwrap_or_else(|message| {
        problems.add(KIND, "metricsBindAddress", message);
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    })
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("{text:?} is no address with a port; write it like 0.0.0.0:10256 or [::]:10256");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    // Without brackets, what is behind the last colon of an IPv6 address is no port.
    let host = match bare {
        Some(host) => host,
        None if host.contains(':') => return Err(wrong()),
        None => host,
    };
    let address = parse_address(host).ok_or_else(|| not_an_address(host))?;
    let port = port.parse().ok().filter(|port| *port > 0);
    let port: u16 = port.ok_or_else(|| format!("{text:?} has no port from 1 to 65535"))?;
    Ok((address.ip(), port).into())
}

fn not_an_address(text: &str) -> String {
    format!("{text:?} is no IP address; write it like 10.0.0.1 or fd00::1")
}
