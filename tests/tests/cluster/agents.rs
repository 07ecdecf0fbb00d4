//! A node's kproxy process, here a stand-in that prints its command line.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use kproxy_tests::cluster::{AgentOptions, Cni, namespace::NAMES};

use super::two_nodes;

#[test]
fn agents_run_in_the_node_but_not_in_its_cgroup() {
    let cluster = two_nodes("agents", Cni::RoutedVeth);
    let node = cluster.node("b");
    let folder = tempfile::tempdir().unwrap();
    let options = AgentOptions {
        program: Some(stand_in(folder.path(), r#"{"fields":{"message":"ready"}}"#)),
        arguments: vec!["--flows".to_owned(), "1024".to_owned()],
        ..AgentOptions::manifests(folder.path())
    };

    let agent = node.start_agent(&options).unwrap();

    let process = Path::new("/proc").join(agent.process().id().to_string());
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(
        inode(&process.join("ns/net")),
        inode(&Path::new(NAMES).join(node.host().namespace().name()))
    );
    let cgroup = fs::read_to_string(process.join("cgroup")).unwrap();
    assert!(cgroup.contains("/agents/agents_/b"), "{cgroup}");
    let log = agent.log();
    for argument in [
        "run",
        "--hostname-override b",
        "--pod-devices pod*",
        "--flows 1024",
        "--manifests",
    ] {
        assert!(log.contains(argument), "{argument} in {log}");
    }
    for path in [node.pin_dir(), node.cgroup()] {
        assert!(
            log.contains(path.to_str().unwrap()),
            "{} in {log}",
            path.display()
        );
    }
    agent.stop().unwrap();
    node.start_agent(&options).unwrap().kill().unwrap();
}

#[test]
fn agents_that_are_not_ready_show_their_log() {
    let cluster = two_nodes("notready", Cni::RoutedVeth);
    let folder = tempfile::tempdir().unwrap();
    let options = AgentOptions {
        program: Some(stand_in(folder.path(), "no bpffs here")),
        ready_within: Duration::from_millis(200),
        ..AgentOptions::manifests(folder.path())
    };
    let error = cluster.node("a").start_agent(&options).unwrap_err();
    assert!(format!("{error:#}").contains("no bpffs here"), "{error:#}");
}

/// A program that takes kproxy's command line, prints it and a line of log, and ends on SIGTERM.
fn stand_in(folder: &Path, line: &str) -> PathBuf {
    let path = folder.join("kproxy");
    let script = format!(
        "#!/bin/sh\ntrap 'exit 0' TERM\necho \"$@\" >&2\necho '{line}' >&2\nwhile :; do sleep 0.05; done\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}
