//! From command lines and files to configurations.

mod files;
mod flags;

use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::cli::{Cli, Command, LogFormat};
use crate::config::{GoDuration, LocalDetector, Mode, NodePortAddresses, PortRange};
use crate::dataplane::{DeviceHooks, XdpMode};
use crate::model::LoadBalancing;

const KUBEADM: &str = include_str!("kubeadm.yaml");
const KUBE_PROXY: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
const OWN: &str = "apiVersion: kproxy.config.k8s.io/v1alpha1\nkind: KproxyConfiguration\n";

fn arguments(arguments: &[&str]) -> RunArgs {
    let all = ["kproxy", "run"].iter().chain(arguments);
    let Command::Run(run) = Cli::try_parse_from(all).expect("arguments").command else {
        panic!("{arguments:?} are not for `kproxy run`");
    };
    *run
}

/// With a file of this text.
fn with_file(text: &str, more: &[&str]) -> Result<Loaded, String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("written");
    let mut arguments = arguments(more);
    arguments.config = Some(file.path().to_owned());
    load(&arguments).map_err(|error| format!("{error:#}"))
}

fn with_flags(flags: &[&str]) -> Result<Loaded, String> {
    load(&arguments(flags)).map_err(|error| format!("{error:#}"))
}

/// The document of these flags, or of this file.
fn document(loaded: &Loaded) -> Value {
    serde_json::to_value(&loaded.config.document).expect("JSON")
}

#[test]
fn a_file_of_kubeadm_is_accepted_unchanged_10_01_10_02() {
    let loaded = with_file(KUBEADM, &[]).expect("a configuration");
    let config = &loaded.config;
    let kubeconfig = config.connection.kubeconfig.as_deref();
    assert_eq!(kubeconfig, Some(Path::new("/var/lib/kube-proxy/kubeconfig.conf")));
    assert_eq!(
        config.healthz.map(|address| address.to_string()).as_deref(),
        Some("0.0.0.0:10256")
    );
    assert_eq!(config.metrics.to_string(), "127.0.0.1:10249");
    assert_eq!(config.bind_address, None);
    assert_eq!(config.mode, Mode::Nftables, "9.17");
    assert_eq!(config.node_port_addresses, NodePortAddresses::Primary, "3.16");
    assert!(config.localhost_node_ports, "3.27");
    assert!(
        matches!(
            config.detector,
            LocalDetector::ClusterCidr {
                v4: Some(_),
                v6: Some(_)
            }
        ),
        "5.13, 5.17"
    );
    assert_eq!(config.sync_period.as_secs(), 30);
    assert_eq!(config.oom_score_adj, -999);
    assert!(config.allow_external_ips, "1.23");
    // The only thing to be told is 3.26.
    let notes = &loaded.notes;
    assert!(
        notes.len() == 1 && notes[0].contains("nodePortAddresses"),
        "{notes:?}"
    );
    // What kube-proxy would run with, 10a.
    let mut plain = KubeProxyConfiguration::default().with_defaults();
    plain.client_connection.kubeconfig = "/var/lib/kube-proxy/kubeconfig.conf".into();
    plain.cluster_cidr = "10.244.0.0/16,fd00:10:244::/56".into();
    assert_eq!(config.document, plain);
}

