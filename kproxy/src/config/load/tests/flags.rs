//! What every flag of kube-proxy's writes into its document.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn every_flag_says_what_its_field_says_10_07_10_11() {
    // The flag, and what it writes into the document.
    let rows: &[(&str, &[(&str, Value)])] = &[
        ("--bind-address=10.0.0.1", &[("/bindAddress", json!("10.0.0.1"))]),
        (
            "--healthz-bind-address=10.0.0.1:1",
            &[("/healthzBindAddress", json!("10.0.0.1:1"))],
        ),
        (
            "--metrics-bind-address=[fd00::1]:1",
            &[("/metricsBindAddress", json!("[fd00::1]:1"))],
        ),
        (
            "--bind-address-hard-fail",
            &[("/bindAddressHardFail", json!(true))],
        ),
        ("--profiling=true", &[("/enableProfiling", json!(true))]),
        (
            "--show-hidden-metrics-for-version=1.35",
            &[("/showHiddenMetricsForVersion", json!("1.35"))],
        ),
        ("--proxy-mode=nftables", &[("/mode", json!("nftables"))]),
        (
            "--kubeconfig=/k",
            &[("/clientConnection/kubeconfig", json!("/k"))],
        ),
        (
            "--kube-api-content-type=application/json",
            &[("/clientConnection/contentType", json!("application/json"))],
        ),
        ("--kube-api-burst=7", &[("/clientConnection/burst", json!(7))]),
        ("--kube-api-qps=2.5", &[("/clientConnection/qps", json!(2.5))]),
        (
            "--cluster-cidr=10.0.0.0/8",
            &[("/clusterCIDR", json!("10.0.0.0/8"))],
        ),
        (
            "--detect-local-mode=NodeCIDR",
            &[("/detectLocalMode", json!("NodeCIDR"))],
        ),
        (
            "--pod-bridge-interface=cni0",
            &[("/detectLocal/bridgeInterface", json!("cni0"))],
        ),
        (
            "--pod-interface-name-prefix=veth",
            &[("/detectLocal/interfaceNamePrefix", json!("veth"))],
        ),
        (
            "--nodeport-addresses=10.0.0.0/8,::/0",
            &[("/nodePortAddresses", json!(["10.0.0.0/8", "::/0"]))],
        ),
        (
            "--masquerade-all",
            &[
                ("/iptables/masqueradeAll", json!(true)),
                ("/nftables/masqueradeAll", json!(true)),
            ],
        ),
        (
            "--iptables-masquerade-bit=9",
            &[("/iptables/masqueradeBit", json!(9))],
        ),
        (
            "--iptables-localhost-nodeports=false",
            &[("/iptables/localhostNodePorts", json!(false))],
        ),
        // 10.10
        (
            "--iptables-sync-period=40s",
            &[
                ("/iptables/syncPeriod", json!("40s")),
                ("/nftables/syncPeriod", json!("40s")),
            ],
        ),
        (
            "--iptables-min-sync-period=0s",
            &[
                ("/iptables/minSyncPeriod", json!("0s")),
                ("/nftables/minSyncPeriod", json!("0s")),
            ],
        ),
        (
            "--ipvs-exclude-cidrs=10.0.0.0/8",
            &[("/ipvs/excludeCIDRs", json!(["10.0.0.0/8"]))],
        ),
        (
            "--ipvs-min-sync-period=2s",
            &[("/ipvs/minSyncPeriod", json!("2s"))],
        ),
        ("--ipvs-scheduler=rr", &[("/ipvs/scheduler", json!("rr"))]),
        ("--ipvs-strict-arp", &[("/ipvs/strictARP", json!(true))]),
        ("--ipvs-sync-period=31s", &[("/ipvs/syncPeriod", json!("31s"))]),
        ("--ipvs-tcp-timeout=1s", &[("/ipvs/tcpTimeout", json!("1s"))]),
        (
            "--ipvs-tcpfin-timeout=1s",
            &[("/ipvs/tcpFinTimeout", json!("1s"))],
        ),
        ("--ipvs-udp-timeout=1s", &[("/ipvs/udpTimeout", json!("1s"))]),
        (
            "--conntrack-max-per-core=0",
            &[("/conntrack/maxPerCore", json!(0))],
        ),
        ("--conntrack-min=1", &[("/conntrack/min", json!(1))]),
        (
            "--conntrack-tcp-timeout-established=1h",
            &[("/conntrack/tcpEstablishedTimeout", json!("1h0m0s"))],
        ),
        (
            "--conntrack-tcp-timeout-close-wait=0",
            &[("/conntrack/tcpCloseWaitTimeout", json!("0s"))],
        ),
        (
            "--conntrack-tcp-be-liberal",
            &[("/conntrack/tcpBeLiberal", json!(true))],
        ),
        (
            "--conntrack-udp-timeout=1s",
            &[("/conntrack/udpTimeout", json!("1s"))],
        ),
        (
            "--conntrack-udp-timeout-stream=1s",
            &[("/conntrack/udpStreamTimeout", json!("1s"))],
        ),
        ("--config-sync-period=1m", &[("/configSyncPeriod", json!("1m0s"))]),
        ("--oom-score-adj=-5", &[("/oomScoreAdj", json!(-5))]),
        (
            "--feature-gates=AllowServiceExternalIPs=false,X=true",
            &[(
                "/featureGates",
                json!({"AllowServiceExternalIPs": false, "X": true}),
            )],
        ),
        // 10.08
        (
            "--healthz-port=1",
            &[("/healthzBindAddress", json!("0.0.0.0:10256"))],
        ),
        ("--healthz-port=0", &[("/healthzBindAddress", json!(""))]),
        (
            "--healthz-bind-address=10.0.0.1 --healthz-port=1",
            &[("/healthzBindAddress", json!("10.0.0.1:1"))],
        ),
        (
            "--metrics-bind-address=fd00::1 --metrics-port=1",
            &[("/metricsBindAddress", json!("[fd00::1]:1"))],
        ),
        (
            "--healthz-bind-address=10.0.0.1",
            &[("/healthzBindAddress", json!("10.0.0.1:10256"))],
        ),
        // 10.09
        (
            "--healthz-bind-address=",
            &[("/healthzBindAddress", json!("0.0.0.0:10256"))],
        ),
        (
            "--metrics-bind-address=",
            &[("/metricsBindAddress", json!("127.0.0.1:10249"))],
        ),
        (
            "--nodeport-addresses=",
            &[("/nodePortAddresses", json!(["primary"]))],
        ),
        // The log's, 10.06.
        ("-v=4", &[("/logging/verbosity", json!(4))]),
        ("--v=4", &[("/logging/verbosity", json!(4))]),
        (
            "--vmodule=a=1",
            &[("/logging/vmodule", json!([{"filePattern": "a", "verbosity": 1}]))],
        ),
        ("--logging-format=json", &[("/logging/format", json!("json"))]),
        (
            "--log-flush-frequency=1s",
            &[("/logging/flushFrequency", json!("1s"))],
        ),
        (
            "--log-text-split-stream",
            &[("/logging/options/text/splitStream", json!(true))],
        ),
        (
            "--log-text-info-buffer-size=1Ki",
            &[("/logging/options/text/infoBufferSize", json!("1Ki"))],
        ),
        (
            "--log-json-split-stream",
            &[("/logging/options/json/splitStream", json!(true))],
        ),
        (
            "--log-json-info-buffer-size=1Ki",
            &[("/logging/options/json/infoBufferSize", json!("1Ki"))],
        ),
    ];
    let plain = document(&with_flags(&[]).expect("defaults"));
    for (flags, written) in rows {
        let arguments = arguments(&flags.split(' ').collect::<Vec<_>>());
        let (merged, _) = merge(&arguments, None, &mut Vec::new());
        let mut expected = plain.clone();
        for (path, value) in *written {
            let (parent, field) = path.rsplit_once('/').expect("a path");
            expected.pointer_mut(parent).expect("a section")[field] = value.clone();
        }
        assert_eq!(serde_json::to_value(merged).expect("JSON"), expected, "{flags}");
    }
}

#[test]
fn ports_of_0_10_08() {
    assert_eq!(
        with_flags(&["--healthz-port=0"])
            .expect("no health server")
            .config
            .healthz,
        None
    );
    let error = with_flags(&["--metrics-port=0"]).expect_err("no metrics server");
    assert!(
        error.contains("KubeProxyConfiguration.metricsBindAddress"),
        "{error}"
    );
}
