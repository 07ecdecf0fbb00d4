//! After the story: everything runs on, and what kproxy programs is shown.

use std::{env, path::PathBuf, thread, time::Duration};

use crate::demo::{
    screen::{Screen, dim, duration},
    world::World,
};

/// Prints how to play with the cluster, then every change that reaches a node. Does not return: the process ends it.
pub fn keep(world: &World, screen: &Screen) {
    let kubectl = format!(
        "{} --kubeconfig {}",
        kubectl(),
        world.given.kubeconfig_file.display()
    );
    let [_, client] = world.clients();
    let client = client.host.namespace().name();
    screen.row("Everything runs on until Ctrl-C. In another terminal:");
    screen.row("");
    screen.row(&format!("  {kubectl} get services,endpointslices,nodes"));
    screen.row(&format!(
        r#"  {kubectl} patch service web --patch '{{"spec":{{"selector":{{"color":"blue"}}}}}}'"#
    ));
    let [web, _] = world.service("web", 80);
    screen.row(&format!(
        "  ip netns exec {client} {} client --to {web} --count 5   {}",
        echo(),
        dim("by packet")
    ));
    screen.row("");
    let programmed = |(_, agent): &(String, crate::cluster::Agent)| agent.timed_messages("programmed");
    let mut shown = world
        .agents
        .iter()
        .map(|agent| programmed(agent).len())
        .collect::<Vec<_>>();
    loop {
        thread::sleep(Duration::from_millis(100));
        for (agent, shown) in world.agents.iter().zip(&mut shown) {
            for (_, fields) in programmed(agent).into_iter().skip(*shown) {
                *shown += 1;
                let number = |name: &str| fields[name].as_u64().unwrap_or_default();
                let took = duration(Duration::from_micros(number("micros")));
                let (services, writes) = (number("services"), number("writes"));
                screen.row(&format!(
                    "node {}: {services} service ports, {writes} map writes, {took}",
                    agent.0
                ));
            }
        }
    }
}

/// On the search path, or where the set-up puts it.
fn kubectl() -> String {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|folder| folder.join("kubectl").is_file());
    let own = beside("../tools/kubectl").filter(|own| !found && own.is_file());
    own.map_or_else(|| "kubectl".to_owned(), |own| own.display().to_string())
}

fn echo() -> String {
    beside("echo").map_or_else(|| "echo".to_owned(), |path| path.display().to_string())
}

fn beside(name: &str) -> Option<PathBuf> {
    env::current_exe()
        .ok()?
        .parent()
        .map(|folder| folder.join(name))
        .and_then(|path| path.canonicalize().ok())
}
