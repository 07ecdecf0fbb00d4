//! Settings of the kernel's connection tracking (semantics 7.14 to 7.19).
//!
//! kproxy has its own flow tables and does not use conntrack. But other things on a node do, and a cluster's operator has
//! set it in kube-proxy's configuration; so it is set as kube-proxy sets it. Where the kernel has no conntrack, or its
//! settings belong to another network namespace, there is nothing to set.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::config::Conntrack;

/// Where the kernel's settings are, relative to the root.
const SYSCTLS: &str = "proc/sys/net/netfilter";
const HASH_SIZE: &str = "sys/module/nf_conntrack/parameters/hashsize";
const ONLINE_CORES: &str = "sys/devices/system/cpu/online";

/// A setting that is there and can not be read or changed.
#[derive(Debug, Error)]
#[error(
    "{} can not be {doing}; run `kproxy run --init-only` with more privileges before, or set the field of \
     KubeProxyConfiguration.conntrack that asks for it to 0",
    file.display()
)]
pub struct ConntrackError {
    file: PathBuf,
    doing: String,
    source: io::Error,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Settings that were changed, as `name = value`.
    pub changed: Vec<String>,
    /// Settings that can not be changed from here, and why that does not matter.
    pub left: Vec<String>,
}

/// Changes what differs from the configuration, below a root directory that is `/` outside of tests.
///
/// # Errors
///
/// When a setting that is there can not be changed.
pub fn apply(root: &Path, wanted: &Conntrack) -> Result<Done, ConntrackError> {
    let mut done = Done::default();
    let Conntrack {
        most,
        tcp_established_timeout,
        tcp_close_wait_timeout,
        tcp_be_liberal,
        udp_timeout,
        udp_stream_timeout,
    } = wanted;
    if let Some(most) = most {
        let most = most.on(cores(root));
        sysctl(root, "nf_conntrack_max", most, &mut done)?;
        hash_size(root, most / 4, &mut done)?;
    }
    for (name, timeout) in [
        ("nf_conntrack_tcp_timeout_established", tcp_established_timeout),
        ("nf_conntrack_tcp_timeout_close_wait", tcp_close_wait_timeout),
        ("nf_conntrack_udp_timeout", udp_timeout),
        ("nf_conntrack_udp_timeout_stream", udp_stream_timeout),
    ] {
        if let Some(seconds) = timeout.as_ref().map(Duration::as_secs) {
            sysctl(root, name, seconds, &mut done)?;
        }
    }
    if *tcp_be_liberal {
        sysctl(root, "nf_conntrack_tcp_be_liberal", 1, &mut done)?;
    }
    Ok(done)
}

fn sysctl(root: &Path, name: &str, wanted: u64, done: &mut Done) -> Result<(), ConntrackError> {
    let file = root.join(SYSCTLS).join(name);
    match read(&file)? {
        None => done.left.push(format!("{name} (this kernel has none)")),
        Some(found) if found == wanted => {}
        Some(_) if !may_ever_be_written(&file) => {
            done.left
                .push(format!("{name} (it is another network namespace's to set)"));
        }
        Some(_) => write(&file, name, wanted, done)?,
    }
    Ok(())
}

/// The table is only ever made larger. A read-only /sys, as containers have it, only costs speed.
fn hash_size(root: &Path, least: u64, done: &mut Done) -> Result<(), ConntrackError> {
    let file = root.join(HASH_SIZE);
    match read(&file)? {
        Some(found) if found < least => match write(&file, "hashsize", least, done) {
            Err(error) if error.source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                done.left.push("hashsize (/sys is read-only)".to_owned());
                Ok(())
            }
            outcome => outcome,
        },
        Some(_) | None => Ok(()),
    }
}

/// In a network namespace of its own, the settings of the whole machine are shown without a write bit, which not even root
/// may ignore (`nf_conntrack_standalone_init_sysctl`, seen on Linux 6.18).
fn may_ever_be_written(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o222 != 0)
}

