//! Leaves a node as if no proxy had ever been there.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::cli::CleanupArgs;
use crate::config::Config;
use crate::dataplane::{Dataplane, RemovedReport};
use crate::node::{former_proxy, privileges};
use crate::paths::DEFAULT_PIN_DIR;

/// `kproxy cleanup`: removes what kproxy has pinned, and says what that was. Nothing there is fine.
///
/// # Errors
///
/// When an agent uses the pin directory, or the kernel does not let go of something.
pub fn cleanup(arguments: &CleanupArgs) -> Result<()> {
    privileges::check()?;
    let pin_dir = arguments.places.pin_dir.as_deref();
    println!(
        "{}",
        remove_own(pin_dir.unwrap_or_else(|| Path::new(DEFAULT_PIN_DIR)))?
    );
    Ok(())
}

/// `kproxy run --cleanup`: removes that, and what a former kube-proxy has left.
///
/// # Errors
///
/// The same, and when a rule of kube-proxy's can not be removed. Everything is tried before.
pub fn cleanup_all(config: &Config) -> Result<()> {
    privileges::check()?;
    let report = former_proxy::remove();
    tell(&report);
    let own = remove_own(&config.own.pin_dir)?;
    tracing::info!("{own}");
    let former_proxy::Report { failed, .. } = report;
    ensure!(
        failed.is_empty(),
        "not all rules of kube-proxy are gone: {}",
        failed.join("; ")
    );
    Ok(())
}

/// Removes what a former kube-proxy has left, when a normal run serves every service. Failure is only logged (semantics
/// 10.16).
pub fn remove_former_proxy() {
    let report = former_proxy::remove();
    tell(&report);
    for failed in report.failed {
        tracing::warn!("not all rules of kube-proxy are gone: {failed}");
    }
}

fn tell(report: &former_proxy::Report) {
    if !report.looked {
        tracing::warn!("no iptables and no nft here: rules of a former kube-proxy, if there are any, stay");
    }
    for removed in &report.removed {
        tracing::info!("removed {removed}");
    }
}

fn remove_own(pin_dir: &Path) -> Result<String> {
    let RemovedReport { links, maps } =
        Dataplane::remove_all(pin_dir).with_context(|| format!("clean up {}", pin_dir.display()))?;
    Ok(if links == 0 && maps == 0 {
        format!("nothing of kproxy in {}", pin_dir.display())
    } else {
        format!(
            "removed {links} links with their programs and {maps} maps from {}",
            pin_dir.display()
        )
    })
}