#[test]
fn with_a_file_most_flags_are_ignored_10_06() {
    let text = format!(
        "{KUBE_PROXY}mode: iptables\nhostnameOverride: of-the-file\nclusterCIDR: 10.0.0.0/8\n\
         logging: {{verbosity: 2, format: text, vmodule: [{{filePattern: devices, verbosity: 4}}]}}\n"
    );
    let flags = [
        "--proxy-mode=ipvs",
        "--cluster-cidr",
        "10.1.0.0/16",
        "--masquerade-all",
        "--hostname-override",
        " Of-The-Flag ",
        "--master",
        "https://10.0.0.1:6443",
        "-v",
        "5",
        "--vmodule",
        "index=6",
        "--logging-format=json",
    ];
    let loaded = with_file(&text, &flags).expect("a configuration");
    let config = &loaded.config;
    assert_eq!(config.mode, Mode::Iptables);
    assert_eq!(config.document.cluster_cidr, "10.0.0.0/8");
    assert!(!config.masquerade_all);
    let ignored: Vec<_> = loaded
        .notes
        .iter()
        .filter(|note| note.contains("--config"))
        .collect();
    assert_eq!(ignored.len(), 1);
    assert!(
        ignored[0].ends_with("--cluster-cidr --masquerade-all --proxy-mode"),
        "{ignored:?}"
    );
    // These win.
    assert_eq!(config.node_name, "of-the-flag");
    assert_eq!(
        config.document.hostname_override, "of-the-flag",
        "as /configz shows it"
    );
    assert_eq!(config.connection.master.as_deref(), Some("https://10.0.0.1:6443"));
    assert_eq!(config.document.logging.verbosity, 5);
    assert_eq!(config.own.log_format, LogFormat::Json);
    let modules: Vec<_> = config
        .document
        .logging
        .vmodule
        .iter()
        .map(|of| of.file_pattern.as_str())
        .collect();
    assert_eq!(modules, ["index", "devices"], "the flag's first");
}

#[test]
fn node_names_10a() {
    let named = |text: &str| with_file(&format!("{KUBE_PROXY}{text}"), &[]);
    let name = named("hostnameOverride: ' Node-1 '")
        .expect("a name")
        .config
        .node_name;
    assert_eq!(name, "node-1");
    assert!(
        named("hostnameOverride: '  '")
            .expect_err("blank")
            .contains("hostname")
    );
    assert!(
        with_flags(&["--hostname-override", " "])
            .expect_err("blank")
            .contains("hostname")
    );
}

#[test]
fn own_settings_come_from_the_second_document_and_flags_win() {
    let text = format!(
        "{KUBEADM}---\n{OWN}pinDir: /sys/fs/bpf/of-the-file\ncgroup: /c\npodDevices: [pod*]\nlogFormat: json\n\
         sizes: {{flows: 4096, backends: 100, affinity: 2048}}\ndeviceHooks: clsact\nxdp: native\nloadBalancing: maglev\nnetnsDirs: [/n]\nremoveKubeProxyRules: true\n\
         serviceNodePortRange: 20000-22767\nmore: 1\n"
    );
    let own = with_file(&text, &[]).expect("a configuration").config.own;
    assert_eq!(own.pin_dir, Path::new("/sys/fs/bpf/of-the-file"));
    assert_eq!(own.cgroup.as_deref(), Some(Path::new("/c")));
    assert!(own.devices.pods.matches("pod1") && !own.devices.uplinks.is_given());
    assert_eq!(own.log_format, LogFormat::Json);
    assert_eq!(
        (own.sizes.flows, own.sizes.backends, own.sizes.slots),
        (Some(4_096), Some(100), None)
    );
    assert_eq!(own.sizes.affinity, Some(2_048));
    assert_eq!(own.netns_dirs, [Path::new("/n")]);
    assert!(own.remove_kube_proxy_rules);
    assert_eq!(own.device_hooks, Some(DeviceHooks::Clsact));
    assert_eq!(own.xdp, XdpMode::Native);
    assert_eq!(own.load_balancing, LoadBalancing::Maglev);
    assert_eq!(own.node_port_range.ports(), 20_000..=22_767);

    let flags = [
        "--pin-dir=/sys/fs/bpf/of-the-flag",
        "--uplink-devices=eth0",
        "--log-format=text",
        "--device-hooks=tcx",
        "--xdp=off",
        "--load-balancing=random",
        "--flows=8192",
        "--netns-dirs=/m,/o",
        "--manifests=/manifests",
        "--service-node-port-range=8000+99",
    ];
    let loaded = with_file(&text, &flags).expect("a configuration");
    let own = loaded.config.own;
    assert_eq!(own.pin_dir, Path::new("/sys/fs/bpf/of-the-flag"));
    assert!(own.devices.pods.matches("pod1") && own.devices.uplinks.matches("eth0"));
    assert_eq!(own.log_format, LogFormat::Text);
    assert_eq!((own.sizes.flows, own.sizes.backends), (Some(8_192), Some(100)));
    assert_eq!(own.device_hooks, Some(DeviceHooks::Tcx));
    assert_eq!(own.xdp, XdpMode::Off);
    assert_eq!(own.load_balancing, LoadBalancing::Random);
    assert_eq!(own.netns_dirs, [Path::new("/m"), Path::new("/o")]);
    assert_eq!(own.node_port_range.ports(), 8_000..=8_099);
    assert_eq!(own.manifests.as_deref(), Some(Path::new("/manifests")));
    assert!(
        loaded
            .notes
            .iter()
            .any(|note| note.contains("KproxyConfiguration.more"))
    );

    let plain = with_file(OWN, &[]).expect("the own document alone").config;
    assert_eq!(plain.own.pin_dir, Path::new("/sys/fs/bpf/kproxy"));
    assert_eq!(plain.own.netns_dirs.len(), 3);
    assert_eq!(plain.own.load_balancing, LoadBalancing::Random);
    assert_eq!(plain.own.node_port_range, PortRange::NODE_PORTS);
    assert_eq!(plain.document, KubeProxyConfiguration::default().with_defaults());
}

