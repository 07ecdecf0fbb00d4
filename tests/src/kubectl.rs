//! The real `kubectl`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Where it is.
///
/// # Errors
/// When it is nowhere, with what to do about it.
pub fn program() -> anyhow::Result<PathBuf> {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/tools/kubectl");
    let candidates = std::env::var_os("KPROXY_KUBECTL")
        .map(PathBuf::from)
        .into_iter()
        .chain(["/usr/bin/kubectl".into(), built]);
    candidates.into_iter().find(|path| path.is_file()).context(
        "these tests need kubectl 1.32 or newer: put it at /usr/bin/kubectl (https://kubernetes.io/docs/tasks/tools/), \
         name it in KPROXY_KUBECTL, or run `cargo xtask setup`",
    )
}

/// An overlay of our manifests, as `deploy/README.md` describes it.
#[derive(Clone, Debug)]
pub struct Overlay<'a> {
    /// The folder below `deploy/` that it changes.
    pub base: &'a str,
    /// The image's tag.
    pub tag: &'a str,
    /// Host and port of the API server.
    pub api_server: (&'a str, u16),
}

impl Overlay<'_> {
    /// Makes its folder, for `kubectl apply -k`.
    ///
    /// # Errors
    /// When it can not be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let Self {
            base,
            tag,
            api_server: (host, port),
        } = self;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder
            .canonicalize()
            .context("cannot find the overlay's folder")?;
        let base = manifests()?.join(base);
        // kustomize takes no whole path here.
        let up = "..".to_owned() + &"/..".repeat(folder.components().count() - 2);
        let text = format!(
            "resources: ['{up}{}']
images: [{{name: kproxy, newName: registry.example/kproxy, newTag: '{tag}'}}]
configMapGenerator:
- name: kproxy-api-server
  namespace: kube-system
  behavior: merge
  literals: [KUBERNETES_SERVICE_HOST={host}, KUBERNETES_SERVICE_PORT={port}]
",
            base.display()
        );
        fs::write(folder.join("kustomization.yaml"), text).context("cannot write an overlay")
    }
}

/// The folder `deploy/`.
///
/// # Errors
/// When it is gone.
pub fn manifests() -> anyhow::Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .canonicalize()
        .context("cannot find the folder deploy")
}