fn read(file: &Path) -> Result<Option<u64>, ConntrackError> {
    let failed = |source| ConntrackError {
        file: file.to_owned(),
        doing: "read".to_owned(),
        source,
    };
    match fs::read_to_string(file) {
        Ok(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|error| failed(io::Error::other(error))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn write(file: &Path, name: &str, value: u64, done: &mut Done) -> Result<(), ConntrackError> {
    fs::write(file, value.to_string()).map_err(|source| ConntrackError {
        file: file.to_owned(),
        doing: format!("set to {value}"),
        source,
    })?;
    done.changed.push(format!("{name} = {value}"));
    Ok(())
}

/// How many cores are online, by a list such as `0-3,6`.
fn cores(root: &Path) -> u32 {
    let listed = fs::read_to_string(root.join(ONLINE_CORES)).ok();
    listed.as_deref().and_then(count).unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        u32::try_from(cores).unwrap_or(u32::MAX)
    })
}

fn count(online: &str) -> Option<u32> {
    let mut cores = 0_u32;
    for range in online.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        cores = cores.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;
    use crate::config::MostConnections;

    /// A machine of four cores with these settings.
    fn machine(settings: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().expect("a directory");
        let cores = (ONLINE_CORES, "0-2,7\n");
        for (file, text) in settings.iter().chain([&cores]) {
            let file = root.path().join(path(file));
            fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            fs::write(file, text).expect("a setting");
        }
        root
    }

    fn path(name: &str) -> PathBuf {
        if name.contains('/') {
            return name.into();
        }
        Path::new(SYSCTLS).join(name)
    }

    fn found(root: &TempDir, name: &str) -> String {
        fs::read_to_string(root.path().join(path(name))).expect("a setting")
    }

    fn usual() -> Conntrack {
        Conntrack {
            most: Some(MostConnections {
                per_core: 32_768,
                least: 131_072,
            }),
            tcp_established_timeout: Some(Duration::from_hours(24)),
            tcp_close_wait_timeout: Some(Duration::from_hours(1)),
            ..Conntrack::default()
        }
    }

    const KERNEL: &[(&str, &str)] = &[
        ("nf_conntrack_max", "262144\n"),
        (HASH_SIZE, "16384\n"),
        ("nf_conntrack_tcp_timeout_established", "432000\n"),
        ("nf_conntrack_tcp_timeout_close_wait", "3600\n"),
        ("nf_conntrack_tcp_be_liberal", "0\n"),
        ("nf_conntrack_udp_timeout", "30\n"),
        ("nf_conntrack_udp_timeout_stream", "120\n"),
    ];

    #[test]
    fn what_differs_is_set() {
        let root = machine(KERNEL);
        let done = apply(root.path(), &usual()).expect("set");
        let changed = [
            "nf_conntrack_max = 131072",
            "hashsize = 32768",
            "nf_conntrack_tcp_timeout_established = 86400",
        ];
        assert_eq!(
            done.changed, changed,
            "7.14, 7.15, 7.16, and 7.19: close_wait is right already"
        );
        assert_eq!(found(&root, "nf_conntrack_max"), "131072", "7.14 four cores");
        assert_eq!(
            found(&root, "nf_conntrack_tcp_timeout_close_wait"),
            "3600\n",
            "7.19 not written"
        );
        assert_eq!(found(&root, "nf_conntrack_udp_timeout"), "30\n", "7.18");
        assert_eq!(found(&root, "nf_conntrack_tcp_be_liberal"), "0\n", "7.17");
        let again = apply(root.path(), &usual()).expect("nothing to do");
        assert_eq!(again, Done::default(), "7.19");
    }

    #[test]
    fn everything_can_be_asked_for_or_left_alone() {
        let root = machine(KERNEL);
        let wanted = Conntrack {
            tcp_be_liberal: true,
            udp_timeout: Some(Duration::from_secs(10)),
            udp_stream_timeout: Some(Duration::from_secs(20)),
            ..Conntrack::default()
        };
        let done = apply(root.path(), &wanted).expect("set");
        let changed = [
            "nf_conntrack_udp_timeout = 10",
            "nf_conntrack_udp_timeout_stream = 20",
            "nf_conntrack_tcp_be_liberal = 1",
        ];
        assert_eq!(done.changed, changed, "7.17, 7.18; 7.14 and 7.16: 0 leaves alone");
        let root = machine(&[("nf_conntrack_tcp_be_liberal", "1")]);
        apply(root.path(), &Conntrack::default()).expect("nothing to do");
        assert_eq!(
            found(&root, "nf_conntrack_tcp_be_liberal"),
            "1",
            "7.17 never reset"
        );
    }

    #[test]
    fn a_large_table_stays_large_7_15() {
        let root = machine(&[("nf_conntrack_max", "131072"), (HASH_SIZE, "262144")]);
        let done = apply(root.path(), &usual()).expect("set");
        assert_eq!(done.changed, Vec::<String>::new());
        assert_eq!(found(&root, HASH_SIZE), "262144");
    }

    #[test]
    fn a_kernel_without_conntrack_is_fine() {
        let done = apply(machine(&[]).path(), &usual()).expect("nothing to do");
        assert_eq!(done.changed, Vec::<String>::new());
        assert_eq!(done.left.len(), 3, "{:?}", done.left);
    }

    #[test]
    fn what_is_another_namespace_s_is_left() {
        let root = machine(KERNEL);
        let most = root.path().join(path("nf_conntrack_max"));
        fs::set_permissions(&most, fs::Permissions::from_mode(0o444)).expect("read-only");
        let done = apply(root.path(), &usual()).expect("set");
        assert!(
            done.left[0].contains("another network namespace"),
            "{:?}",
            done.left
        );
        assert_eq!(found(&root, "nf_conntrack_max"), "262144\n");
    }

    #[test]
    fn a_setting_that_can_not_be_made_ends_the_start_7_19() {
        let root = machine(&[]);
        let file = root.path().join(path("nf_conntrack_max"));
        fs::create_dir_all(&file).expect("a directory in its place");
        let error = apply(root.path(), &usual()).expect_err("unreadable").to_string();
        assert!(
            error.contains("nf_conntrack_max can not be read") && error.contains("--init-only"),
            "{error}"
        );
        let root = machine(&[("nf_conntrack_max", "many")]);
        assert!(apply(root.path(), &usual()).is_err());
    }
}
