//! A real directory, changed while it is followed.

use std::fs;
use std::io::Write as _;

use tempfile::TempDir;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;

use super::*;
use crate::index::Index;
use crate::plan::WantedService;

const SLICE: &str = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: web-1\n  labels: {kubernetes.io/service-name: web}\naddressType: IPv4\nports: [{name: '', port: 8080}]\nendpoints: [{addresses: [10.0.0.1]}]\n";

fn service(name: &str, address: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: {address}, ports: [{{port: 80}}]}}\n"
    )
}

/// A followed directory and the index that it feeds.
struct Followed {
    directory: TempDir,
    events: Receiver<Event>,
    index: Index,
}

impl Followed {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let (sender, events) = mpsc::channel(16);
        let followed = Self {
            directory,
            events,
            index: Index::new("here"),
        };
        fs::create_dir(followed.path("")).unwrap();
        for (file, text) in files {
            followed.write(file, text);
        }
        tokio::spawn(manifests(followed.path(""), sender).unwrap());
        followed
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join("manifests").join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::create_dir_all(self.path("")).unwrap();
        fs::write(self.path(file), text).unwrap();
    }

    /// Waits for the next changes: `web@10.96.0.1 -> 10.0.0.1:8080`, or `-web`.
    async fn next(&mut self) -> Vec<String> {
        loop {
            let changes = self.index.take_changes();
            if !changes.is_empty() {
                return changes
                    .into_iter()
                    .map(|(name, wanted)| line(&name.name, wanted))
                    .collect();
            }
            let event = timeout(Duration::from_secs(10), self.events.recv()).await;
            self.index
                .apply(event.expect("news in time").expect("the source runs"));
        }
    }

    /// Nothing comes within a time that is long for the source.
    async fn silence(&mut self) {
        while let Ok(event) = timeout(Duration::from_millis(300), self.events.recv()).await {
            self.index.apply(event.expect("the source runs"));
        }
        assert!(self.index.take_changes().is_empty());
    }
}

fn line(name: &str, wanted: Option<WantedService>) -> String {
    let Some(wanted) = wanted else {
        return format!("-{name}");
    };
    let addresses: Vec<_> = wanted
        .frontends
        .keys()
        .map(|key| key.address.to_string())
        .collect();
    let backends: Vec<_> = wanted.cluster.iter().map(ToString::to_string).collect();
    format!("{name}@{} -> {}", addresses.join(" "), backends.join(" "))
}

#[tokio::test]
async fn files_are_followed_live() {
    let first = service("web", "10.96.0.1") + SLICE;
    let mut followed = Followed::new(&[("a.yaml", &first), (".hidden.yaml", "}"), ("notes.txt", "}")]);
    assert_eq!(followed.next().await, ["web@10.96.0.1 -> 10.0.0.1:8080"]);
    assert!(followed.index.synced());
    followed.write("b.json", r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "json"}, "spec": {"clusterIP": "10.96.0.2", "ports": [{"port": 1}]}}"#);
    assert_eq!(followed.next().await, ["json@10.96.0.2 -> "]);
    followed.write("a.yaml", &first.replace("[10.0.0.1]", "[10.0.0.2]"));
    assert_eq!(
        followed.next().await,
        ["web@10.96.0.1 -> 10.0.0.2:8080"],
        "written in place"
    );
    followed.write("a.yaml.new", &first);
    fs::rename(followed.path("a.yaml.new"), followed.path("a.yaml")).unwrap();
    assert_eq!(
        followed.next().await,
        ["web@10.96.0.1 -> 10.0.0.1:8080"],
        "written beside and renamed"
    );
    fs::remove_file(followed.path("b.json")).unwrap();
    assert_eq!(followed.next().await, ["-json"]);
}

#[tokio::test]
async fn nodes_and_ranges_are_read_too() {
    let node = "---\napiVersion: v1\nkind: Node\nmetadata: {name: here, labels: {topology.kubernetes.io/zone: a}}\nstatus: {addresses: [{type: InternalIP, address: 10.0.0.5}]}\n";
    let range = "---\napiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: kubernetes}\nspec: {cidrs: [10.96.0.0/12, \"fd00::/112\"]}\n";
    let ranges = |followed: &Followed| -> Vec<String> {
        let cidrs = followed.index.service_cidrs();
        cidrs.iter().map(ToString::to_string).collect()
    };
    let web = service("web", "10.96.0.1");
    let mut followed = Followed::new(&[("a.yaml", &web), ("node.yaml", node), ("range.yaml", range)]);
    followed.next().await;
    let seen = followed.index.node().unwrap();
    assert_eq!(
        (seen.zone.as_deref(), seen.addresses.len()),
        (Some("a"), 1),
        "2.38, 3.17"
    );
    assert_eq!(ranges(&followed), ["10.96.0.0/12", "fd00::/112"], "4.11");
    fs::remove_file(followed.path("node.yaml")).unwrap();
    fs::remove_file(followed.path("range.yaml")).unwrap();
    followed.silence().await;
    assert!(ranges(&followed).is_empty(), "4.11, 4.12");
    assert!(followed.index.node().is_some(), "9.10");
}

#[tokio::test]
async fn a_change_of_the_same_size_within_a_tick_is_seen() {
    let text = service("web", "10.96.0.1") + SLICE;
    let mut followed = Followed::new(&[("a.yaml", &text)]);
    followed.next().await;
    for byte in [2, 3, 4, 5] {
        followed.write("a.yaml", &text.replace("[10.0.0.1]", &format!("[10.0.0.{byte}]")));
        assert_eq!(
            followed.next().await,
            [format!("web@10.96.0.1 -> 10.0.0.{byte}:8080")]
        );
    }
}

