//! The shape of answers, and many of them at once.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};
use std::{fs, io::Write};

use serde_json::{Value, json};

use super::world::{DETECTOR, PORT, ask, node, service, slices};

fn manifests() -> String {
    let spec = "  type: NodePort\n  ports: [{name: http, port: 80, nodePort: 30080}]\n";
    service(spec) + &slices(&PORT.replace("\"\"", "http"), &["10.1.0.5", "10.2.0.5"])
}

#[test]
fn json_has_every_field() {
    let node = node(&manifests(), DETECTOR);
    let mut value = serde_json::to_value(ask(&node, "198.51.100.7 > 192.168.0.1:30080/TCP")).unwrap();
    let chosen = value["chosen"].take();
    let candidates = json!(["10.1.0.5:8080", "10.2.0.5:8080"]);
    assert!(candidates.as_array().unwrap().contains(&chosen), "{chosen}");
    let source = if chosen == "10.1.0.5:8080" {
        "kept"
    } else {
        "192.168.0.1"
    };
    let expected = json!({
        "verdict": "forward",
        "reason": "new: a new connection, and chance decides among the backends",
        "service": "test/web:http",
        "frontend": "NodePort",
        "client": "external",
        "candidates": candidates,
        "chosen": null,
        "source": source,
    });
    assert_eq!(value, expected);

    let value = serde_json::to_value(ask(&node, "10.1.0.7 > 10.96.0.1:81/TCP")).unwrap();
    let expected = json!({
        "verdict": "reject",
        "reason": "rejected_port: 10.96.0.1 is the ClusterIP of a service, but 81/TCP is none of its ports",
        "service": null,
        "frontend": null,
        "client": "pod",
        "candidates": [],
        "chosen": null,
        "source": "kept",
    });
    assert_eq!(value, expected);
}

#[test]
fn steps_tell_what_the_library_saw() {
    let answer = ask(&node(&manifests(), DETECTOR), "pod: 10.1.0.7 > 10.96.0.1:80/TCP").to_string();
    let mut place = 0;
    for part in [
        "forward: new",
        "1. 10.1.0.7, a client of the kind pod, asks 10.96.0.1:80 TCP by the pod door",
        "ADDRESSES: 10.96.0.1 is an address of a service",
        "FRONTENDS: 10.96.0.1:80 TCP is ClusterIP of test/web:http, whose Cluster set serves clients inside: 2 backends",
        "SLOTS: chance picks",
        "BACKENDS: record",
        "forward: new",
    ] {
        let found = answer[place..].find(part);
        place += found.unwrap_or_else(|| panic!("{part} is not where it belongs in:\n{answer}"));
    }
}

#[test]
fn where_the_hash_decides_the_answer_is_always_the_same() {
    let maglev =
        "---\napiVersion: kproxy.config.k8s.io/v1alpha1\nkind: KproxyConfiguration\nloadBalancing: maglev\n";
    let nodes = [0, 1].map(|_| node(&manifests(), &format!("{DETECTOR}{maglev}")));
    let mut chosen = BTreeSet::new();
    for port in 40_000..40_040 {
        let question = format!("198.51.100.7:{port} > 192.168.0.1:30080/TCP");
        let [answer, again] = nodes.each_ref().map(|node| ask(node, &question));
        assert_eq!(answer.chosen, again.chosen, "{question}");
        assert_eq!(answer.candidates, ["10.1.0.5:8080", "10.2.0.5:8080"]);
        assert_eq!(
            answer.reason,
            "new: a new connection, and the client's hash decides among the backends, the same at every node"
        );
        let text = answer.to_string();
        assert!(
            text.contains("serves clients outside: 1021 slots of a table"),
            "{text}"
        );
        assert!(text.contains("SLOTS: the client's hash picks"), "{text}");
        chosen.extend(answer.chosen);
    }
    assert_eq!(chosen.len(), 2);
    // Pods, and ClusterIPs of Services that do not ask for it themselves.
    for question in [
        "pod: 10.1.0.7 > 192.168.0.1:30080/TCP",
        "198.51.100.7 > 10.96.0.1:80/TCP",
    ] {
        let answer = ask(&nodes[0], question);
        assert_eq!(
            answer.reason,
            "new: a new connection, and chance decides among the backends"
        );
    }
}

