//! A real `kubectl` against the server.

mod apply;
mod commands;
mod deploy;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use kproxy_tests::apiserver::ApiServer;
use kproxy_tests::kubectl;
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
            program: kubectl::program().expect("kubectl"),
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
