//! A cluster on paper: the node `here` with its pods in 10.1.0.0/16 and `fd00:1::/64`, the node `there` with its own in
//! 10.2.0.0/16 and `fd00:2::/64`, and clients outside.

use std::fs;

use kproxy::cli::RunArgs;
use kproxy::config;
use kproxy::explain::{Answer, Paper, PaperExplainer, Question};
use kproxy::model::parse_address;

/// Addresses of the node.
pub(crate) const NODE: [&str; 3] = ["192.168.0.1", "192.168.7.1", "fd00::1"];
/// A pod of the node that asks, and is no endpoint.
pub(crate) const POD: &str = "10.1.0.100";
/// A client outside.
pub(crate) const OUTSIDE: &str = "198.51.100.7";

/// By this ranges the node knows its pods.
pub(crate) const DETECTOR: &str = "clusterCIDR: 10.1.0.0/16,fd00:1::/64\n";

/// Answers for the node `here` with these manifests and these fields of a `KubeProxyConfiguration`.
pub(crate) fn node(manifests: &str, configuration: &str) -> PaperExplainer {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("all.yaml"), manifests).unwrap();
    let file = folder.path().join("configuration");
    let header = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
    fs::write(&file, format!("{header}{configuration}")).unwrap();
    let arguments = RunArgs {
        config: Some(file),
        hostname_override: Some("here".into()),
        ..RunArgs::default()
    };
    let paper = Paper {
        manifests: folder.path().to_owned(),
        node_addresses: NODE.iter().map(|text| parse_address(text).unwrap()).collect(),
        config: config::load(&arguments).unwrap().config,
    };
    let worked = paper.work_out().unwrap();
    assert_eq!(worked.problems, Vec::<String>::new());
    worked.explainer()
}

/// Asks by `ADDR > ADDR:PORT/PROTO`, with the door in front (`pod: …`) if it is not the usual one.
pub(crate) fn ask(explainer: &PaperExplainer, question: &str) -> Answer {
    ask_by(explainer, None, question)
}

/// The same about a packet that comes in by this device.
pub(crate) fn ask_by(explainer: &PaperExplainer, device: Option<&str>, question: &str) -> Answer {
    let (via, packet) = match question.split_once(": ") {
        Some((via, packet)) => (Some(clap::ValueEnum::from_str(via, false).unwrap()), packet),
        None => (None, question),
    };
    let (from, to) = packet.split_once(" > ").unwrap();
    let question = Question::new(from.parse().unwrap(), to.parse().unwrap(), via).unwrap();
    let question = question.by_device(device.map(str::to_owned)).unwrap();
    explainer.explain(&question).unwrap()
}

/// The verdict, the candidates if there are any, and the source if it changes.
pub(crate) fn outcome(answer: &Answer) -> String {
    let mut words = vec![answer.verdict.to_string()];
    words.extend(answer.candidates.iter().cloned());
    let source = answer.source.to_string();
    if source != "kept" {
        words.push(format!("as {source}"));
    }
    words.join(" ")
}

/// A Service `test/web` with the port 80, and these further fields of its spec.
pub(crate) fn service(spec: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: test}}\nspec:\n  clusterIP: 10.96.0.1\n  \
         clusterIPs: [10.96.0.1, \"fd00:96::1\"]\n{spec}"
    )
}

/// Its slices. Each endpoint is an address, and behind it `ready` unless something else is said: any of `ready`, `serving`
/// and `terminating`. Addresses of 10.1 and fd00:1 are on the node.
pub(crate) fn slices(port: &str, endpoints: &[&str]) -> String {
    let families = [("IPv4", false), ("IPv6", true)];
    let slice = |(family, is_v6): (&str, bool)| {
        let of_family = endpoints.iter().filter(|line| line.contains("::") == is_v6);
        let endpoints: String = of_family.map(|line| endpoint(line)).collect();
        format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: {family}\nmetadata: {{name: web-{}, \
             namespace: test, labels: {{kubernetes.io/service-name: web}}}}\nports: [{port}]\nendpoints:\n{endpoints}",
            family.to_lowercase(),
        )
    };
    families.map(slice).concat()
}

/// The port of the slices, unless a test says otherwise.
pub(crate) const PORT: &str = "{name: \"\", port: 8080, protocol: TCP}";

fn endpoint(line: &str) -> String {
    let mut words = line.split(' ');
    let address = words.next().unwrap();
    let here = address.starts_with("10.1.") || address.starts_with("fd00:1:");
    let mut words: Vec<_> = words.collect();
    if words.is_empty() {
        words.extend(["ready", "serving"]);
    }
    format!(
        "- addresses: [\"{address}\"]\n  nodeName: {}\n  conditions: {{ready: {}, serving: {}, terminating: {}}}\n",
        if here { "here" } else { "there" },
        words.contains(&"ready"),
        words.contains(&"serving"),
        words.contains(&"terminating"),
    )
}
