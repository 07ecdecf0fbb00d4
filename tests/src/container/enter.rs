//! Changes the calling process into a container, step by step as a runtime does.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::unistd::{chdir, pivot_root};
use rustix::thread::{CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities};

use super::{Container, Mount, PROGRAM};

/// What runtimes mount into every container, and whether it can be changed there.
const STANDARD: [(&str, bool); 3] = [("/proc", true), ("/proc/sys", false), ("/sys", false)];

/// Becomes the container's program; comes back only with an error. `root` is an empty directory.
///
/// # Errors
/// When a step is refused, or a capability has no such name.
pub fn enter(container: &Container, root: &Path) -> anyhow::Result<Infallible> {
    let Container {
        program,
        arguments,
        environment,
        mounts,
        read_only_root,
        no_new_privileges,
        capabilities,
    } = container;
    let capabilities = capabilities
        .iter()
        .map(|name| capability(name))
        .collect::<anyhow::Result<CapabilitySet>>()?;
    unshare(CloneFlags::CLONE_NEWNS).context("cannot get mounts of our own")?;
    // What the node mounts arrives here, and nothing of ours there.
    change("/", MsFlags::MS_REC | MsFlags::MS_SLAVE)?;
    fill(root, program, mounts)?;
    if *read_only_root {
        change(root, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY)?;
    }
    chdir(root).context("cannot go to the root directory")?;
    // The new root on top of the old one, which then goes (pivot_root(2)).
    pivot_root(".", ".").context("cannot change the root directory")?;
    umount2(".", MntFlags::MNT_DETACH).context("cannot leave the node's files")?;
    limit(capabilities)?;
    if *no_new_privileges {
        prctl::set_no_new_privs().context("cannot renounce new privileges")?;
    }
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().envs(environment);
    Err(command.exec()).with_context(|| format!("cannot start {}", program.display()))
}

/// The image and everything that is mounted into it.
fn fill(root: &Path, program: &Path, mounts: &[Mount]) -> anyhow::Result<()> {
    mount(Some("image"), root, Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .context("cannot make a root file system")?;
    let inside = root.join("kproxy");
    fs::write(&inside, "").context("cannot make a place for the program")?;
    bind(program, &inside, MsFlags::empty())?;
    for (directory, writable) in STANDARD {
        let inside = below(root, Path::new(directory));
        make_place(Path::new(directory), &inside).with_context(|| format!("cannot make {directory}"))?;
        bind(Path::new(directory), &inside, MsFlags::empty())?;
        if !writable {
            change(
                &inside,
                MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY,
            )?;
        }
    }
    for Mount {
        source,
        target,
        read_only,
        follows,
    } in mounts
    {
        let inside = below(root, target);
        make_place(source, &inside).with_context(|| format!("cannot make {}", target.display()))?;
        bind(source, &inside, MsFlags::MS_REC)?;
        if !follows {
            change(&inside, MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
        }
        if *read_only {
            change(
                &inside,
                MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY,
            )?;
        }
    }
    Ok(())
}

/// Something to mount on: a directory for a directory, a file for a file.
fn make_place(source: &Path, target: &Path) -> io::Result<()> {
    if source.is_dir() {
        return fs::create_dir_all(target);
    }
    fs::create_dir_all(target.parent().unwrap_or(target))?;
    fs::write(target, "")
}

/// Keeps these capabilities and no others, now and whatever is started.
fn limit(kept: CapabilitySet) -> anyhow::Result<()> {
    for (name, capability) in CapabilitySet::all().difference(kept).iter_names() {
        remove_capability_from_bounding_set(capability).with_context(|| format!("cannot renounce {name}"))?;
    }
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).context("cannot renounce capabilities")
}

fn capability(name: &str) -> anyhow::Result<CapabilitySet> {
    match CapabilitySet::from_name(name) {
        Some(capability) => Ok(capability),
        None => bail!("there is no capability {name}"),
    }
}

fn bind(source: &Path, target: &Path, also: MsFlags) -> anyhow::Result<()> {
    mount(
        Some(source),
        target,
        None::<&str>,
        MsFlags::MS_BIND | also,
        None::<&str>,
    )
    .with_context(|| format!("cannot mount {} at {}", source.display(), target.display()))
}

fn change(target: impl AsRef<Path>, flags: MsFlags) -> anyhow::Result<()> {
    let target = target.as_ref();
    mount(None::<&str>, target, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("cannot change the mount at {}", target.display()))
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
