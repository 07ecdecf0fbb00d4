use serde_json::{Value, json};

use super::*;

/// Interprets a document with these fields over the defaults, and kproxy's own one.
fn interpret(fields: &Value, own: &Value) -> Result<Config, Vec<String>> {
    let defaults = KubeProxyConfiguration::default().with_defaults();
    let mut document = serde_json::to_value(defaults).expect("JSON");
    json_patch::merge(&mut document, fields);
    let document = serde_json::from_value(document).expect("a document");
    let own = serde_json::from_value(own.clone()).expect("a document");
    Config::new(document, own, "here".into(), None)
        .map_err(|error| error.problems.iter().map(ToString::to_string).collect())
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn every_wrong_field_is_named() {
    // What it shows; the fields; the paths that are named.
    let rows: Vec<(&str, Value, &[&str])> = vec![
        (
            "10.04 bindAddress",
            json!({"bindAddress": "host"}),
            &["bindAddress"],
        ),
        (
            "10.04 no address",
            json!({"healthzBindAddress": "host:1"}),
            &["healthzBindAddress"],
        ),
        (
            "10.04 no port",
            json!({"healthzBindAddress": "10.0.0.1"}),
            &["healthzBindAddress"],
        ),
        (
            "10.04 no brackets",
            json!({"healthzBindAddress": "fd00::1:10256"}),
            &["healthzBindAddress"],
        ),
        (
            "10.04 port 0",
            json!({"metricsBindAddress": "10.0.0.1:0"}),
            &["metricsBindAddress"],
        ),
        (
            "10.04 port 65536",
            json!({"metricsBindAddress": "10.0.0.1:65536"}),
            &["metricsBindAddress"],
        ),
        (
            "10.04 healthz may be empty",
            json!({"healthzBindAddress": ""}),
            &[],
        ),
        (
            "10.04 metrics may not",
            json!({"metricsBindAddress": ""}),
            &["metricsBindAddress"],
        ),
        (
            "10.04 syncPeriod",
            json!({"iptables": {"syncPeriod": "-1s"}}),
            &["iptables.syncPeriod", "iptables.syncPeriod"],
        ),
        (
            "10.04 syncPeriod 0",
            json!({"iptables": {"syncPeriod": "0s", "minSyncPeriod": "0s"}}),
            &["iptables.syncPeriod"],
        ),
        (
            "10.04 minSyncPeriod",
            json!({"nftables": {"minSyncPeriod": "-1s"}}),
            &["nftables.minSyncPeriod"],
        ),
        (
            "10.04 minSyncPeriod 0",
            json!({"nftables": {"minSyncPeriod": "0s"}}),
            &[],
        ),
        (
            "10.04 the least above the other",
            json!({"nftables": {"minSyncPeriod": "31s"}}),
            &["nftables.syncPeriod"],
        ),
        (
            "10.11 ipvs in another mode",
            json!({"ipvs": {"tcpTimeout": "-1s"}}),
            &[],
        ),
        (
            "10.11 ipvs in its mode",
            json!({"mode": "ipvs", "ipvs": {"tcpTimeout": "-1s"}}),
            &["ipvs.tcpTimeout"],
        ),
        (
            "10.04 configSyncPeriod",
            json!({"configSyncPeriod": "0s"}),
            &["configSyncPeriod"],
        ),
        (
            "10.04 masqueradeBit",
            json!({"iptables": {"masqueradeBit": 32}}),
            &["iptables.masqueradeBit"],
        ),
        (
            "10.04 masqueradeBit",
            json!({"nftables": {"masqueradeBit": -1}}),
            &["nftables.masqueradeBit"],
        ),
        (
            "10.04 conntrack",
            json!({"conntrack": {
                "maxPerCore": -1, "min": -1, "tcpEstablishedTimeout": "-1s", "tcpCloseWaitTimeout": "-1s",
                "udpTimeout": "-1s", "udpStreamTimeout": "-1s",
            }}),
            &[
                "conntrack.maxPerCore",
                "conntrack.min",
                "conntrack.tcpEstablishedTimeout",
                "conntrack.tcpCloseWaitTimeout",
                "conntrack.udpTimeout",
                "conntrack.udpStreamTimeout",
            ],
        ),
        (
            "10.04 burst",
            json!({"clientConnection": {"burst": -1}}),
            &["clientConnection.burst"],
        ),
        (
            "10a oomScoreAdj",
            json!({"oomScoreAdj": -1_001}),
            &["oomScoreAdj"],
        ),
        ("10.04 mode", json!({"mode": "userspace"}), &["mode"]),
        (
            "10.04 clusterCIDR",
            json!({"clusterCIDR": "10.0.0.0/8,fd00::"}),
            &["clusterCIDR[1]"],
        ),
        (
            "10.04 two of a family",
            json!({"clusterCIDR": "10.0.0.0/8, 11.0.0.0/8"}),
            &["clusterCIDR"],
        ),
        (
            "10.04 one of each",
            json!({"clusterCIDR": "10.0.0.0/8, fd00::/64"}),
            &[],
        ),
        (
            "10.04 nodePortAddresses",
            json!({"nodePortAddresses": ["10.0.0.0/8", "10.0.0.1"]}),
            &["nodePortAddresses[1]"],
        ),
        (
            "3.19 primary and more",
            json!({"nodePortAddresses": ["10.0.0.0/8", "primary"]}),
            &["nodePortAddresses[1]"],
        ),
        (
            "5.17 detectLocalMode",
            json!({"detectLocalMode": "Guess"}),
            &["detectLocalMode"],
        ),
        ("5.17 empty", json!({"detectLocalMode": ""}), &[]),
        (
            "10a no bridge",
            json!({"detectLocalMode": "BridgeInterface"}),
            &["detectLocal.bridgeInterface"],
        ),
        (
            "10a no prefix",
            json!({"detectLocalMode": "InterfaceNamePrefix"}),
            &["detectLocal.interfaceNamePrefix"],
        ),
        (
            "logging.format",
            json!({"logging": {"format": "xml"}}),
            &["logging.format"],
        ),
        (
            "10.04 all at once",
            json!({"mode": "x", "bindAddress": "x", "nodePortAddresses": ["x", "y"]}),
            &[
                "bindAddress",
                "mode",
                "nodePortAddresses[0]",
                "nodePortAddresses[1]",
            ],
        ),
    ];
    for (what, fields, paths) in rows {
        let told = interpret(&fields, &json!({})).err().unwrap_or_default();
        assert_eq!(told.len(), paths.len(), "{what}: {told:?}");
        for (told, path) in told.iter().zip(paths) {
            assert!(
                told.starts_with(&format!("KubeProxyConfiguration.{path}: ")),
                "{what}: {told}"
            );
        }
    }
}

#[test]
fn wrong_fields_of_the_own_document_are_named() {
    let rows = [
        (json!({"pinDir": "kproxy"}), "pinDir"),
        (json!({"pinDir": "/"}), "pinDir"),
        (json!({"netnsDirs": ["/run/netns", "netns"]}), "netnsDirs[1]"),
        (
            json!({"serviceNodePortRange": "30000 to 32767"}),
            "serviceNodePortRange",
        ),
        (
            json!({"serviceNodePortRange": "32767-30000"}),
            "serviceNodePortRange",
        ),
        (
            json!({"serviceNodePortRange": "1024-65535"}),
            "serviceNodePortRange",
        ),
        (json!({"sizes": {"newFlows": 1}}), "sizes.newFlows"),
        (json!({"podDevices": ["a{b,c}"]}), "podDevices"),
        (json!({"uplinkDevices": [""]}), "uplinkDevices"),
        (
            json!({"podDevices": ["eth0"], "uplinkDevices": ["eth0"]}),
            "podDevices",
        ),
    ];
    for (own, path) in rows {
        let told = interpret(&json!({}), &own).expect_err("wrong");
        assert!(
            told.len() == 1 && told[0].starts_with(&format!("KproxyConfiguration.{path}: ")),
            "{own}: {told:?}"
        );
    }
}

#[test]
fn detectors_come_from_their_mode() {
    use crate::config::LocalDetector;
    let name = "cni0";
    let detect_local = json!({"bridgeInterface": name, "interfaceNamePrefix": name});
    let rows = [
        ("5.17 no range", "ClusterCIDR", "", LocalDetector::None),
        (
            "5.13",
            "ClusterCIDR",
            "10.0.0.0/8",
            LocalDetector::of_cidrs(&[crate::model::parse_cidr("10.0.0.0/8").expect("a range")]),
        ),
        ("5.14", "NodeCIDR", "10.0.0.0/8", LocalDetector::NodeCidr),
        (
            "5.15",
            "BridgeInterface",
            "",
            LocalDetector::BridgeInterface(name.into()),
        ),
        (
            "5.15",
            "InterfaceNamePrefix",
            "",
            LocalDetector::InterfaceNamePrefix(name.into()),
        ),
    ];
    for (what, mode, cluster_cidr, expected) in rows {
        let fields =
            json!({"detectLocalMode": mode, "clusterCIDR": cluster_cidr, "detectLocal": detect_local});
        assert_eq!(
            interpret(&fields, &json!({})).expect("a configuration").detector,
            expected,
            "{what}"
        );
    }
}

#[test]
fn zero_leaves_conntrack_alone() {
    let fields = json!({"conntrack": {
        "maxPerCore": 0, "min": 5, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
    }});
    let conntrack = interpret(&fields, &json!({})).expect("a configuration").conntrack;
    assert_eq!(conntrack, crate::config::Conntrack::default(), "7.14, 7.16, 7.18");
}
