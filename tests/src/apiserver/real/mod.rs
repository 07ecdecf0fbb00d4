//! A real `kube-apiserver` with its `etcd`, started as controller-runtime's envtest does.

mod commands;
mod process;

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::kubeconfig::Access;
use super::tls::{self, Certificates};
use super::{Options, object};
use commands::{ApiServerFiles, Etcd, KubeApiServer};
use process::Process;

/// How long both may take to come up on a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The two processes. Fields are dropped in order: the server before its store, the data last.
#[derive(Debug)]
pub(super) struct Real {
    apiserver: Process,
    etcd: Process,
    _data: TempDir,
}

impl Real {
    /// Starts both from a folder of binaries and waits until the server is ready.
    pub(super) async fn start(assets: &Path, options: &Options) -> anyhow::Result<(Self, Access)> {
        for program in ["etcd", "kube-apiserver"] {
            if !assets.join(program).is_file() {
                bail!(
                    "KUBEBUILDER_ASSETS is {} but has no {program}; get it with `setup-envtest use 1.33 -p path`, or unset the variable",
                    assets.display()
                );
            }
        }
        let data =
            TempDir::with_prefix("kproxy-apiserver-").context("make a folder for the API server's data")?;
        let (certificates, token) = (Certificates::new(options.address.ip())?, object::uid());
        let files = write_files(data.path(), &certificates, &token)?;

        let etcd = Etcd {
            client: free_address(Ipv4Addr::LOCALHOST.into())?,
            peer: free_address(Ipv4Addr::LOCALHOST.into())?,
            data: data.path().join("etcd"),
        };
        let address = match options.address.port() {
            0 => free_address(options.address.ip())?,
            _ => options.address,
        };
        let apiserver = KubeApiServer {
            address,
            etcd: etcd.client,
            files,
        };
        let etcd = spawn(assets, "etcd", etcd.arguments(), data.path())?;
        let apiserver = spawn(assets, "kube-apiserver", apiserver.arguments(), data.path())?;

        let Certificates {
            authority_pem,
            authority,
            ..
        } = certificates;
        let access = Access {
            address,
            authority_pem,
            authority,
            token,
        };
        let mut real = Self {
            apiserver,
            etcd,
            _data: data,
        };
        real.wait_until_ready(&access).await?;
        Ok((real, access))
    }

    async fn wait_until_ready(&mut self, access: &Access) -> anyhow::Result<()> {
        let client = access.client()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if is_ready(&client).await? {
                return Ok(());
            }
            self.etcd.check()?;
            self.apiserver.check()?;
            if Instant::now() > deadline {
                bail!(
                    "the real API server is not ready after {PATIENCE:?}: {}",
                    self.apiserver.last_words()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A server that says it is ready may still be making what every cluster has.
async fn is_ready(client: &kube::Client) -> anyhow::Result<bool> {
    let paths = [
        "/readyz",
        "/api/v1/namespaces/default",
        "/api/v1/namespaces/kube-public",
        "/api/v1/namespaces/default/services/kubernetes",
        "/apis/networking.k8s.io/v1/servicecidrs/kubernetes",
    ];
    for path in paths {
        let request = axum::http::Request::get(path)
            .body(Vec::new())
            .context("build a request")?;
        if client.request_text(request).await.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn spawn(
    assets: &Path,
    program: &str,
    arguments: Vec<impl AsRef<OsStr>>,
    data: &Path,
) -> anyhow::Result<Process> {
    Process::spawn(
        &assets.join(program),
        arguments,
        &data.join(format!("{program}.log")),
    )
}

fn write_files(data: &Path, certificates: &Certificates, token: &str) -> anyhow::Result<ApiServerFiles> {
    let write = |name: &str, text: &str| {
        let path = data.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        anyhow::Ok(path)
    };
    Ok(ApiServerFiles {
        certificate: write("apiserver.crt", &certificates.server_pem)?,
        key: write("apiserver.key", &certificates.key_pem)?,
        // `system:masters` passes every authorization check.
        tokens: write(
            "tokens.csv",
            &format!("{token},kproxy-test-administrator,1,\"system:masters\"\n"),
        )?,
        service_account_key: write("service-account.key", &tls::private_key_pem()?)?,
        certificate_folder: data.to_owned(),
    })
}

/// A port that is free now. Somebody else may take it before the process does; envtest lives with that too.
fn free_address(ip: std::net::IpAddr) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((ip, 0)).with_context(|| format!("find a free port on {ip}"))?;
    listener.local_addr().context("read a free port")
}
