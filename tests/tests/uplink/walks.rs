//! Whom a backend sees, and who answers a client outside.

use kproxy_tests::cluster::Cni;

use super::stage::{FAR, HOWS, NEAR, Stage};

/// Policy Cluster: the client is kept where the backend is here, on purpose, and is the node elsewhere (3.33, 5.04).
#[test]
fn clients_outside_reach_backends_on_the_node_and_elsewhere() {
    let stage = Stage::new("walks", Cni::RoutedVeth, &[]);
    let node = stage.cluster.node("a").host().addresses().both();
    let client = stage.client().addresses().both();
    for how in HOWS {
        for (node, client) in node.into_iter().zip(client) {
            let report = stage.ask(NEAR, node, how);
            stage.assert_answered(NEAR, &report, client);
            let report = stage.ask(FAR, node, how);
            stage.assert_answered(FAR, &report, node);
        }
    }
}
