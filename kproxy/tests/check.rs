//! `kproxy check` on the running kernel. Needs root.

use std::process::{Command, Output};

use serde_json::Value;

fn kproxy_check(command: &mut Command) -> (Output, Value) {
    let output = command.output().expect("it starts");
    let report = serde_json::from_slice(&output.stdout).expect("JSON");
    (output, report)
}

#[test]
fn this_kernel_has_what_is_needed() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kproxy"));
    let (output, report) = kproxy_check(command.args(["check", "-o", "json"]));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(report["sufficient"], true);
    let features = report["features"].as_array().expect("a list");
    for feature in features.iter().filter(|feature| feature["required"] == true) {
        assert_eq!(feature["present"], true, "{feature}");
    }
    let text = Command::new(env!("CARGO_BIN_EXE_kproxy")).arg("check").output();
    let text = String::from_utf8(text.expect("it starts").stdout).expect("text");
    assert!(
        text.contains("has what kproxy needs") && text.contains("TCX links"),
        "{text}"
    );
}

#[test]
fn what_is_missing_ends_in_status_1() {
    let script = format!(
        "umount --all --lazy --types cgroup2 && exec {} check -o json",
        env!("CARGO_BIN_EXE_kproxy")
    );
    let mut command = Command::new("unshare");
    let (output, report) = kproxy_check(command.args(["--mount", "sh", "-c", &script]));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(report["sufficient"], false);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("lacks: cgroup v2, mounted (Linux 4.5)"), "{said}");
}

/// What the kernel does not tell everybody is not said to be missing.
#[test]
fn what_can_not_be_asked_is_not_missing() {
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set=-all", "--inh-caps=-all"])
        .arg(env!("CARGO_BIN_EXE_kproxy"))
        .args(["check", "-o", "json"]);
    let (output, report) = kproxy_check(&mut command);
    assert!(output.status.success(), "{output:?}");
    let features = report["features"].as_array().expect("a list");
    let ring_buffers = features.iter().find(|it| it["name"] == "ring buffers");
    let ring_buffers = ring_buffers.expect("a feature");
    assert_eq!(ring_buffers["present"], Value::Null, "{ring_buffers}");
    assert!(ring_buffers["unknownBecause"].is_string());
}
