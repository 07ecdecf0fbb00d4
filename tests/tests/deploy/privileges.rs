//! Capabilities and mounts: they are enough, and each is needed.

use std::collections::BTreeSet;

use anyhow::ensure;
use kproxy_tests::container::{Container, kubelet::ACCOUNT};

use super::stage::{BOUND, Stage, on_stage};

/// The one that pods' network namespaces take; the kernel lets it stand for BPF and PERFMON as well.
const FOR_NAMESPACES: &str = "SYS_ADMIN";

/// What the manifests give is what a careful administrator would let pass.
async fn is_confined(stage: Stage<'_>) -> anyhow::Result<()> {
    let Container {
        program: _,
        arguments: _,
        environment: _,
        mounts,
        read_only_root,
        no_new_privileges,
        capabilities,
    } = stage.container().await?;
    ensure!(read_only_root, "the root file system can be written");
    ensure!(no_new_privileges, "more privileges can be had");
    let capabilities: Vec<_> = capabilities.iter().map(String::as_str).collect();
    ensure!(
        capabilities == ["BPF", "NET_ADMIN", "PERFMON", "SYS_ADMIN"],
        "{capabilities:?}"
    );
    let writable: Vec<_> = mounts.iter().filter(|mount| !mount.read_only).collect();
    let writable: Vec<_> = writable
        .iter()
        .map(|mount| mount.target.display().to_string())
        .collect();
    ensure!(writable == ["/etc/hosts", "/sys/fs/bpf"], "{writable:?}");
    Ok(())
}

/// A service is answered by an agent with everything the manifests give, by the next one after it, and by one that does
/// not care for sockets in pods.
async fn is_enough(stage: Stage<'_>) -> anyhow::Result<()> {
    let addresses = stage.publish().await?;
    let container = stage.container().await?;
    let agent = stage.start(&container)?;
    stage.is_served(addresses)?;
    agent.stop()?;
    stage.is_served(addresses)?;

    let agent = stage.start(&without_capability(&container, FOR_NAMESPACES))?;
    stage.is_served(addresses)?;
    agent.stop()
}

/// Without any one of the capabilities, an agent does not start, and says why.
async fn each_capability_is_needed(stage: Stage<'_>) -> anyhow::Result<()> {
    let container = without_capability(&stage.container().await?, FOR_NAMESPACES);
    for capability in &container.capabilities {
        let (success, said) = stage.run(&without_capability(&container, capability))?;
        ensure!(!success, "it does without {capability}: {said}");
        ensure!(
            said.contains(&format!("kproxy lacks CAP_{capability}:")),
            "without {capability}: {said}"
        );
    }
    Ok(())
}

/// Without any one of the mounts, or with one that it can not write, an agent does not start.
async fn each_mount_is_needed(stage: Stage<'_>) -> anyhow::Result<()> {
    let container = stage.container().await?;
    let rows = [
        ("/etc/hosts", "kubernetes"),
        (ACCOUNT, "service account"),
        ("/etc/kproxy", "/etc/kproxy/config.yaml"),
        ("/sys/fs/bpf", "BPF file system"),
        ("/host/cgroup", "--cgroup /host/cgroup"),
    ];
    // What is needed for pods' network namespaces only is not missed at the start.
    let targets: BTreeSet<_> = container
        .mounts
        .iter()
        .filter_map(|mount| mount.target.to_str())
        .collect();
    let known: BTreeSet<_> = rows
        .iter()
        .map(|(target, _)| *target)
        .chain(["/run/netns"])
        .collect();
    ensure!(targets == known, "{targets:?}");
    for (target, complaint) in rows {
        let mut less = container.clone();
        less.mounts.retain(|mount| mount.target.to_str() != Some(target));
        refuses(&stage, &less, complaint)?;
    }
    let mut read_only = container;
    for mount in &mut read_only.mounts {
        mount.read_only = true;
    }
    refuses(&stage, &read_only, "Read-only file system")
}

/// The container complains of this, and does not get ready.
fn refuses(stage: &Stage<'_>, container: &Container, complaint: &str) -> anyhow::Result<()> {
    let process = stage.begin(container)?;
    let said = |line: &str| {
        let ready = line.contains(r#""message":"ready""#);
        (ready || line.contains(complaint)).then_some(ready)
    };
    let ready = process.stderr().wait_for(BOUND, said);
    ensure!(
        ready == Some(false),
        "it does not complain of {complaint:?}: {}",
        process.stderr().text()
    );
    Ok(())
}

fn without_capability(container: &Container, capability: &str) -> Container {
    let mut less = container.clone();
    less.capabilities.remove(capability);
    less
}

#[test]
fn the_manifests_confine_it() {
    on_stage("confined", is_confined);
}

#[test]
fn what_the_manifests_give_is_enough() {
    on_stage("enough", is_enough);
}

#[test]
fn no_capability_is_too_much() {
    on_stage("caps", each_capability_is_needed);
}

#[test]
fn no_mount_is_too_much() {
    on_stage("mounts", each_mount_is_needed);
}
