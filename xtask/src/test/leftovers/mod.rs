//! Finds what tests leave behind: in the kernel, below its file systems, and as running processes.
//!
//! Everything but processes is found by comparing what there is before and after; so whatever somebody else makes
//! during the run looks like ours. Processes are found by descent, and ended.

mod bpf;
mod kernel;
mod places;
mod processes;

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long things may take to vanish: the kernel frees programs and namespaces some time after their last user.
const PATIENCE: Duration = Duration::from_secs(5);

/// Knows what there was before.
#[derive(Debug)]
pub(super) struct Watch {
    before: BTreeSet<String>,
}

impl Watch {
    /// Looks around. From now on, orphans among our descendants become our children instead of getting lost.
    pub(super) fn start() -> Result<Self> {
        nix::sys::prctl::set_child_subreaper(true).context("asking for the orphans of tests")?;
        Ok(Self { before: snapshot() })
    }

    /// Fails with the names of everything that was not there before, and ends processes.
    pub(super) fn finish(self) -> Result<()> {
        let start = Instant::now();
        let mut left = self.left();
        while !left.is_empty() && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(100));
            left = self.left();
        }
        processes::end();
        if left.is_empty() {
            return Ok(());
        }
        let left: Vec<_> = left.into_iter().collect();
        bail!("left behind:\n{}", left.join("\n"));
    }

    fn left(&self) -> BTreeSet<String> {
        let mut left = added(&self.before, &snapshot());
        left.extend(processes::running());
        left
    }
}

/// Everything that tests make and have to remove, each described by one line.
fn snapshot() -> BTreeSet<String> {
    places::all().into_iter().chain(kernel::all()).collect()
}

fn added(before: &BTreeSet<String>, after: &BTreeSet<String>) -> BTreeSet<String> {
    after.difference(before).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::added;

    #[test]
    fn only_what_is_new_is_left_behind() {
        let set = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let before = set(&["pin /sys/fs/bpf/other", "BPF program 7 (sd_devices)"]);
        let after = set(&["pin /sys/fs/bpf/kproxy-12", "pin /sys/fs/bpf/other"]);
        assert_eq!(added(&before, &after), set(&["pin /sys/fs/bpf/kproxy-12"]));
    }
}
