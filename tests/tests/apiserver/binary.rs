//! The server as a program of its own, as the demo uses it.

use std::io::{BufRead, BufReader};
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
