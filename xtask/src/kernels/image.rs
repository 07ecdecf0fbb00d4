//! The files of a machine, as the archive that its kernel unpacks into memory.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::package::Unpacked;
use super::programs::Programs;
use crate::output::written;

/// The first process.
const INIT: &str = include_str!("init.sh");

/// Directories of modules that networking may ask for.
const MODULES: [&str; 5] = [
    "kernel/net",
    "kernel/drivers/net",
    "kernel/crypto",
    "kernel/lib",
    "kernel/arch",
];

/// Modules that have to be there; others come when the kernel wants them.
const LOADED: [&str; 14] = [
    "veth",
    "bridge",
    "vxlan",
    "8021q",
    "bonding",
    "wireguard",
    "sctp",
    "tun",
    "dummy",
    "ipip",
    "sch_ingress",
    "cls_bpf",
    "udp_diag",
    "nf_tables",
];

/// Where the kernel's file systems are mounted, and what programs expect to be there.
const DIRECTORIES: [&str; 8] = ["bin", "sbin", "usr/bin", "proc", "sys", "dev", "tmp", "run"];

/// Makes the archive of a machine that runs these commands.
pub(super) fn make(kernel: &Unpacked, programs: &Programs, steps: &[String]) -> Result<PathBuf> {
    let root = kernel.scratch.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
    }
    for directory in DIRECTORIES {
        make_directory(&root.join(directory))?;
    }
    programs.install(&root)?;
    install_modules(kernel, &root)?;
    write(&root.join("init"), INIT)?;
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(root.join("init"), mode).context("making init a program")?;
    make_directory(&root.join("etc"))?;
    write(&root.join("etc/modules"), &lines(&LOADED))?;
    write(&root.join("etc/steps"), &lines(steps))?;
    write(&root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    make_directory(&root.join("var"))?;
    symlink("/run", root.join("var/run")).context("linking /var/run")?;
    archive(&root, &kernel.scratch.join("root.cpio"))
}

/// Copies modules, not compressed, and lists what depends on what.
fn install_modules(kernel: &Unpacked, root: &Path) -> Result<()> {
    let version = kernel.modules.file_name().context("modules without a version")?;
    let to = root.join("lib/modules").join(version);
    for directory in MODULES {
        let (from, to) = (kernel.modules.join(directory), to.join(directory));
        make_directory(to.parent().unwrap_or(&to))?;
        run(Command::new("cp").args(["-r"]).arg(&from).arg(&to))?;
        // Debian compresses modules since 6.12; none is fine.
        run(Command::new("find")
            .arg(&to)
            .args(["-name", "*.xz", "-exec", "xz", "--decompress", "{}", "+"]))?;
    }
    for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        fs::copy(kernel.modules.join(list), to.join(list)).with_context(|| format!("copying {list}"))?;
    }
    let depmod = crate::workspace::program("depmod").context("no depmod on this machine")?;
    run(Command::new(depmod).arg("-b").arg(root).arg(version))
}

fn archive(root: &Path, to: &Path) -> Result<PathBuf> {
    let file = fs::File::create(to).with_context(|| format!("making {}", to.display()))?;
    let mut find = Command::new("find");
    let mut names = find
        .arg(".")
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("starting find")?;
    let listed = names.stdout.take().context("find without output")?;
    let mut cpio = Command::new("cpio");
    cpio.args(["--create", "--format=newc", "--quiet", "--owner=0:0"])
        .current_dir(root)
        .stdin(listed)
        .stdout(file);
    run(&mut cpio)?;
    let status = names.wait().context("waiting for find")?;
    ensure!(status.success(), "{} ended with {status}", written(&find));
    Ok(to.to_owned())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {}", written(command)))?;
    ensure!(status.success(), "{} ended with {status}", written(command));
    Ok(())
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn lines<S: AsRef<str>>(lines: &[S]) -> String {
    let lines = lines.iter().flat_map(|line| [line.as_ref(), "\n"]);
    lines.collect()
}