#[tokio::test]
async fn a_bad_file_keeps_its_last_good_content() {
    let text = service("web", "10.96.0.1");
    let mut followed = Followed::new(&[("a.yaml", &text), ("b.yaml", "kind: [")]);
    assert_eq!(followed.next().await, ["web@10.96.0.1 -> "]);
    followed.write("a.yaml", &text.replace("80", "eighty"));
    followed.silence().await;
    followed.write("b.yaml", &service("other", "10.96.0.2"));
    assert_eq!(followed.next().await, ["other@10.96.0.2 -> "], "others work on");
    followed.write("a.yaml", &text.replace("10.96.0.1", "10.96.0.3"));
    assert_eq!(followed.next().await, ["web@10.96.0.3 -> "], "fixed");
    followed.write("a.yaml", &text.replace("clusterIP: 10.96.0.1, ", ""));
    followed.silence().await;
    let told = followed.index.take_problems();
    assert_eq!(told.len(), 1);
    assert!(
        told[0]
            .to_string()
            .starts_with("Service default/web in a.yaml, field spec.clusterIP: is missing"),
        "{}",
        told[0]
    );
}

#[tokio::test]
async fn a_file_that_was_never_readable_is_told_until_it_is() {
    let web = service("web", "10.96.0.1");
    let mut followed = Followed::new(&[("a.yaml", &web), ("b.yaml", "kind: ["), ("c.yaml", "kind: [")]);
    assert_eq!(followed.next().await, ["web@10.96.0.1 -> "]);
    assert_eq!(followed.index.unread(), 2);
    followed.write("a.yaml", "kind: [");
    followed.write("d.yaml", "kind: [");
    followed.silence().await;
    assert_eq!(followed.index.unread(), 2, "these have nothing from before");
    followed.write("b.yaml", &service("other", "10.96.0.2"));
    assert_eq!(followed.next().await, ["other@10.96.0.2 -> "]);
    fs::remove_file(followed.path("c.yaml")).unwrap();
    followed.silence().await;
    assert_eq!(followed.index.unread(), 0);
}

#[tokio::test]
async fn a_file_is_not_read_while_it_is_written() {
    let text = service("web", "10.96.0.1") + SLICE;
    let mut followed = Followed::new(&[("a.yaml", &text)]);
    followed.next().await;
    let mut file = fs::File::create(followed.path("a.yaml")).unwrap();
    let (half, rest) = text.split_at(text.len() / 2);
    file.write_all(half.as_bytes()).unwrap();
    followed.silence().await;
    file.write_all(rest.replace("[10.0.0.1]", "[10.0.0.9]").as_bytes())
        .unwrap();
    drop(file);
    assert_eq!(followed.next().await, ["web@10.96.0.1 -> 10.0.0.9:8080"]);
}

#[tokio::test]
async fn a_directory_that_disappears_keeps_its_state_and_is_found_again() {
    let mut followed = Followed::new(&[("a.yaml", &service("web", "10.96.0.1"))]);
    followed.next().await;
    fs::rename(followed.path(""), followed.directory.path().join("elsewhere")).unwrap();
    followed.silence().await;
    followed.write("a.yaml", &service("web", "10.96.0.2"));
    assert_eq!(followed.next().await, ["web@10.96.0.2 -> "]);
    let (next, last) = (
        followed.directory.path().join("next"),
        followed.directory.path().join("last"),
    );
    fs::create_dir(&next).unwrap();
    fs::write(next.join("a.yaml"), service("web", "10.96.0.3")).unwrap();
    fs::rename(followed.path(""), last).unwrap();
    fs::rename(next, followed.path("")).unwrap();
    assert_eq!(followed.next().await, ["web@10.96.0.3 -> "], "replaced at once");
    followed.write("a.yaml", &service("web", "10.96.0.4"));
    assert_eq!(followed.next().await, ["web@10.96.0.4 -> "], "and watched");
}

#[tokio::test]
async fn links_are_followed_as_config_maps_have_them() {
    let mut followed = Followed::new(&[]);
    for (version, address) in [("v1", "10.96.0.1"), ("v2", "10.96.0.2")] {
        fs::create_dir_all(followed.path(version)).unwrap();
        fs::write(followed.path(version).join("a.yaml"), service("web", address)).unwrap();
    }
    std::os::unix::fs::symlink("v1", followed.path("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", followed.path("a.yaml")).unwrap();
    assert_eq!(followed.next().await, ["web@10.96.0.1 -> "]);
    std::os::unix::fs::symlink("v2", followed.path("..next")).unwrap();
    fs::rename(followed.path("..next"), followed.path("..data")).unwrap();
    assert_eq!(followed.next().await, ["web@10.96.0.2 -> "]);
}

#[tokio::test]
async fn a_directory_that_is_none_is_an_error_at_the_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [Path::new("/nowhere/manifests"), file.path()] {
        let (sender, _events) = mpsc::channel(1);
        let error = manifests(path.to_path_buf(), sender).map(drop).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the manifest directory {} can not be read; check --manifests",
                path.display()
            )
        );
    }
}

#[tokio::test]
async fn the_source_ends_with_its_receiver() {
    let directory = TempDir::new().unwrap();
    let (sender, events) = mpsc::channel(1);
    let source = tokio::spawn(manifests(directory.path().to_path_buf(), sender).unwrap());
    drop(events);
    timeout(Duration::from_secs(10), source).await.unwrap().unwrap();
}
