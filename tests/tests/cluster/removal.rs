//! Nothing is left behind: on drop, after a panic or an error, on a signal, and by the next process after SIGKILL.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use kproxy_tests::cluster::{Cluster, Cni, Via, cleanup::sweep, environment::Environment, namespace::NAMES};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{TCP, two_nodes, wait_until};

#[test]
fn a_dropped_cluster_leaves_nothing() {
    let left = traces(std::process::id(), "dropped");
    let cluster = two_nodes("dropped", Cni::RoutedVeth);
    let server = cluster.pod("near").serve(Via::Socket, &[TCP], &[]).unwrap();
    fs::create_dir_all(cluster.node("a").pin_dir().join("v1/maps")).unwrap();
    assert!(left.exist());

    drop(cluster);

    assert!(!left.exist());
    assert!(!is_running(server.id()));
}

#[test]
fn a_panic_leaves_nothing() {
    let left = traces(std::process::id(), "panicked");
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let cluster = two_nodes("panicked", Cni::Bridge);
        let _server = cluster.pod("near").serve(Via::Socket, &[TCP], &[]).unwrap();
        assert!(!left.exist(), "this panic is part of the test");
    }));
    assert!(panic.is_err());
    assert!(!left.exist());
}

#[test]
fn a_cluster_that_can_not_be_built_leaves_nothing() {
    // A file name has at most 255 bytes; the first nodes are there when this one fails.
    let long = "n".repeat(250);
    let builder = Cluster::builder("broken")
        .node("a", |node| node)
        .node(&long, |node| node);
    let error = builder.build().unwrap_err();
    assert!(format!("{error:#}").contains("Invalid netns name"), "{error:#}");
    assert!(!traces(std::process::id(), "broken").exist());
}

#[test]
fn signals_leave_nothing() {
    if std::env::var_os(HOLD).is_some() {
        return hold("signals");
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (mut child, server) = start_holder("removal::signals_leave_nothing");
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(128 + signal as i32), "{signal}: {status}");
        assert!(!traces(child.id(), "signals").exist(), "after {signal}");
        assert!(!is_running(server));
    }
}

#[test]
fn what_a_killed_process_left_is_swept() {
    if std::env::var_os(HOLD).is_some() {
        return hold("swept");
    }
    let (mut child, server) = start_holder("removal::what_a_killed_process_left_is_swept");
    let left = traces(child.id(), "swept");
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
    assert!(left.exist());

    wait_until("children die with their parent", || !is_running(server));
    sweep(&Environment::check().unwrap(), |_| false).unwrap();

    assert!(!left.exist());
}

/// Set for the copy of this program that builds a cluster and waits to be ended.
const HOLD: &str = "KPROXY_TEST_HOLD";

fn hold(name: &str) {
    let cluster = two_nodes(name, Cni::RoutedVeth);
    let server = cluster.pod("near").serve(Via::Socket, &[TCP], &[]).unwrap();
    println!("\nholding {}", server.id());
    thread::sleep(Duration::from_mins(1));
}

fn start_holder(test: &str) -> (Child, u32) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(HOLD, "1");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let server = lines.find_map(|line| line.strip_prefix("holding ")?.parse().ok());
    (child, server.expect("the holder builds its cluster"))
}

/// Neither dead nor a zombie that its parent has yet to collect.
fn is_running(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

/// Where a cluster of a process can be seen from outside.
struct Traces {
    namespace_prefix: String,
    directories: [PathBuf; 2],
}

fn traces(process: u32, cluster: &str) -> Traces {
    let Environment { cgroups, pins } = Environment::check().unwrap();
    let directory = format!("kproxy-test-{process}/{cluster}");
    Traces {
        namespace_prefix: format!("kp{process}-{cluster}-"),
        directories: [cgroups, pins].map(|mount| mount.join(&directory)),
    }
}

impl Traces {
    fn exist(&self) -> bool {
        let entries = fs::read_dir(Path::new(NAMES)).into_iter().flatten().flatten();
        let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.any(|name| name.starts_with(&self.namespace_prefix))
            || self.directories.iter().any(|directory| directory.exists())
    }
}
