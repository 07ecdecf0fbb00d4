//! How clients reach a server: as a kubeconfig and as a `kube` client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

/// A server's address, authority and token.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) address: SocketAddr,
    pub(crate) authority_pem: String,
    pub(crate) authority: Vec<u8>,
    pub(crate) token: String,
}

impl Access {
    /// `https://address:port`; a server that listens on every address is reached on loopback.
    pub(crate) fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            let loopback: IpAddr = if address.is_ipv6() {
                Ipv6Addr::LOCALHOST.into()
            } else {
                Ipv4Addr::LOCALHOST.into()
            };
            address.set_ip(loopback);
        }
        format!("https://{address}")
    }

    /// A kubeconfig with everything inside; JSON, which is YAML too.
    pub(crate) fn kubeconfig(&self) -> String {
        let authority = BASE64_STANDARD.encode(&self.authority_pem);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url(), "certificate-authority-data": authority}}],
            "users": [{"name": "test", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
            "current-context": "test",
        });
        format!("{config:#}\n")
    }

    /// A client on the calling runtime.
    pub(crate) fn client(&self) -> anyhow::Result<kube::Client> {
        let mut config = kube::Config::new(self.url().parse().context("parse the API server's address")?);
        config.root_cert = Some(vec![self.authority.clone()]);
        config.auth_info = serde_json::from_value(json!({"token": self.token})).context("use the token")?;
        // Tests want to see what the server answers, not what a retry makes of it.
        config.default_retry = false;
        kube::Client::try_from(config).context("make a client for the API server")
    }
}
