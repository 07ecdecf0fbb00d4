//! Packages of Debian and Ubuntu.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail, ensure};

use crate::output::run_indented;

/// The release of Debian whose packages fill the gaps of older ones.
const NEWER_RELEASE: &str = "trixie";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Installs `packages`, after a look at what the archive has today.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    update()?;
    let unknown: Vec<_> = packages
        .iter()
        .copied()
        .filter(|package| !has_candidate(package))
        .collect();
    if !unknown.is_empty() {
        bail!(
            "the package sources of this machine do not have {}",
            unknown.join(", ")
        );
    }
    let mut command = apt_get();
    run_indented(
        command
            .args(["install", "--yes", "--no-install-recommends", "-qq"])
            .args(packages),
    )
}

/// Whether a package of that name could be installed.
pub(super) fn has_candidate(package: &str) -> bool {
    let output = Command::new("apt-cache")
        .args(["policy", package])
        .env("LC_ALL", "C")
        .output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().any(|line| {
            line.trim()
                .strip_prefix("Candidate: ")
                .is_some_and(|it| it != "(none)")
        })
    })
}

/// Takes one file out of a package of a newer Debian release, without adding that release to the machine's package
/// sources. Right for programs that need nothing but libc.
pub(super) fn extract_from_newer_release(package: &str, file: &str, to: &Path) -> Result<()> {
    ensure_keyring()?;
    let scratch = to.with_extension("download");
    let result = extract(package, file, to, &scratch);
    fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    result
}

/// Unpacks what a package of a release of Debian depends on first, which is how names without a version stand for the
/// newest with one. The machine's own package sources stay as they are.
pub(crate) fn unpack_dependency(release: &str, package: &str, to: &Path) -> Result<()> {
    ensure_keyring()?;
    let scratch = to.with_extension("download");
    let unpack = || {
        choose_release(release, &scratch)?;
        let dependency = first_dependency(package, &scratch)?;
        unpack(&dependency, release, to, &scratch)
    };
    let result = unpack();
    fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    result
}

fn first_dependency(package: &str, scratch: &Path) -> Result<String> {
    let mut apt_cache = apt_elsewhere("apt-cache", scratch);
    let output = apt_cache.args(["depends", package]).output();
    let output = output.context("asking apt-cache for dependencies")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: ").map(str::to_owned));
    first.with_context(|| format!("the package {package} depends on nothing"))
}

fn ensure_keyring() -> Result<()> {
    if Path::new(KEYRING).is_file() {
        return Ok(());
    }
    install(&["debian-archive-keyring"])
}

fn extract(package: &str, file: &str, to: &Path, scratch: &Path) -> Result<()> {
    let unpacked = scratch.join("unpacked");
    choose_release(NEWER_RELEASE, scratch)?;
    unpack(package, NEWER_RELEASE, &unpacked, scratch)?;
    let found = unpacked.join(file);
    ensure!(
        found.is_file(),
        "the package {package} of {NEWER_RELEASE} has no {file}"
    );
    fs::rename(&found, to).with_context(|| format!("moving {} to {}", found.display(), to.display()))
}

/// Looks at what a release has today, from `scratch` alone.
fn choose_release(release: &str, scratch: &Path) -> Result<()> {
    fs::create_dir_all(scratch.join("lists/partial"))
        .with_context(|| format!("making {}", scratch.display()))?;
    let sources = scratch.join("sources.list");
    fs::write(
        &sources,
        format!("deb [signed-by={KEYRING}] {} {release} main\n", archive()?),
    )
    .with_context(|| format!("writing {}", sources.display()))?;
    run_indented(apt_get_elsewhere(scratch).args(["-qq", "update"]))
}

fn unpack(package: &str, release: &str, to: &Path, scratch: &Path) -> Result<()> {
    run_indented(
        apt_get_elsewhere(scratch)
            .args(["-qq", "download", package])
            .current_dir(scratch),
    )?;
    let archive = fs::read_dir(scratch)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| {
            format!(
                "apt-get left no package of {package} ({release}) in {}",
                scratch.display()
            )
        })?;
    run_indented(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(to))
}

/// Where this machine gets Debian's packages from; the same place has those of other releases.
fn archive() -> Result<String> {
    update()?;
    let output = apt_get()
        .args(["indextargets", "--format", "$(REPO_URI)"])
        .args(["Created-By: Packages", "Origin: Debian", "Label: Debian"])
        .output()
        .context("asking apt-get for the package sources of this machine")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().map(str::to_owned);
    first.context("the package sources of this machine have no archive of Debian's")
}

/// An apt-get that knows only the sources in `scratch`, and writes only there.
fn apt_get_elsewhere(scratch: &Path) -> Command {
    apt_elsewhere("apt-get", scratch)
}

fn apt_elsewhere(program: &str, scratch: &Path) -> Command {
    let mut command = apt(program);
    let option = |name: &str, path: &Path| format!("{name}={}", path.display());
    command.args([
        "-o".to_owned(),
        option("Dir::Etc::SourceList", &scratch.join("sources.list")),
    ]);
    command.args([
        "-o".to_owned(),
        option("Dir::State::Lists", &scratch.join("lists")),
    ]);
    command.args(["-o".to_owned(), option("Dir::Cache", scratch)]);
    command.args(["-o", "Dir::Etc::SourceParts=/dev/null"]);
    // What is installed would compete with what those sources have.
    command.args(["-o", "Dir::State::Status=/dev/null"]);
    // Otherwise apt drops root, and can not write to a folder below root's home.
    command.args(["-o", "APT::Sandbox::User=root"]);
    command
}

/// Once is enough, however many requirements install packages.
fn update() -> Result<()> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.get().is_none() {
        run_indented(apt_get().args(["update", "-q"]))?;
        DONE.get_or_init(|| ());
    }
    Ok(())
}

fn apt_get() -> Command {
    apt("apt-get")
}

fn apt(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8");
    // Another package manager may be at work, as on a machine that has just booted.
    command.args(["-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]);
    command
}
