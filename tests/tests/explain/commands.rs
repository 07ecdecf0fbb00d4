//! The commands on a node of network namespaces whose agent has programmed it.

use std::process::Command;

use kproxy_tests::cluster::process::binary;
use kproxy_tests::cluster::{AgentOptions, Cluster, Cni, Node};
use serde_json::{Value, json};

/// Two services; the second one has no endpoints.
fn manifests(pod: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: test}}\nspec: {{clusterIP: 10.96.0.1, ports: \
         [{{name: http, port: 80}}]}}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n\
         metadata: {{name: web-4, namespace: test, labels: {{kubernetes.io/service-name: web}}}}\nports: [{{name: http, \
         port: 8080, protocol: TCP}}]\nendpoints:\n- {{addresses: [{pod}], nodeName: a, conditions: {{ready: true}}}}\n- \
         {{addresses: [10.99.0.1], nodeName: b, conditions: {{ready: true}}}}\n---\napiVersion: v1\nkind: Service\n\
         metadata: {{name: empty, namespace: other}}\nspec: {{clusterIP: 10.96.0.2, ports: [{{port: 53, protocol: UDP}}]}}\n"
    )
}

/// Runs a kproxy command in the node's network, and gives whether it succeeded and what it wrote.
fn kproxy(node: &Node, arguments: &[&str]) -> (bool, String, String) {
    let program = binary("kproxy", "KPROXY_BINARY", "kproxy").unwrap();
    let output = node.host().namespace().run(|| {
        let mut command = Command::new(program);
        command.args(arguments).arg("--pin-dir").arg(node.pin_dir());
        command.output().unwrap()
    });
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn json(node: &Node, arguments: &[&str]) -> Value {
    let (success, out, error) = kproxy(node, &[arguments, &["-o", "json"]].concat());
    assert!(success, "{arguments:?}: {error}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_node_is_explained() {
    let cluster = Cluster::builder("explain")
        .cni(Cni::RoutedVeth)
        .node("a", |node| node.pod("pod-a"))
        .build()
        .unwrap();
    let node = cluster.node("a");
    let pod = cluster.pod("pod-a").v4().to_string();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), manifests(&pod)).unwrap();
    let agent = node.start_agent(&AgentOptions::manifests(folder.path())).unwrap();

    explain(node, &pod);
    services(node, &pod);
    // The agent goes; what it left is looked at just the same.
    agent.stop().unwrap();
    services(node, &pod);
    status(node);
}

fn explain(node: &Node, pod: &str) {
    let here = format!("{pod}:8080");
    let both = {
        let mut both = vec![here, "10.99.0.1:8080".to_owned()];
        both.sort();
        json!(both)
    };
    let own = node.host().v4().to_string();
    // Who asks; whom; further arguments; verdict, client, candidates.
    let rows = [
        (pod, "10.96.0.1:80/TCP", None, "forward", "pod", both.clone()),
        (
            pod,
            "10.96.0.1:80/TCP",
            Some("socket"),
            "forward",
            "pod",
            both.clone(),
        ),
        (
            own.as_str(),
            "10.96.0.1:80/TCP",
            None,
            "forward",
            "node",
            both.clone(),
        ),
        (
            "198.51.100.7",
            "10.96.0.1:80/TCP",
            None,
            "forward",
            "external",
            both,
        ),
        (pod, "10.96.0.2:53/UDP", None, "reject", "pod", json!([])),
        (
            own.as_str(),
            "10.96.0.2:53/UDP",
            None,
            "reject",
            "node",
            json!([]),
        ),
        (pod, "10.96.0.1:81/TCP", None, "reject", "pod", json!([])),
        (
            own.as_str(),
            "10.96.0.1:81/TCP",
            None,
            "reject",
            "node",
            json!([]),
        ),
        (pod, "10.3.0.1:80/TCP", None, "pass", "pod", json!([])),
    ];
    for (from, to, via, verdict, client, candidates) in rows {
        let mut arguments = vec!["explain", "--from", from, "--to", to];
        arguments.extend(via.map(|_| "--via"));
        arguments.extend(via);
        let answer = json(node, &arguments);
        let seen = (&answer["verdict"], &answer["client"], &answer["candidates"]);
        assert_eq!(
            seen,
            (&json!(verdict), &json!(client), &candidates),
            "{arguments:?}: {answer}"
        );
    }
    let (_, text, _) = kproxy(node, &["explain", "--from", pod, "--to", "10.96.0.1:80/TCP"]);
    assert!(text.contains("the kernel ran the loaded program"), "{text}");
    assert!(text.contains("test/web:http"), "{text}");
    let flows = json(node, &["status"])["maps"].clone();
    for map in flows.as_array().unwrap() {
        let is_flow = map["map"].as_str().unwrap().contains("FLOWS");
        assert!(
            !is_flow || map["entries"] == 0,
            "a question has left a trace: {map}"
        );
    }
}

fn services(node: &Node, pod: &str) {
    let all = json(node, &["services"]);
    let names: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["service"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["other/empty:53", "test/web:http"]);
    let web = json!([{
        "service": "test/web:http",
        "namespace": "test",
        "name": "web",
        "frontends": [{
            "kind": "ClusterIP", "address": "10.96.0.1", "port": 80, "protocol": "TCP", "inside": 2, "outside": 2,
            "outsideLocal": false, "affinitySeconds": 0, "maglev": false, "restricted": false,
        }],
        "endpoints": all[1]["endpoints"],
    }]);
    let mut endpoints = vec![
        (format!("{pod}:8080"), true),
        ("10.99.0.1:8080".to_owned(), false),
    ];
    endpoints.sort();
    let endpoints = endpoints
        .into_iter()
        .map(|(endpoint, local)| json!({"endpoint": endpoint, "local": local, "usable": true}));
    assert_eq!(web[0]["endpoints"], endpoints.collect::<Value>());
    for arguments in [
        &["services", "web"][..],
        &["services", "test/web"],
        &["services", "-n", "test"],
    ] {
        assert_eq!(json(node, arguments), web, "{arguments:?}");
    }
    for arguments in [
        &["services", "nobody"][..],
        &["services", "other/web"],
        &["services", "web", "-n", "other"],
    ] {
        let (success, _, error) = kproxy(node, arguments);
        assert!(!success && error.contains("no service"), "{arguments:?}: {error}");
    }
    let (_, text, _) = kproxy(node, &["services"]);
    assert!(text.starts_with("SERVICE"), "{text}");
    assert!(
        text.contains("10.96.0.1:80/TCP") && text.contains(&format!("{pod}:8080(local)")),
        "{text}"
    );
}

fn status(node: &Node) {
    let status = json(node, &["status"]);
    let programs = status["programs"].as_array().unwrap();
    let program = |name: &str| {
        let found = programs.iter().find(|it| it["program"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {status}"))["places"].clone()
    };
    assert_eq!(program("connect4"), json!([node.cgroup()]));
    assert_eq!(program("pod_ingress"), program("pod_egress"));
    assert!(
        program("pod_ingress")[0].as_str().unwrap().starts_with("pod"),
        "{status}"
    );
    let frontends = status["maps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["map"] == "FRONTENDS")
        .unwrap();
    assert_eq!(frontends["entries"], 2);
    assert!(frontends["capacity"].as_u64().unwrap() > 2);
    let (success, text, _) = kproxy(node, &["status"]);
    assert!(success, "{text}");
    for part in ["layout", "PROGRAM", "pod_ingress", "FRONTENDS", "OUTCOME"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
