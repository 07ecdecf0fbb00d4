//! Makes what a layout says: namespaces, cables, addresses, routes and cgroups.

use std::collections::BTreeMap;

use anyhow::Context;

use super::{
    cgroup::Cgroup,
    cleanup::Remains,
    host::{Cgroups, Host},
    ip,
    layout::{HostLayout, Layout, NodeLayout},
    namespace::Namespace,
    node::Node,
    script,
};

/// The parts of a cluster.
pub(super) struct Made {
    pub(super) switch: Namespace,
    pub(super) nodes: Vec<Node>,
    pub(super) pods: Vec<Host>,
    pub(super) clients: Vec<Host>,
}

/// Makes everything, step by step in the order that `script` asks for.
pub(super) fn make(layout: &Layout, remains: &Remains) -> anyhow::Result<Made> {
    let namespaces = make_namespaces(layout)?;
    wire(layout, &namespaces)?;
    let groups = Groups::make(remains)?;
    let host = |host: &HostLayout, cgroups| Host::new(host, namespaces[&*host.name].clone(), cgroups);

    let mut nodes = Vec::new();
    let mut pods = Vec::new();
    for node in &layout.nodes {
        let name = &node.host.name;
        for pod in &node.pods {
            pods.push(host(pod, groups.of(name, &pod.name)?));
        }
        nodes.push(Node {
            host: host(&node.host, groups.of(name, NODE_PROCESSES)?),
            cgroup: groups.root.child(name)?,
            agents: groups.agents.child(name)?,
            pin_dir: remains.pin_dir().join(name),
            pod_ranges: node.pod_ranges(),
        });
    }
    let client = |client: &HostLayout| {
        // No node's kproxy sees a client outside, whichever way.
        let cgroup = groups.root.child(&client.name)?;
        Ok(host(
            client,
            Cgroups {
                socket: cgroup.clone(),
                packet: cgroup,
            },
        ))
    };
    let clients = layout.clients.iter().map(client).collect::<anyhow::Result<_>>()?;
    Ok(Made {
        switch: namespaces[&*layout.switch.name].clone(),
        nodes,
        pods,
        clients,
    })
}

/// All namespaces with their settings, which devices inherit: so before any cable.
fn make_namespaces(layout: &Layout) -> anyhow::Result<BTreeMap<&str, Namespace>> {
    let lines = layout
        .hosts()
        .map(|host| format!("netns add {}", host.namespace))
        .collect::<Vec<_>>();
    ip::batch(None, &lines)?;
    let routers = layout
        .nodes
        .iter()
        .map(|node| &node.host)
        .chain([&layout.switch])
        .collect::<Vec<_>>();
    let open = |host: &HostLayout| -> anyhow::Result<Namespace> {
        let namespace = Namespace::open(&host.namespace)?;
        namespace.set_sysctls(&script::sysctls(routers.contains(&host)))?;
        Ok(namespace)
    };
    layout
        .hosts()
        .map(|host| Ok((&*host.name, open(host)?)))
        .collect()
}

fn wire(layout: &Layout, namespaces: &BTreeMap<&str, Namespace>) -> anyhow::Result<()> {
    let run = |host: &HostLayout, lines: Vec<String>| ip::batch(Some(&host.namespace), &lines);
    run(&layout.switch, script::switch(layout))?;
    for node in &layout.nodes {
        run(&node.host, script::node(layout, node))?;
        namespaces[&*node.host.name].set_sysctls(&script::node_sysctls(layout, node))?;
        wire_pods(layout, node).with_context(|| format!("pods of node {}", node.host.name))?;
    }
    for client in &layout.clients {
        run(client, script::client(layout, client))?;
    }
    run(&layout.switch, script::switch_routes(layout))
}

fn wire_pods(layout: &Layout, node: &NodeLayout) -> anyhow::Result<()> {
    node.pods
        .iter()
        .try_for_each(|pod| ip::batch(Some(&pod.namespace), &script::pod(layout, node, pod)))
}

/// The cluster's cgroups. Names with an underscore are no names of hosts, so they never meet.
struct Groups {
    root: Cgroup,
    agents: Cgroup,
}

/// The group of a node's own processes, beside those of its pods.
const NODE_PROCESSES: &str = "node_processes";

impl Groups {
    fn make(remains: &Remains) -> anyhow::Result<Self> {
        let root = Cgroup::create(remains.cgroup_dir())?;
        let agents = root.child("agents_")?;
        Ok(Self { root, agents })
    }

    /// One group inside of the node's and one inside of its sibling.
    fn of(&self, node: &str, processes: &str) -> anyhow::Result<Cgroups> {
        Ok(Cgroups {
            socket: self.root.child(node)?.child(processes)?,
            packet: self.root.child(&format!("{node}_sandboxes"))?.child(processes)?,
        })
    }
}