fn kproxy(arguments: &[&str], input: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("all.yaml"), manifests()).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_kproxy"))
        .args(["explain", "--node", "here", "--manifests"])
        .arg(folder.path())
        .args(["--node-address", "192.168.0.1", "fd00::1"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let input = input.to_owned();
    // A thread of its own: both pipes fill up.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = process.wait_with_output().unwrap();
    // A process that ends early does not read everything.
    let _ = writer.join().unwrap();
    output
}

#[test]
fn the_command_answers_one_question() {
    let output = kproxy(
        &[
            "--from",
            "10.1.0.7",
            "--to",
            "10.96.0.1:80/tcp",
            "--via",
            "pod",
            "--device",
            "veth1",
            "-o",
            "json",
        ],
        "",
    );
    assert!(output.status.success(), "{output:?}");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&value["verdict"], &value["client"]),
        (&json!("forward"), &json!("pod"))
    );
    let output = kproxy(&["--from", "10.1.0.7", "--to", "10.96.0.1:80/TCP"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("forward: ") && text.contains("\n  1. "),
        "{text}"
    );
}

#[test]
fn wrong_arguments_are_named() {
    let to = ["--to", "10.96.0.1:80/TCP"];
    let rows: [(&[&str], &str); 5] = [
        (&["--from", "10.1.0"], "--from"),
        (&["--from", "10.1.0.7", "--via", "door"], "--via"),
        (&["--from", "fd00::7"], "--from"),
        (&[], "--from"),
        (&["--from", "10.1.0.7", "--cases", "-"], "--cases"),
    ];
    for (arguments, named) in rows {
        let output = kproxy(&[arguments, &to].concat(), "");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && error.contains(named),
            "{arguments:?}: {error}"
        );
    }
    let output = kproxy(&["--from", "10.1.0.7", "--to", "10.96.0.1"], "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("--to") && error.contains("10.96.0.1:80/TCP"),
        "{error}"
    );
}

#[test]
fn ten_thousand_cases_are_answered_in_their_order() {
    let mut lines = String::new();
    for number in 0..10_000 {
        let port = if number % 2 == 0 { 80 } else { 81 };
        let via = ["socket", "pod", "uplink"][number % 3];
        lines += &json!({"from": "10.1.0.7", "to": format!("10.96.0.1:{port}/TCP"), "via": via}).to_string();
        lines.push('\n');
    }
    let output = kproxy(&["--cases", "-"], &lines);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), 10_000);
    for (number, line) in answers.lines().enumerate() {
        let answer: Value = serde_json::from_str(line).unwrap();
        let expected = if number % 2 == 0 { "forward" } else { "reject" };
        assert_eq!(answer["verdict"], expected, "{number}: {line}");
    }
}

#[test]
fn bad_cases_say_so_in_their_line() {
    let good = r#"{"from": "10.1.0.7", "to": "10.96.0.1:80/TCP"}"#;
    let bad = [
        (r#"{"from": "10.1.0.7"}"#, "missing field `to`"),
        (r#"{"from": "10.1.0.7", "to": "10.96.0.1:80"}"#, "to: "),
        (
            r#"{"from": "fd00::7", "to": "10.96.0.1:80/TCP"}"#,
            "no packet has both",
        ),
        (
            r#"{"from": "10.1.0.7", "to": "10.96.0.1:80/TCP", "by": "pod"}"#,
            "unknown field `by`",
        ),
        (
            r#"{"from": "10.1.0.7", "to": "10.96.0.1:80/TCP", "via": "door"}"#,
            "unknown variant `door`",
        ),
        (
            r#"{"from": "10.1.0.7", "to": "10.96.0.1:80/TCP", "via": "socket", "device": "cni0"}"#,
            "comes in by no device",
        ),
        ("nonsense", "expected"),
    ];
    let mut input = format!("{good}\n\n");
    for (line, _) in bad {
        input += line;
        input.push('\n');
    }
    input += good;
    let output = kproxy(&["--cases", "-"], &input);
    assert!(!output.status.success(), "bad lines make the command fail");
    assert!(String::from_utf8_lossy(&output.stderr).contains("7 of the cases"));
    let answers: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 9);
    for (number, (line, expected)) in (1..).zip(bad) {
        let error = answers[number]["error"].as_str().unwrap();
        // The empty line counts, though it is not answered.
        assert!(
            error.starts_with(&format!("line {}: ", number + 2)),
            "{line}: {error}"
        );
        assert!(error.contains(expected), "{line}: {error}");
    }
    for number in [0, 8] {
        assert_eq!(answers[number]["verdict"], "forward");
    }
}
