//! What the kubelet of a node makes of a daemon set: the one container of its pod there, with configuration, account
//! and environment. What it does not know it refuses, so that no field of a manifest goes unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container as ContainerSpec, EnvVar, PodSpec, SecurityContext, Service, ServiceAccount, Volume,
    VolumeMount,
};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use super::{Container, Mount};

/// Where a pod finds who it is.
pub const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A kubelet.
#[derive(Debug)]
pub struct Kubelet<'a> {
    /// The name of its node.
    pub node: &'a str,
    /// Which directories of this machine are the node's, by the path they have on it.
    pub host_paths: BTreeMap<&'a str, PathBuf>,
    /// The program in every image.
    pub program: PathBuf,
    /// Its file of host names, which runtimes give to containers in its network.
    pub hosts: &'a str,
    /// The API server's certificate authority.
    pub authority: &'a str,
    /// Where it keeps what it makes; outlives the container.
    pub folder: &'a Path,
}

impl Kubelet<'_> {
    /// The container of a daemon set on this node, ready to be started.
    ///
    /// # Errors
    /// When the API server does not give what the daemon set names, or the daemon set wants something unknown.
    pub async fn container(
        &self,
        client: &Client,
        namespace: &str,
        daemon_set: &str,
    ) -> anyhow::Result<Container> {
        let sets: Api<DaemonSet> = Api::namespaced(client.clone(), namespace);
        let set = sets
            .get(daemon_set)
            .await
            .with_context(|| format!("cannot read daemon set {daemon_set}"))?;
        let pod = set.spec.and_then(|spec| spec.template.spec).unwrap_or_default();
        ensure!(
            pod.host_network == Some(true),
            "only pods in the node's network are known"
        );
        let [container] = &pod.containers[..] else {
            bail!("only pods with one container are known")
        };
        let mut mounts = vec![self.hosts()?, self.account(client, namespace, &pod).await?];
        for mount in container.volume_mounts.iter().flatten() {
            mounts.push(self.mount(client, namespace, &pod, mount).await?);
        }
        Ok(Container {
            program: self.program.clone(),
            arguments: container.args.clone().unwrap_or_default(),
            environment: self.environment(client, namespace, container).await?,
            mounts,
            ..privileges(container)?
        })
    }

    fn hosts(&self) -> anyhow::Result<Mount> {
        let source = self.write("etc", [("hosts", self.hosts)])?.join("hosts");
        Ok(Mount {
            source,
            target: "/etc/hosts".into(),
            read_only: false,
            follows: false,
        })
    }

    /// The token and what it is for, as admission mounts it into every pod.
    async fn account(&self, client: &Client, namespace: &str, pod: &PodSpec) -> anyhow::Result<Mount> {
        let name = pod.service_account_name.as_deref().unwrap_or("default");
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}}))?;
        let given = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("cannot get a token for service account {name}"))?;
        let token = given.status.context("a token request without a token")?.token;
        let files = [
            ("token", token.as_str()),
            ("ca.crt", self.authority),
            ("namespace", namespace),
        ];
        let source = self.write("account", files)?;
        Ok(Mount {
            source,
            target: ACCOUNT.into(),
            read_only: true,
            follows: false,
        })
    }

    async fn mount(
        &self,
        client: &Client,
        namespace: &str,
        pod: &PodSpec,
        mount: &VolumeMount,
    ) -> anyhow::Result<Mount> {
        let volumes = pod.volumes.iter().flatten();
        let volume = volumes
            .into_iter()
            .find(|volume| volume.name == mount.name)
            .with_context(|| format!("there is no volume {}", mount.name))?;
        let follows = match mount.mount_propagation.as_deref() {
            None | Some("None") => false,
            Some("HostToContainer") => true,
            Some(other) => bail!("only privileged containers may have {other} mounts"),
        };
        Ok(Mount {
            source: self.source(client, namespace, volume).await?,
            target: PathBuf::from(&mount.mount_path),
            read_only: mount.read_only.unwrap_or_default(),
            follows,
        })
    }

    async fn source(&self, client: &Client, namespace: &str, volume: &Volume) -> anyhow::Result<PathBuf> {
        if let Some(host_path) = &volume.host_path {
            let path = self.host_paths.get(host_path.path.as_str()).cloned();
            return path.with_context(|| format!("the node has no {}", host_path.path));
        }
        let Some(map) = &volume.config_map else {
            bail!("volume {} is of no known kind", volume.name)
        };
        let data = config_map(client, namespace, &map.name).await?;
        let files = data.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        self.write(&volume.name, files)
    }

    /// Variables of the container: the API server's service, config maps, single ones, later ones winning.
    async fn environment(
        &self,
        client: &Client,
        namespace: &str,
        container: &ContainerSpec,
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let services: Api<Service> = Api::namespaced(client.clone(), "default");
        let service = services.get("kubernetes").await?.spec.unwrap_or_default();
        let address = service.cluster_ip.unwrap_or_default();
        let mut environment = BTreeMap::from([
            ("KUBERNETES_SERVICE_HOST".to_owned(), address),
            ("KUBERNETES_SERVICE_PORT".to_owned(), "443".to_owned()),
        ]);
        for source in container.env_from.iter().flatten() {
            let Some(map) = &source.config_map_ref else {
                bail!("only config maps are known as sources of variables")
            };
            environment.extend(config_map(client, namespace, &map.name).await?);
        }
        for variable in container.env.iter().flatten() {
            environment.insert(variable.name.clone(), self.value(variable)?);
        }
        Ok(environment)
    }

    fn value(&self, variable: &EnvVar) -> anyhow::Result<String> {
        if let Some(value) = &variable.value {
            return Ok(value.clone());
        }
        let source = variable.value_from.as_ref();
        let field = source.and_then(|source| source.field_ref.as_ref());
        match field.map(|field| field.field_path.as_str()) {
            Some("spec.nodeName") => Ok(self.node.to_owned()),
            other => bail!("the value of {} is not known: {other:?}", variable.name),
        }
    }

    fn write<'f>(
        &self,
        name: &str,
        files: impl IntoIterator<Item = (&'f str, &'f str)>,
    ) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (file, text) in files {
            let path = folder.join(file);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(folder)
    }
}

