//! From options to a client.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use thiserror::Error;

/// How long a TCP and TLS handshake with the API server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which API server to follow, as whom.
#[derive(Clone, Debug, Default)]
pub struct KubernetesOptions {
    /// A kubeconfig file; without it and without `master` the Pod's service account is used.
    pub kubeconfig: Option<PathBuf>,
    /// The API server's URL, instead of the one that the kubeconfig or the Pod's environment gives.
    pub master: Option<String>,
    /// The name of this node's object.
    pub node_name: String,
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The file is missing, unreadable or incomplete.
    #[error("the kubeconfig {} can not be used; check --kubeconfig", file.display())]
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// Why.
        source: KubeconfigError,
    },
    /// Neither options nor a Pod's environment.
    #[error("not running in a Pod with a service account; give --kubeconfig, --master or --manifests")]
    InCluster(#[source] InClusterError),
    /// Not a URL.
    #[error("{url:?} is not the URL of an API server; give --master like https://10.0.0.1:6443")]
    Master {
        /// What was given.
        url: String,
    },
    /// TLS material that can not be used.
    #[error("no connection to {url} can be set up; check certificates and credentials")]
    Client {
        /// The API server.
        url: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

/// A client of its own for the same API server: for what is told to the cluster.
///
/// # Errors
/// The options lead to no usable client.
pub async fn kubernetes_client(options: &KubernetesOptions) -> Result<Client, ConnectError> {
    connect(options).await.map(|(client, _)| client)
}

/// Gives the client and the server's URL.
pub(super) async fn connect(options: &KubernetesOptions) -> Result<(Client, String), ConnectError> {
    let mut config = config(options).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Retries are made where their state is reported.
    config.default_retry = false;
    let url = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|source| ConnectError::Client {
        url: url.clone(),
        source: Box::new(source),
    })?;
    Ok((client, url))
}

async fn config(options: &KubernetesOptions) -> Result<Config, ConnectError> {
    let master = options.master.as_deref().map(parse_master).transpose()?;
    if let Some(file) = &options.kubeconfig {
        let failed = |source| ConnectError::Kubeconfig {
            file: file.clone(),
            source,
        };
        let kubeconfig = Kubeconfig::read_from(file).map_err(failed)?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(failed)?;
        config.cluster_url = master.unwrap_or(config.cluster_url);
        return Ok(config);
    }
    match (Config::incluster(), master) {
        (Ok(config), None) => Ok(config),
        (Ok(mut config), Some(url)) => {
            config.cluster_url = url;
            Ok(config)
        }
        (Err(_), Some(url)) => Ok(Config::new(url)),
        (Err(error), None) => Err(ConnectError::InCluster(error)),
    }
}

fn parse_master(url: &str) -> Result<http::Uri, ConnectError> {
    // `host:port` is what people have in mind, and kube-proxy takes it.
    let full = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    match full.parse::<http::Uri>() {
        Ok(uri) if uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")) => Ok(uri),
        Ok(_) | Err(_) => Err(ConnectError::Master { url: url.to_owned() }),
    }
}
