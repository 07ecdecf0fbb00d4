//! Section 2: which endpoints there are to choose from.

use super::world::{POD, PORT, ask, node, outcome, service, slices};

#[test]
fn candidates_are_the_usable_endpoints_2e() {
    // What it shows; endpoints; outcome.
    let rows: [(&str, &[&str], &str); 6] = [
        (
            "2.22 ready ones",
            &["10.1.0.5", "10.2.0.5 serving"],
            "forward 10.1.0.5:8080",
        ),
        (
            "2.23 else terminating ones",
            &["10.1.0.5 serving terminating", "10.2.0.5 serving"],
            "forward 10.1.0.5:8080",
        ),
        ("2.26 not ready, not terminating", &["10.1.0.5 serving"], "reject"),
        (
            "2.27 ready and terminating",
            &["10.1.0.5 ready terminating"],
            "forward 10.1.0.5:8080",
        ),
        (
            "2.21 sorted as text",
            &["10.2.0.9", "10.2.0.10"],
            "forward 10.2.0.10:8080 10.2.0.9:8080",
        ),
        ("2.03 none at all", &[], "reject"),
    ];
    for (what, endpoints, expected) in rows {
        let node = node(
            &(service("  ports: [{port: 80}]\n") + &slices(PORT, endpoints)),
            "",
        );
        for door in ["socket", "pod"] {
            let answer = ask(&node, &format!("{door}: {POD} > 10.96.0.1:80/TCP"));
            assert_eq!(outcome(&answer), expected, "{what}: {answer}");
            let in_candidates = answer
                .chosen
                .iter()
                .all(|chosen| answer.candidates.contains(chosen));
            assert!(
                in_candidates && answer.chosen.is_some() == (expected != "reject"),
                "{what}: {answer}"
            );
        }
    }
}

#[test]
fn the_zone_is_the_node_s_2f() {
    let zone = "---\napiVersion: v1\nkind: Node\nmetadata: {name: here, labels: {topology.kubernetes.io/zone: east}}\nstatus: \
                {addresses: [{type: InternalIP, address: 192.168.0.1}]}\n";
    let hinted = slices(PORT, &["10.1.0.5", "10.2.0.5"])
        .replace(
            "nodeName: here",
            "nodeName: here\n  hints: {forZones: [{name: west}]}",
        )
        .replace(
            "nodeName: there",
            "nodeName: there\n  hints: {forZones: [{name: east}]}",
        );
    let manifests = service("  ports: [{port: 80}]\n") + &hinted;
    let question = format!("pod: {POD} > 10.96.0.1:80/TCP");
    let answer = ask(&node(&(manifests.clone() + zone), ""), &question);
    assert_eq!(outcome(&answer), "forward 10.2.0.5:8080", "2.33: {answer}");
    let answer = ask(&node(&manifests, ""), &question);
    assert_eq!(
        outcome(&answer),
        "forward 10.1.0.5:8080 10.2.0.5:8080",
        "2.38: {answer}"
    );
}
