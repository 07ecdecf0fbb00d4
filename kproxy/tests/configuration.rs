//! `kproxy run` with what is done besides serving: `--write-config-to`, `--init-only`, `--cleanup`.
//!
//! Needs root. Each test has a network namespace of its own, which ends with its thread.

#![expect(clippy::panic, reason = "helpers of tests fail the test")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sched::{CloneFlags, unshare};

const KPROXY: &str = env!("CARGO_BIN_EXE_kproxy");
const KUBE_PROXY: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

fn kproxy(arguments: &[&str]) -> Output {
    let mut command = Command::new(KPROXY);
    command.arg("run").args(arguments).env_remove("RUST_LOG");
    command.output().expect("kproxy starts")
}

fn succeeds(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", output.status);
    said
}

fn fails(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it succeeded: {said}");
    said
}

/// Runs a tool of the machine with this input.
fn tool(command: &str, input: &str) -> String {
    let mut words = command.split(' ');
    let mut child = Command::new(words.next().expect("a program"))
        .args(words)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command}: {error}; `cargo xtask setup` installs it"));
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("input");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{command}");
    String::from_utf8(output.stdout).expect("text")
}

fn pin_dir(name: &str) -> String {
    format!("--pin-dir=/sys/fs/bpf/kproxy-test-{}-{name}", std::process::id())
}

#[test]
fn what_is_written_is_read_again_10_12() {
    let folder = tempfile::tempdir().expect("a folder");
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let text = |path: &Path| fs::read_to_string(path).expect("written");
    let write = |to: &Path, more: &[&str]| {
        let to = format!("--write-config-to={}", to.display());
        succeeds(&kproxy(&[&[to.as_str()], more].concat()));
    };
    // Of flags, of a file, and with settings of both kinds.
    write(&first, &[]);
    let plain = text(&first);
    assert!(
        plain.starts_with("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n")
    );
    assert!(
        !plain.contains("KproxyConfiguration\n") || !plain.contains("\n---"),
        "kube-proxy can read it"
    );
    let flags = [
        "--cluster-cidr=10.0.0.0/8",
        "--conntrack-tcp-timeout-established=90m",
        "--hostname-override=Here",
        "--pin-dir=/sys/fs/bpf/other",
        "--flows=4096",
        "--v=2",
    ];
    for flags in [&[][..], &flags] {
        write(&first, flags);
        let again = format!("--config={}", first.display());
        write(&second, &[&again]);
        assert_eq!(text(&first), text(&second), "{flags:?}");
    }
    let written = text(&first);
    for expected in [
        "clusterCIDR: 10.0.0.0/8",
        "tcpEstablishedTimeout: 1h30m0s",
        "hostnameOverride: here",
        "---\napiVersion: kproxy.config.k8s.io/v1alpha1",
        "pinDir: /sys/fs/bpf/other",
        "flows: 4096",
    ] {
        assert!(written.contains(expected), "{expected}: {written}");
    }
}

#[test]
fn the_version_is_told_and_words_are_refused_10_12() {
    let told = kproxy(&["--version"]);
    succeeds(&told);
    assert!(String::from_utf8_lossy(&told.stdout).contains(env!("CARGO_PKG_VERSION")));
    let said = fails(&kproxy(&["positional"]));
    assert!(said.contains("positional"), "{said}");
}

#[test]
fn a_wrong_configuration_ends_everything_10_15() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config");
    fs::write(&file, format!("{KUBE_PROXY}mode: userspace\nbindAddress: here\n")).expect("written");
    let config = format!("--config={}", file.display());
    let written = format!("--write-config-to={}", folder.path().join("written").display());
    for what in ["--cleanup", "--init-only", &written] {
        let said = fails(&kproxy(&[&config, what]));
        for field in [
            "KubeProxyConfiguration.mode",
            "KubeProxyConfiguration.bindAddress",
        ] {
            assert!(said.contains(field), "{what}: {said}");
        }
    }
    assert!(!folder.path().join("written").exists());
}

