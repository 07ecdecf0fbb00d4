//! What has a path: network namespaces, network devices, pins, cgroups.

use std::fs;
use std::path::{Path, PathBuf};

use crate::machine::mounts_of;

/// Everything, described.
pub(super) fn all() -> Vec<String> {
    let mut found = Vec::new();
    let mut describe = |kind: &str, paths: Vec<PathBuf>| {
        found.extend(paths.into_iter().map(|path| format!("{kind} {}", path.display())));
    };
    describe("network namespace", entries(Path::new("/run/netns")));
    // Kept by a mount elsewhere. Those that only processes keep go with the processes.
    describe("mounted namespace", mounts_of("nsfs"));
    describe("network device", entries(Path::new("/sys/class/net")));
    for mount in mounts_of("bpf") {
        describe("pin", below(&mount, &|_| true));
    }
    for mount in mounts_of("cgroup2") {
        describe("cgroup", below(&mount, &is_cgroup_of_nobody_else));
    }
    found
}

/// What is below `directory`, without links, as far as `wanted` says so; what is not wanted is not entered.
fn below(directory: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in entries(directory).into_iter().filter(|entry| wanted(entry)) {
        if entry.is_dir() && !entry.is_symlink() {
            found.extend(below(&entry, wanted));
        }
        found.push(entry);
    }
    found
}

/// A group, not a file of one, and none that systemd makes and removes at any time.
fn is_cgroup_of_nobody_else(path: &Path) -> bool {
    let of_systemd = [".service", ".slice", ".scope", ".mount", ".socket"];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.is_dir() && !of_systemd.iter().any(|suffix| name.ends_with(suffix))
}

/// The entries of a directory; none when there is no such directory.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