#[test]
fn settings_without_a_meaning_are_noted() {
    let text = format!(
        "{KUBE_PROXY}mode: nftables\nportRange: 1-2\nipvs: {{scheduler: rr}}\nwinkernel: {{sourceVip: x}}\n\
         featureGates: {{Other: true, AllowServiceExternalIPs: false}}\nnodePortAddresses: [127.0.0.0/8]\n\
         iptables: {{localhostNodePorts: false}}\n"
    );
    let loaded = with_file(&text, &[]).expect("a configuration");
    assert!(!loaded.config.allow_external_ips, "1.23");
    let expected = [
        "ipvs.scheduler has no meaning here",
        "winkernel has no meaning here",
        "portRange has no meaning here",
        "are ignored: Other",
        "3.26: ranges of IPv4 only",
        "3.24: loopback addresses, where",
    ];
    assert_eq!(loaded.notes.len(), expected.len(), "{:?}", loaded.notes);
    for (note, expected) in loaded.notes.iter().zip(expected) {
        let words = expected
            .rsplit_once(": ")
            .filter(|(item, _)| item.starts_with('3'))
            .map_or(expected, |(_, words)| words);
        assert!(note.contains(words), "{note} {expected}");
    }
    let quiet = with_file(&format!("{KUBE_PROXY}mode: nftables\n"), &[]).expect("a configuration");
    assert_eq!(quiet.notes, Vec::<String>::new());
}

#[test]
fn the_period_and_masquerading_are_those_of_the_mode_10a() {
    let text = format!(
        "{KUBE_PROXY}iptables: {{syncPeriod: 1m, masqueradeAll: true}}\nnftables: {{syncPeriod: 2m}}\nipvs: {{syncPeriod: 3m}}\n"
    );
    for (mode, minutes, masquerade_all) in [
        ("", 1, true),
        ("iptables", 1, true),
        ("nftables", 2, false),
        ("ipvs", 3, true),
    ] {
        let config = with_file(&format!("{text}mode: '{mode}'\n"), &[])
            .expect("a configuration")
            .config;
        let period = GoDuration::from_seconds(minutes * 60).positive();
        assert_eq!(Some(config.sync_period), period, "{mode}");
        assert_eq!(config.masquerade_all, masquerade_all, "{mode}");
        assert_eq!(
            config.mode.name(),
            if mode.is_empty() { "nftables" } else { mode },
            "9.17"
        );
    }
}
