//! A real `kubectl` against the server.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use kproxy_tests::apiserver::ApiServer;
use serde_json::Value;
use tempfile::TempDir;

use super::support::start;

const WEB: &str = r"
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080}
";

const WEB_SLICE: &str = r"
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints:
- addresses: [10.1.0.4]
- addresses: [10.1.0.5]
ports:
- {name: http, port: 8080, protocol: TCP}
";

/// `kubectl` with a server of its own.
struct Kubectl {
    program: PathBuf,
    folder: TempDir,
    _server: ApiServer,
}

impl Kubectl {
    async fn start() -> Self {
        let (server, _client) = start().await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        server
            .write_kubeconfig(&folder.path().join("config"))
            .expect("a kubeconfig");
        Self {
            program: program(),
            folder,
            _server: server,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("KUBECONFIG", self.folder.path().join("config"));
        // Discovery is cached by address, and ports are used again by other servers.
        command.env("KUBECACHEDIR", self.folder.path().join("cache"));
        command
    }

    fn try_run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("kubectl runs")
    }

    /// What a command prints; it must succeed and have nothing to warn of.
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {errors}");
        assert!(
            errors.is_empty() || errors.starts_with("No resources"),
            "kubectl {arguments:?} warns: {errors}"
        );
        String::from_utf8(output.stdout).expect("text")
    }

    /// What a command that must fail complains of.
    fn complaint(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        assert!(!output.status.success(), "kubectl {arguments:?} should fail");
        String::from_utf8(output.stderr).expect("text")
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::File::create(&path)
            .expect("a file")
            .write_all(text.as_bytes())
            .expect("written");
        path.to_str().expect("a path of text").to_owned()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments)).expect("JSON")
    }
}

fn program() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/tools/kubectl");
    let candidates = std::env::var_os("KPROXY_KUBECTL")
        .map(PathBuf::from)
        .into_iter()
        .chain(["/usr/bin/kubectl".into(), built]);
    candidates.into_iter().find(|path| path.is_file()).expect(
        "these tests need kubectl 1.32 or newer: put it at /usr/bin/kubectl (https://kubernetes.io/docs/tasks/tools/), \
         name it in KPROXY_KUBECTL, or run `cargo xtask setup`",
    )
}

#[tokio::test]
async fn applies_with_validation_by_the_server() {
    let kubectl = Kubectl::start().await;
    let web = kubectl.file("web.yaml", WEB);

    assert_eq!(kubectl.run(&["apply", "-f", &web]), "service/web created\n");
    assert_eq!(kubectl.run(&["apply", "-f", &web]), "service/web unchanged\n");

    let misspelt = kubectl.file("misspelt.yaml", &WEB.replace("selector", "selectr"));
    let complaint = kubectl.complaint(&["apply", "-f", &misspelt]);
    assert!(
        complaint.contains("unknown field \"spec.selectr\""),
        "{complaint}"
    );
    let impossible = kubectl.file("impossible.yaml", &WEB.replace("port: 80,", "port: 0,"));
    let complaint = kubectl.complaint(&["apply", "-f", &impossible]);
    assert!(complaint.contains("spec.ports[0].port"), "{complaint}");
}

#[tokio::test]
async fn applies_what_has_changed_and_keeps_what_others_have_set() {
    let kubectl = Kubectl::start().await;
    let web = kubectl.file("web.yaml", WEB);
    kubectl.run(&["apply", "-f", &web]);
    kubectl.run(&["label", "service", "web", "tier=front"]);

    kubectl.file(
        "web.yaml",
        &WEB.replace("port: 80,", "port: 81,")
            .replace("labels: {app: web}", "labels: {}"),
    );
    assert_eq!(kubectl.run(&["apply", "-f", &web]), "service/web configured\n");

    let service = kubectl.json(&["get", "service", "web", "-o", "json"]);
    assert_eq!(
        service["metadata"]["labels"],
        serde_json::json!({"tier": "front"})
    );
    let ports = service["spec"]["ports"].as_array().expect("ports");
    assert_eq!((ports.len(), &ports[0]["port"]), (1, &Value::from(81)));
    assert!(service["spec"]["clusterIP"].is_string());
}

