//! How long each change took.

use std::time::Duration;

use crate::demo::{
    screen::{Screen, duration},
    world::{Change, Reached, World},
};

/// What a change may take end to end. Generous: the machine is busy with the load, the API server and both nodes.
const PROMPT: Duration = Duration::from_secs(1);

/// Every change so far, for every node: from the call of the API server to the last write into the kernel.
pub fn times(world: &World, screen: &mut Screen) {
    screen.scene("How long each change took to reach the kernel");
    screen
        .say("from the call of the API server, through the EndpointSlice controller, to the last map write;");
    screen.say("in brackets kproxy's own part: from the event's arrival to the last write");
    for Change { what, nodes } in &world.changes {
        let node = |Reached {
                        node,
                        after,
                        kproxy,
                        writes,
                    }: &Reached| {
            format!(
                "{node} {:>7} ({:>7}, {writes:>2} writes)",
                duration(*after),
                duration(*kproxy)
            )
        };
        let nodes = nodes.iter().map(node).collect::<Vec<_>>().join("    ");
        screen.row(&format!("{what:<24}{nodes}"));
    }
    let slowest = world
        .changes
        .iter()
        .flat_map(|change| &change.nodes)
        .map(|reached| reached.after)
        .max();
    let slowest = slowest.unwrap_or(Duration::MAX);
    let text = format!(
        "every change was in both kernels after {} at most",
        duration(slowest)
    );
    screen.claim(slowest < PROMPT, &text);
}
