//! Who translates on the node under test, and how it is put in force.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Namespace};
use kproxy_tests::manifests;
use tempfile::TempDir;

use crate::proxy::KubeProxy;
use crate::rules::{iptables, nftables};
use crate::services::Services;
use crate::stage::{BOUND, NODE};
use crate::transaction::load;

/// What programming may take.
pub(crate) const PROGRAMMED_WITHIN: Duration = Duration::from_mins(4);
/// Services in one file of manifests.
const IN_A_FILE: usize = 1000;

/// Who translates on the node under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Translator {
    /// Nobody: clients ask pods by their addresses.
    Nobody,
    /// kproxy, at the uplink by TC.
    Kproxy,
    /// kproxy, at the uplink by XDP.
    KproxyXdp,
    /// Rules as kube-proxy's mode `iptables` makes them.
    Iptables,
    /// Rules as kube-proxy's mode `nftables` makes them.
    Nftables,
    /// kube-proxy itself.
    KubeProxy,
}

impl Translator {
    pub(crate) const ALL: [Self; 6] = [
        Self::Nobody,
        Self::Kproxy,
        Self::KproxyXdp,
        Self::Iptables,
        Self::Nftables,
        Self::KubeProxy,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "a node without a proxy",
            Self::Kproxy => "kproxy",
            Self::KproxyXdp => "kproxy with XDP",
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
            Self::KubeProxy => "kube-proxy",
        }
    }

    /// The name of its cluster.
    pub(crate) const fn cluster(self) -> &'static str {
        match self {
            Self::Nobody => "bdirect",
            Self::Kproxy => "btc",
            Self::KproxyXdp => "bxdp",
            Self::Iptables => "biptables",
            Self::Nftables => "bnftables",
            Self::KubeProxy => "bkube",
        }
    }
}

/// What keeps a translator in force.
#[derive(Debug)]
pub(crate) enum Running {
    Kernel,
    Agents {
        _agents: Vec<Agent>,
        _manifests: TempDir,
    },
    KubeProxy(Box<KubeProxy>),
}

/// Puts services in force on the node under test.
pub(crate) fn program(
    translator: Translator,
    cluster: &Cluster,
    services: &Services,
    kube_proxy: Option<&Path>,
) -> anyhow::Result<Running> {
    let node = cluster.node(NODE).host();
    match translator {
        Translator::Nobody => Ok(Running::Kernel),
        Translator::Kproxy => start_kproxy(cluster, services, "off"),
        Translator::KproxyXdp => start_kproxy(cluster, services, "native"),
        Translator::Iptables => {
            forget_soon(node.namespace())?;
            let rules = iptables::everything(&services.all);
            program_rules(node.namespace(), "iptables-restore", "--noflush", &rules)?;
            Ok(Running::Kernel)
        }
        Translator::Nftables => {
            forget_soon(node.namespace())?;
            let rules = nftables::everything(
                &services.all,
                node.v4(),
                nftables::Choices::From([services.asked().number, count(services)]),
            );
            program_rules(node.namespace(), "nft", "-f", &rules)?;
            Ok(Running::Kernel)
        }
        Translator::KubeProxy => {
            let Some(program) = kube_proxy else {
                bail!("no kube-proxy was named");
            };
            forget_soon(node.namespace())?;
            let proxy = KubeProxy::start(program, cluster, services)?;
            Ok(Running::KubeProxy(Box::new(proxy)))
        }
    }
}

/// The number of the service whose pod is elsewhere.
fn count(services: &Services) -> u32 {
    services.all.last().map_or(0, |last| last.number)
}

fn program_rules(namespace: &Namespace, program: &str, argument: &str, rules: &str) -> anyhow::Result<()> {
    let took = load(namespace, program, &[argument], rules, PROGRAMMED_WITHIN)?;
    took.with_context(|| format!("{program} was not done after {} s", PROGRAMMED_WITHIN.as_secs()))?;
    Ok(())
}

/// Connections that were reset are forgotten before their ports come again: what conntrack does with a port that comes again
/// is slower, and seldom met in real life.
fn forget_soon(namespace: &Namespace) -> anyhow::Result<()> {
    let soon = [("net/netfilter/nf_conntrack_tcp_timeout_close".to_owned(), "1")];
    namespace.set_sysctls(&soon)
}

fn start_kproxy(cluster: &Cluster, services: &Services, xdp: &str) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    for (number, part) in services.all.chunks(IN_A_FILE).enumerate() {
        let objects = part.iter().flat_map(crate::services::Service::objects);
        let documents: Vec<_> = objects.map(|object| object.to_string()).collect();
        manifests::write(
            folder.path(),
            &format!("{number}.yaml"),
            &documents.join("\n---\n"),
        )?;
    }
    let mut options = AgentOptions::manifests(folder.path());
    options.arguments = ["--xdp", xdp].map(str::to_owned).to_vec();
    options.ready_within = PROGRAMMED_WITHIN;
    let agent = cluster.node(NODE).start_agent(&options)?;
    if xdp == "native" {
        // It goes on by TC where a device refuses, and says so.
        let said = agent.wait_for_message(BOUND, |message, _| message.contains("XDP"))?;
        let said = said["message"].as_str().unwrap_or_default();
        ensure!(!said.contains("no native XDP"), "{said}");
    }
    Ok(Running::Agents {
        _agents: vec![agent],
        _manifests: folder,
    })
}
