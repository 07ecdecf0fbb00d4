//! What a file may say, and what it means when it says nothing.

use super::*;

#[test]
fn defaults_10_02() {
    let loaded = with_file(KUBE_PROXY, &[]).expect("a configuration");
    assert_eq!(
        loaded,
        Loaded {
            file: loaded.file.clone(),
            ..with_flags(&[]).expect("defaults")
        }
    );
    let document = document(&loaded);
    for (path, expected) in [
        ("/apiVersion", json!("kubeproxy.config.k8s.io/v1alpha1")),
        ("/kind", json!("KubeProxyConfiguration")),
        ("/bindAddress", json!("0.0.0.0")),
        ("/healthzBindAddress", json!("0.0.0.0:10256")),
        ("/metricsBindAddress", json!("127.0.0.1:10249")),
        (
            "/clientConnection/contentType",
            json!("application/vnd.kubernetes.protobuf"),
        ),
        ("/clientConnection/qps", json!(5.0)),
        ("/clientConnection/burst", json!(10)),
        ("/clusterCIDR", json!("")),
        ("/detectLocalMode", json!("ClusterCIDR")),
        ("/nodePortAddresses", json!(["primary"])),
        ("/mode", json!("")),
        ("/iptables/masqueradeBit", json!(14)),
        ("/iptables/localhostNodePorts", json!(true)),
        ("/iptables/syncPeriod", json!("30s")),
        ("/iptables/minSyncPeriod", json!("1s")),
        ("/nftables/masqueradeBit", json!(14)),
        ("/nftables/syncPeriod", json!("30s")),
        ("/nftables/minSyncPeriod", json!("1s")),
        ("/ipvs/syncPeriod", json!("30s")),
        ("/ipvs/minSyncPeriod", json!("0s")),
        ("/conntrack/maxPerCore", json!(32_768)),
        ("/conntrack/min", json!(131_072)),
        ("/conntrack/tcpEstablishedTimeout", json!("24h0m0s")),
        ("/conntrack/tcpCloseWaitTimeout", json!("1h0m0s")),
        ("/conntrack/tcpBeLiberal", json!(false)),
        ("/conntrack/udpTimeout", json!("0s")),
        ("/conntrack/udpStreamTimeout", json!("0s")),
        ("/configSyncPeriod", json!("15m0s")),
        ("/oomScoreAdj", json!(-999)),
        ("/logging/format", json!("text")),
        ("/logging/flushFrequency", json!("5s")),
        ("/featureGates", json!({})),
    ] {
        assert_eq!(document.pointer(path), Some(&expected), "{path}");
    }
}

#[test]
fn a_default_may_depend_on_the_primary_family_10a() {
    for (file, healthz, metrics) in [
        ("bindAddress: '::'", "[::]:10256", "[::1]:10249"),
        (
            "bindAddress: fd00::1\nhealthzBindAddress: fd00::1",
            "[fd00::1]:10256",
            "[::1]:10249",
        ),
        (
            "healthzBindAddress: 10.0.0.1\nmetricsBindAddress: 0.0.0.0:9",
            "10.0.0.1:10256",
            "0.0.0.0:9",
        ),
    ] {
        let config = with_file(&format!("{KUBE_PROXY}{file}"), &[])
            .expect("a configuration")
            .config;
        assert_eq!(
            config.healthz.map(|address| address.to_string()).as_deref(),
            Some(healthz),
            "{file}"
        );
        assert_eq!(config.metrics.to_string(), metrics, "{file}");
    }
}

#[test]
fn what_is_not_known_is_noted_and_ignored_10_01() {
    let text = format!(
        "{KUBE_PROXY}tomorrow: 1\niptables: {{masqueradeAll: false, also: {{deep: 1}}}}\nmode: nftables\nmode: ipvs\n"
    );
    let loaded = with_file(&text, &[]).expect("a configuration");
    assert_eq!(loaded.config.mode, Mode::Ipvs, "the last one counts");
    let told = loaded.notes.join("\n");
    for expected in [
        "KubeProxyConfiguration.tomorrow",
        "KubeProxyConfiguration.iptables.also",
        "KubeProxyConfiguration.mode",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn files_that_are_no_configuration_are_refused_10_01() {
    let rows = [
        ("nothing in it", String::new(), "empty"),
        ("only a comment", "# nothing\n".into(), "empty"),
        ("no YAML", format!("{KUBE_PROXY}mode: [\n"), "not YAML"),
        ("no document", "mode\n".into(), "kind \"\""),
        ("no kind", "mode: ipvs\n".into(), "kind \"\""),
        (
            "another kind",
            "apiVersion: v1\nkind: ConfigMap\n".into(),
            "kind \"ConfigMap\"",
        ),
        (
            "another version",
            KUBE_PROXY.replace("v1alpha1", "v1"),
            "KubeProxyConfiguration",
        ),
        ("twice", format!("{KUBE_PROXY}---\n{KUBE_PROXY}"), "two documents"),
        (
            "a text for a number",
            format!("{KUBE_PROXY}conntrack: {{min: many}}\n"),
            "KubeProxyConfiguration.conntrack.min:",
        ),
        (
            "10.03 no unit",
            format!("{KUBE_PROXY}configSyncPeriod: '30'\n"),
            "KubeProxyConfiguration.configSyncPeriod:",
        ),
        (
            "10.03 a number",
            format!("{KUBE_PROXY}configSyncPeriod: 30\n"),
            "KubeProxyConfiguration.configSyncPeriod:",
        ),
        (
            "a text for a list",
            format!("{KUBE_PROXY}nodePortAddresses: primary\n"),
            "KubeProxyConfiguration.nodePortAddresses:",
        ),
        (
            "own document",
            format!("{OWN}sizes: {{flows: x}}\n"),
            "KproxyConfiguration.sizes.flows:",
        ),
    ];
    for (what, text, expected) in rows {
        let error = with_file(&text, &[]).expect_err(what);
        assert!(
            error.contains("the configuration file") && error.contains(expected),
            "{what}: {error}"
        );
    }
    let mut missing = arguments(&[]);
    missing.config = Some("/nonexistent/config".into());
    let error = load(&missing).expect_err("no file").to_string();
    assert!(error.contains("/nonexistent/config"), "{error}");
}
