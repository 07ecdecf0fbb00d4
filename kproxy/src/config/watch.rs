//! The configuration file, followed for as long as kproxy runs: when it changes, the process ends to be started again
//! with what it says then (semantics 11.14). What is in the kernel goes on meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use thiserror::Error;
use tokio::time::sleep;

use crate::watch::Watch;

/// How soon a directory that has disappeared is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A file, and what it said when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// As it was named.
    pub path: PathBuf,
    /// Its whole text.
    pub text: String,
}

/// The file does not say any more what kproxy runs with.
#[derive(Debug, Error)]
#[error(
    "the configuration file {} {}; kproxy ends, to be started again with what it says now; the data plane stays in force",
    file.display(),
    if *gone { "is gone" } else { "has changed" }
)]
pub struct Changed {
    file: PathBuf,
    gone: bool,
}

/// Begins to watch. The future ends when the file has another text than it had, or none; written anew or replaced with
/// the same text it counts as unchanged.
///
/// # Errors
///
/// When the kernel does not watch the file's directory.
pub fn watch(file: ConfigFile) -> Result<impl Future<Output = Changed>> {
    let directory = directory(&file.path).to_owned();
    let mut watch = open(&directory)?;
    Ok(async move {
        loop {
            // The watch goes first, so that nothing happens between it and this look.
            if let Some(changed) = look(&file) {
                return changed;
            }
            if watch.settled().await.lost {
                match open(&directory) {
                    Ok(again) => watch = again,
                    Err(_) => sleep(LOOK_AGAIN).await,
                }
            }
        }
    })
}

fn look(file: &ConfigFile) -> Option<Changed> {
    let found = fs::read_to_string(&file.path);
    if found.as_ref().is_ok_and(|text| *text == file.text) {
        return None;
    }
    Some(Changed {
        file: file.path.clone(),
        gone: found.is_err(),
    })
}

fn open(directory: &Path) -> Result<Watch> {
    Watch::new(directory).with_context(|| {
        format!(
            "the directory {} of the configuration file can not be watched; if inotify's limits are reached, raise \
             fs.inotify.max_user_instances and fs.inotify.max_user_watches",
            directory.display()
        )
    })
}

/// A `ConfigMap`'s file leads by links to another directory, but what changes is a link beside it.
fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A bound against hanging, not a measurement.
    const BOUND: Duration = Duration::from_secs(20);

    async fn ends_after(what: &str, change: impl FnOnce(&Path), expected: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        // As the kubelet mounts a ConfigMap.
        let root = directory.path();
        fs::create_dir(root.join("..1")).expect("a directory");
        fs::write(root.join("..1/config"), "one").expect("a file");
        symlink("..1", root.join("..data")).expect("a link");
        symlink("..data/config", root.join("config")).expect("a link");
        fs::write(root.join("plain"), "one").expect("a file");
        let mut watching = Vec::new();
        for name in ["config", "plain"] {
            let file = ConfigFile {
                path: root.join(name),
                text: "one".into(),
            };
            watching.push(Box::pin(watch(file).expect("a watch")));
        }
        change(root);
        let (first, ..) = tokio::time::timeout(BOUND, futures::future::select_all(watching))
            .await
            .unwrap_or_else(|_| panic!("{what}: nobody noticed"));
        let told = first.to_string();
        assert!(told.contains(expected), "{what}: {told}");
    }

    #[tokio::test]
    async fn every_kind_of_change_ends_it_11_14() {
        let write = |root: &Path| fs::write(root.join("plain"), "two").expect("written");
        ends_after("new content", write, "plain has changed").await;
        let rename = |root: &Path| fs::rename(root.join("plain"), root.join("other")).expect("renamed");
        ends_after("renamed away", rename, "plain is gone").await;
        let remove = |root: &Path| fs::remove_file(root.join("plain")).expect("removed");
        ends_after("removed", remove, "plain is gone").await;
        let replace = |root: &Path| {
            fs::write(root.join("new"), "two").expect("written");
            fs::rename(root.join("new"), root.join("plain")).expect("renamed");
        };
        ends_after("replaced", replace, "plain has changed").await;
        let swap = |root: &Path| {
            fs::create_dir(root.join("..2")).expect("a directory");
            fs::write(root.join("..2/config"), "two").expect("a file");
            symlink("..2", root.join("..data_tmp")).expect("a link");
            fs::rename(root.join("..data_tmp"), root.join("..data")).expect("renamed");
        };
        ends_after("a ConfigMap's links are swapped", swap, "config has changed").await;
    }

    #[tokio::test]
    async fn the_same_text_is_no_change() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config");
        fs::write(&path, "one").expect("a file");
        let text = "one".to_owned();
        let watching = watch(ConfigFile {
            path: path.clone(),
            text,
        })
        .expect("a watch");
        let mut watching = Box::pin(watching);
        fs::write(&path, "one").expect("written");
        let early = tokio::time::timeout(Duration::from_millis(300), &mut watching).await;
        assert!(early.is_err(), "it ended although nothing changed");
        fs::write(&path, "two").expect("written");
        tokio::time::timeout(BOUND, watching).await.expect("it ends");
    }
}