async fn config_map(
    client: &Client,
    namespace: &str,
    name: &str,
) -> anyhow::Result<BTreeMap<String, String>> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = maps
        .get(name)
        .await
        .with_context(|| format!("cannot read config map {name}"))?;
    Ok(map.data.unwrap_or_default())
}

/// A container with nothing but its privileges.
fn privileges(container: &ContainerSpec) -> anyhow::Result<Container> {
    let SecurityContext {
        allow_privilege_escalation,
        capabilities,
        privileged,
        read_only_root_filesystem,
        run_as_user,
        run_as_group,
        run_as_non_root: _,
        // These take a runtime.
        app_armor_profile: _,
        seccomp_profile: _,
        proc_mount,
        se_linux_options,
        windows_options: _,
    } = container.security_context.clone().unwrap_or_default();
    let capabilities = capabilities.unwrap_or_default();
    ensure!(
        privileged != Some(true),
        "a privileged container is not what is asked for"
    );
    ensure!(
        (run_as_user, run_as_group) == (Some(0), Some(0)),
        "only root is known as a user"
    );
    ensure!(
        proc_mount.is_none() && se_linux_options.is_none(),
        "not known: procMount, seLinuxOptions"
    );
    // What runtimes leave to every container otherwise differs between them.
    ensure!(
        capabilities.drop == Some(vec!["ALL".to_owned()]),
        "all capabilities have to be dropped"
    );
    Ok(Container {
        program: PathBuf::new(),
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        mounts: Vec::new(),
        read_only_root: read_only_root_filesystem == Some(true),
        no_new_privileges: allow_privilege_escalation == Some(false),
        capabilities: capabilities.add.into_iter().flatten().collect::<BTreeSet<_>>(),
    })
}
