//! The server as a program of its own, as the demo uses it.

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::services;

#[tokio::test]
async fn prints_its_address_writes_a_kubeconfig_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("config");
    let mut program = Command::new(env!("CARGO_BIN_EXE_apiserver"))
        .arg("--kubeconfig")
        .arg(&config)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");

    let output = BufReader::new(program.stdout.take().expect("output"));
    let address = output.lines().next().expect("a line").expect("text");
    let kubeconfig = Kubeconfig::read_from(&config).expect("a kubeconfig");
    let client = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = kube::Client::try_from(client.expect("a configuration")).expect("a client");
    let listed = services(&client).list(&ListParams::default()).await;
    let id = i32::try_from(program.id()).expect("a process id");
    kill(Pid::from_raw(id), Signal::SIGTERM).expect("asked to end");
    let status = program.wait().expect("ends");

    assert!(address.starts_with("https://127.0.0.1:"), "{address}");
    listed.expect("a list");
    assert_eq!(status.code(), Some(0));
}

/// Runs the program with `KUBEBUILDER_ASSETS` naming a folder of scripts; it must fail, saying this.
fn fail_with_scripts(scripts: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, script) in scripts {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("executable");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_apiserver"))
        .env("KUBEBUILDER_ASSETS", folder.path())
        .arg("--kubeconfig")
        .arg(folder.path().join("config"))
        .output()
        .expect("the program runs");
    assert!(!output.status.success());
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn a_folder_without_a_real_server_is_named() {
    let error = fail_with_scripts(&[("etcd", "exit 0")]);

    assert!(
        error.contains("has no kube-apiserver") && error.contains("setup-envtest"),
        "{error}"
    );
}

#[test]
fn a_real_server_that_ends_is_quoted_and_its_etcd_is_stopped() {
    let marker = tempfile::NamedTempFile::new().expect("a temporary file");
    let etcd = format!("echo $$ > {}; exec sleep 600", marker.path().display());
    let error = fail_with_scripts(&[
        ("etcd", &etcd),
        ("kube-apiserver", "echo unknown flag: $1 >&2; sleep 1; exit 1"),
    ]);

    assert!(
        error.contains("unknown flag: --etcd-servers=http://127.0.0.1:"),
        "{error}"
    );
    let id = std::fs::read_to_string(marker.path()).expect("a process id");
    assert!(
        !std::path::Path::new("/proc").join(id.trim()).exists(),
        "etcd {id} is left"
    );
}
