//! Kernels out of Debian's packages, unpacked into the target directory and not installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::setup::apt;
use crate::workspace;

/// A kernel to test on.
#[derive(Debug)]
pub(super) struct Kernel {
    /// Its version, as people say it.
    pub(super) name: &'static str,
    /// The release of Debian that has it.
    release: &'static str,
    /// Whether programs can be put on devices by links (Linux 6.6).
    pub(super) has_tcx: bool,
}

/// The oldest kernel that kproxy is made for, and one between that and the running one.
pub(super) const KERNELS: [Kernel; 2] = [
    Kernel {
        name: "6.1",
        release: "bookworm",
        has_tcx: false,
    },
    Kernel {
        name: "6.12",
        release: "trixie",
        has_tcx: true,
    },
];

/// The package that depends on a release's newest kernel for virtual machines, which boots within seconds.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel's files.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// What boots.
    pub(super) image: PathBuf,
    /// The directory of its modules, named after its whole version.
    pub(super) modules: PathBuf,
    /// Where a machine for it can be made.
    pub(super) scratch: PathBuf,
}

/// The files of a kernel, fetched if they are not there yet.
pub(super) fn unpacked(kernel: &Kernel) -> Result<Unpacked> {
    let scratch = workspace::target().join("kernels").join(kernel.name);
    let root = scratch.join("package");
    if !root.is_dir() {
        let fresh = scratch.join("unpacking");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).with_context(|| format!("removing {}", fresh.display()))?;
        }
        fs::create_dir_all(&fresh).with_context(|| format!("making {}", fresh.display()))?;
        apt::unpack_dependency(kernel.release, PACKAGE, &fresh)?;
        fs::rename(&fresh, &root).with_context(|| format!("moving {}", fresh.display()))?;
    }
    let image = only(&root.join("boot"), "vmlinuz-")?;
    // Debian 13 moved them below /usr.
    let modules = [root.join("lib/modules"), root.join("usr/lib/modules")];
    let modules = modules.iter().find(|directory| directory.is_dir());
    let modules = modules.with_context(|| format!("no modules in {}", root.display()))?;
    Ok(Unpacked {
        image,
        modules: only(modules, "")?,
        scratch,
    })
}

/// The first entry of a directory with this prefix.
fn only(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let found = paths.into_iter().find(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(prefix))
    });
    found.with_context(|| format!("no {prefix}* in {}", directory.display()))
}
