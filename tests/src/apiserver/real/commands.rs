//! The command lines of `etcd` and `kube-apiserver`: flags as envtest has them, for Kubernetes 1.33.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::super::seed::SERVICE_RANGES;

/// An `etcd` of one member.
#[derive(Debug)]
pub(super) struct Etcd {
    pub(super) client: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) data: PathBuf,
}

/// A `kube-apiserver`.
#[derive(Debug)]
pub(super) struct KubeApiServer {
    pub(super) address: SocketAddr,
    pub(super) etcd: SocketAddr,
    pub(super) files: ApiServerFiles,
}

/// What a `kube-apiserver` reads.
#[derive(Debug)]
pub(super) struct ApiServerFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) tokens: PathBuf,
    pub(super) service_account_key: PathBuf,
    pub(super) certificate_folder: PathBuf,
}

impl Etcd {
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let Self { client, peer, data } = self;
        vec![
            flag("data-dir", data),
            flag("listen-client-urls", format!("http://{client}")),
            flag("advertise-client-urls", format!("http://{client}")),
            flag("listen-peer-urls", format!("http://{peer}")),
            flag("initial-advertise-peer-urls", format!("http://{peer}")),
            flag("initial-cluster", format!("default=http://{peer}")),
            // The data is thrown away with the test.
            "--unsafe-no-fsync".into(),
        ]
    }
}

impl KubeApiServer {
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let Self { address, etcd, files } = self;
        let ApiServerFiles {
            certificate,
            key,
            tokens,
            service_account_key,
            certificate_folder,
        } = files;
        vec![
            flag("etcd-servers", format!("http://{etcd}")),
            flag("bind-address", address.ip().to_string()),
            flag("advertise-address", address.ip().to_string()),
            flag("secure-port", address.port().to_string()),
            flag("cert-dir", certificate_folder),
            flag("tls-cert-file", certificate),
            flag("tls-private-key-file", key),
            flag("token-auth-file", tokens),
            flag("authorization-mode", "RBAC"),
            flag("anonymous-auth", "false"),
            flag("service-cluster-ip-range", SERVICE_RANGES.join(",")),
            flag(
                "service-account-issuer",
                "https://kubernetes.default.svc.cluster.local",
            ),
            flag("service-account-key-file", service_account_key),
            flag("service-account-signing-key-file", service_account_key),
            // No controller makes the account that pods would need, none takes the taint from nodes.
            flag(
                "disable-admission-plugins",
                "ServiceAccount,TaintNodesByCondition",
            ),
            flag("allow-privileged", "true"),
            // Stopping is not to wait for watches.
            flag("shutdown-delay-duration", "0s"),
        ]
    }
}

fn flag(name: &str, value: impl Into<OsString>) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value.into());
    flag
}

#[cfg(test)]
mod tests {
    use super::{ApiServerFiles, Etcd, KubeApiServer};

    #[test]
    fn etcd_keeps_its_data_where_it_is_told() {
        let etcd = Etcd {
            client: ([127, 0, 0, 1], 2379).into(),
            peer: ([127, 0, 0, 1], 2380).into(),
            data: "/data/etcd".into(),
        };

        let arguments = etcd.arguments();

        for expected in [
            "--data-dir=/data/etcd",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--initial-cluster=default=http://127.0.0.1:2380",
        ] {
            assert!(
                arguments.iter().any(|argument| argument == expected),
                "{expected} in {arguments:?}"
            );
        }
    }

    #[test]
    fn the_server_serves_both_families_to_holders_of_the_token() {
        let server = KubeApiServer {
            address: ([127, 0, 0, 1], 6443).into(),
            etcd: ([127, 0, 0, 1], 2379).into(),
            files: ApiServerFiles {
                certificate: "/data/apiserver.crt".into(),
                key: "/data/apiserver.key".into(),
                tokens: "/data/tokens.csv".into(),
                service_account_key: "/data/sa.key".into(),
                certificate_folder: "/data".into(),
            },
        };

        let arguments = server.arguments();

        for expected in [
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=127.0.0.1",
            "--secure-port=6443",
            "--tls-cert-file=/data/apiserver.crt",
            "--tls-private-key-file=/data/apiserver.key",
            "--token-auth-file=/data/tokens.csv",
            "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
            "--service-account-signing-key-file=/data/sa.key",
        ] {
            assert!(
                arguments.iter().any(|argument| argument == expected),
                "{expected} in {arguments:?}"
            );
        }
    }
}