#[test]
fn init_only_prepares_and_ends_10_14() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    let established = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established";
    let value = || fs::read_to_string(established).expect("this kernel has conntrack");
    assert_ne!(value(), "86400\n", "the kernel's own default is another one");
    let pin_dir = pin_dir("init");

    // No API server is there, and none is needed. No machine has this size by itself.
    let arguments = [
        "--init-only",
        &pin_dir,
        "--conntrack-max-per-core=1",
        "--conntrack-min=77777",
    ];
    let said = succeeds(&kproxy(&arguments));

    assert_eq!(value(), "86400\n", "7.16: {said}");
    assert!(
        said.contains("nf_conntrack_max (it is another network namespace's"),
        "{said}"
    );
    let pins = pin_dir.strip_prefix("--pin-dir=").expect("a path");
    assert!(!Path::new(pins).exists(), "nothing is installed");
    let again = succeeds(&kproxy(&arguments));
    assert!(!again.contains("set nf_"), "7.19 it is right already: {again}");
}

const NFT: &str = "
add table ip kube-proxy
add chain ip kube-proxy services { type nat hook prerouting priority -100; }
add table ip6 kube-proxy
add table ip other
add chain ip other mine
";

fn iptables(comment: &str) -> String {
    format!(
        "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-POSTROUTING - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n:KUBE-SVC-A - [0:0]\n:KUBE-SEP-A - [0:0]\n\
         :KUBE-KUBELET-CANARY - [0:0]\n\
         -A PREROUTING -m comment --comment \"{comment}\" -j KUBE-SERVICES\n\
         -A OUTPUT -m comment --comment \"{comment}\" -j KUBE-SERVICES\n\
         -A POSTROUTING -j KUBE-POSTROUTING\n\
         -A KUBE-SERVICES -p tcp --dport 80 -j KUBE-SVC-A\n-A KUBE-SVC-A -j KUBE-SEP-A\n-A KUBE-SEP-A -j KUBE-MARK-MASQ\nCOMMIT\n\
         *filter\n:KUBE-FIREWALL - [0:0]\n:KUBE-FORWARD - [0:0]\n:MINE - [0:0]\n\
         -A INPUT -j KUBE-FIREWALL\n-A FORWARD -j KUBE-FORWARD\n-A KUBE-FORWARD -j ACCEPT\n-A INPUT -j MINE\nCOMMIT\n"
    )
}

#[test]
fn cleanup_removes_a_former_kube_proxy_and_nothing_else_10_13() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    tool("nft -f -", NFT);
    for restore in ["iptables-restore", "ip6tables-restore"] {
        tool(
            restore,
            &iptables("kubernetes service portals; it's \\\"quoted\\\""),
        );
    }
    let state = || {
        format!(
            "{}{}{}",
            tool("nft list tables", ""),
            tool("iptables-save", ""),
            tool("ip6tables-save", "")
        )
    };
    let before = state();
    assert!(
        before.contains("KUBE-SVC-A") && before.contains("table ip6 kube-proxy"),
        "{before}"
    );

    let said = succeeds(&kproxy(&["--cleanup", &pin_dir("cleanup")]));

    let after = state();
    for gone in [
        "kube-proxy",
        "KUBE-SERVICES",
        "KUBE-POSTROUTING",
        "KUBE-MARK-MASQ",
        "KUBE-SVC",
        "KUBE-SEP",
        "KUBE-FORWARD",
    ] {
        assert!(!after.contains(gone), "{gone} is left: {after}");
    }
    for kept in [
        "table ip other",
        ":KUBE-FIREWALL",
        "-A INPUT -j KUBE-FIREWALL",
        "KUBE-KUBELET-CANARY",
        "-A INPUT -j MINE",
    ] {
        assert_eq!(
            after.matches(kept).count(),
            before.matches(kept).count(),
            "{kept}: {after}"
        );
    }
    assert!(said.contains("6 chains of kube-proxy (ip6tables"), "{said}");
    assert!(said.contains("nothing of kproxy"), "{said}");
    let again = succeeds(&kproxy(&["--cleanup", &pin_dir("cleanup")]));
    assert!(!again.contains("removed"), "nothing there is fine: {again}");
}

#[test]
fn a_rule_that_can_not_be_removed_is_a_failure_10_13() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    // A tool that shows a table and does not let it go.
    let folder = tempfile::tempdir().expect("a folder");
    let nft = folder.path().join("nft");
    let script =
        "#!/bin/sh\n[ \"$1\" = list ] && echo 'table ip kube-proxy' && exit 0\necho held >&2\nexit 1\n";
    fs::write(&nft, script).expect("a script");
    fs::set_permissions(&nft, fs::Permissions::from_mode(0o755)).expect("executable");
    let mut command = Command::new(KPROXY);
    command.args(["run", "--cleanup", &pin_dir("held")]);
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let said = fails(&command.env("PATH", path).output().expect("kproxy starts"));
    assert!(said.contains("held"), "{said}");
}
