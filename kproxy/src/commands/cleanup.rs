//! Leaves a node as if kproxy had never been there.

use anyhow::{Context, Result};

use crate::cli::CleanupArgs;
use crate::dataplane::{Dataplane, RemovedReport};
use crate::node::privileges;

/// Removes what kproxy has pinned, and says what that was. Nothing there is fine.
///
/// # Errors
///
/// When an agent uses the pin directory, or the kernel does not let go of something.
pub fn cleanup(arguments: &CleanupArgs) -> Result<()> {
    privileges::check()?;
    let pin_dir = &arguments.places.pin_dir;
    let RemovedReport { links, maps } =
        Dataplane::remove_all(pin_dir).with_context(|| format!("clean up {}", pin_dir.display()))?;
    if links == 0 && maps == 0 {
        println!("nothing of kproxy in {}", pin_dir.display());
    } else {
        println!(
            "removed {links} links with their programs and {maps} maps from {}",
            pin_dir.display()
        );
    }
    Ok(())
}