#[tokio::test]
async fn applies_a_folder_and_deletes_it() {
    let kubectl = Kubectl::start().await;
    kubectl.file("manifests/slice.yaml", WEB_SLICE);
    let folder = kubectl.file("manifests/web.yaml", WEB).replace("/web.yaml", "");

    let applied = kubectl.run(&["apply", "-f", &folder]);
    assert_eq!(
        applied,
        "endpointslice.discovery.k8s.io/web-1 created\nservice/web created\n"
    );

    let deleted = kubectl.run(&["delete", "-f", &folder]);
    assert!(
        deleted.contains("\"web\" deleted") && deleted.contains("\"web-1\" deleted"),
        "{deleted}"
    );
    let complaint = kubectl.complaint(&["get", "service", "web"]);
    assert!(complaint.contains("services \"web\" not found"), "{complaint}");
}

#[tokio::test]
async fn prints_tables_and_objects() {
    let kubectl = Kubectl::start().await;
    kubectl.run(&[
        "apply",
        "-f",
        &kubectl.file("all.yaml", &format!("{WEB}---{WEB_SLICE}")),
    ]);

    let words = |text: String| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let table = words(kubectl.run(&["get", "service", "web"]));
    assert!(
        table.starts_with("NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE web ClusterIP 10.96."),
        "{table}"
    );
    assert!(table.contains("<none> 80/TCP"), "{table}");
    let table = words(kubectl.run(&["get", "endpointslices", "web-1"]));
    assert!(
        table.starts_with("NAME ADDRESSTYPE PORTS ENDPOINTS AGE web-1 IPv4 8080 10.1.0.4,10.1.0.5"),
        "{table}"
    );
    let table = words(kubectl.run(&["get", "servicecidrs"]));
    assert!(
        table.starts_with("NAME CIDRS AGE kubernetes 10.96.0.0/16,fd00:10:96::/112"),
        "{table}"
    );

    let yaml = kubectl.run(&["get", "service", "web", "-o", "yaml"]);
    assert!(yaml.starts_with("apiVersion: v1\nkind: Service\n"), "{yaml}");
    assert_eq!(
        kubectl.run(&["get", "service", "-l", "app=web", "-o", "name"]),
        "service/web\n"
    );
    assert_eq!(
        kubectl.run(&["get", "service", "--field-selector", "metadata.name=other"]),
        ""
    );
    let description = kubectl.run(&["describe", "service", "web"]);
    assert!(
        description.contains("10.1.0.4:8080,10.1.0.5:8080"),
        "{description}"
    );
}

#[tokio::test]
async fn patches_in_three_ways() {
    let kubectl = Kubectl::start().await;
    kubectl.run(&["apply", "-f", &kubectl.file("web.yaml", WEB)]);
    let target = |kubectl: &Kubectl| {
        kubectl.run(&[
            "get",
            "service",
            "web",
            "-o",
            "jsonpath={.spec.ports[*].targetPort}",
        ])
    };

    kubectl.run(&[
        "patch",
        "service",
        "web",
        "-p",
        r#"{"spec":{"ports":[{"port":80,"targetPort":1}]}}"#,
    ]);
    assert_eq!(target(&kubectl), "1");
    let merge = r#"{"spec":{"ports":[{"name":"http","port":80,"targetPort":2}]}}"#;
    kubectl.run(&["patch", "service", "web", "--type=merge", "-p", merge]);
    assert_eq!(target(&kubectl), "2");
    let steps = r#"[{"op":"replace","path":"/spec/ports/0/targetPort","value":3}]"#;
    kubectl.run(&["patch", "service", "web", "--type=json", "-p", steps]);
    assert_eq!(target(&kubectl), "3");
}

#[tokio::test]
async fn watches() {
    let kubectl = Kubectl::start().await;
    let mut watch = kubectl
        .command(&["get", "services", "--watch-only", "-o", "name"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl runs");
    let output = BufReader::new(watch.stdout.take().expect("output"));
    let manifest = kubectl.file("web.yaml", WEB);

    // Whether the watch has begun cannot be seen from outside; objects are made until it shows one.
    let seen = AtomicBool::new(false);
    let first = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !seen.load(Ordering::Relaxed) {
                kubectl.run(&["apply", "-f", &manifest]);
                kubectl.run(&["delete", "-f", &manifest]);
            }
        });
        let first = output.lines().next().expect("a line").expect("text");
        seen.store(true, Ordering::Relaxed);
        first
    });
    watch.kill().expect("ended");
    watch.wait().expect("ended");

    assert_eq!(first, "service/web");
}
