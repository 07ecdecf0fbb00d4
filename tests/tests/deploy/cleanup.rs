//! The overlay that takes kproxy out of a node's kernel.

use anyhow::ensure;

use super::stage::{Stage, on_stage};

async fn removes_everything(stage: Stage<'_>) -> anyhow::Result<()> {
    let addresses = stage.publish().await?;
    let agent = stage.start(&stage.container().await?)?;
    stage.is_served(addresses)?;
    agent.stop()?;
    ensure!(stage.pins().exists(), "nothing is pinned");

    stage.apply("cleanup")?;
    let container = stage.container().await?;
    let (success, said) = stage.run(&container)?;

    ensure!(success && said.contains("removed "), "{said}");
    ensure!(!stage.pins().exists(), "something is left: {said}");
    // Its pod is started again and again until the daemon set is deleted.
    let (success, said) = stage.run(&container)?;
    ensure!(success && said.contains("nothing of kproxy"), "{said}");
    Ok(())
}

#[test]
fn the_overlay_for_it_cleans_up() {
    on_stage("cleanup", removes_everything);
}
