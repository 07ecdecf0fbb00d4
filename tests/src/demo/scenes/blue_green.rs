//! A blue-green switch by label, under load.

use std::{collections::BTreeMap, thread, time::Duration};

use serde_json::json;

use crate::{
    cluster::Load,
    demo::{
        screen::{Screen, dim, pod},
        world::{Client, World},
    },
    echo::{Options, Totals},
};

/// Clients by socket and as many by packet, each with a pause between its requests: the load is bounded.
const WORKERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(5);
/// How long each state lasts.
const PHASE: Duration = Duration::from_secs(1);
/// What was under way when the kernel had a change is counted as before: a request and the load's own reporting.
const UNDER_WAY: Duration = Duration::from_millis(300);

/// Three blue pods, six for a moment, three green ones; new connections all the while.
///
/// # Errors
/// When a client can not run or a change does not reach the nodes.
pub fn blue_green(world: &mut World, screen: &mut Screen) -> anyhow::Result<()> {
    screen.scene("A blue-green switch by label, under load");
    screen.say(&format!(
        "{WORKERS} clients by socket and {WORKERS} by packet, a new connection per request"
    ));
    let [v4, v6] = world.service("web", 80);
    let options = Options::to(v4).and_to(v6).interval(PAUSE);
    let start = |Client { host, via, way }: Client<'_>| Ok((way, host.load(via, &options, WORKERS)?));
    let loads = world
        .clients()
        .into_iter()
        .map(start)
        .collect::<anyhow::Result<Vec<_>>>()?;

    let none = BTreeMap::new();
    thread::sleep(PHASE);
    let blue = seen(&loads);
    phase(screen, "app=web,color=blue", &none, &blue);

    world.select("web", &json!({ "color": null }), "web: 3 pods -> 6 pods")?;
    thread::sleep(UNDER_WAY);
    let before_six = seen(&loads);
    thread::sleep(PHASE);
    let six = seen(&loads);
    phase(screen, "app=web", &before_six, &six);

    world.select("web", &json!({ "color": "green" }), "web: 6 pods -> 3 pods")?;
    thread::sleep(UNDER_WAY);
    let before_green = seen(&loads);
    thread::sleep(PHASE);
    let green = seen(&loads);
    phase(screen, "app=web,color=green", &before_green, &green);

    let mut totals = Totals::default();
    for (way, load) in loads {
        let (part, failures) = load.stop()?;
        for failure in failures.iter().take(3) {
            screen.say(&format!("failed {way}: {failure:?}"));
        }
        totals.requests += part.requests;
        totals.slowest_micros = totals.slowest_micros.max(part.slowest_micros);
        for (result, count) in part.results {
            *totals.results.entry(result).or_default() += count;
        }
    }
    let failed = totals.failed();
    screen.claim(
        failed == 0 && totals.requests > 0,
        &format!("{failed} of {} requests failed", totals.requests),
    );
    screen.claim(colors(&blue) == ["blue"], "three blue pods answered at first");
    screen.claim(
        difference(&before_six, &six).len() == 6,
        "all six pods answered in between",
    );
    let last = difference(&before_green, &green);
    screen.claim(
        colors(&last) == ["green"] && last.len() == 3,
        "only the three green pods answered in the end",
    );
    Ok(())
}

type Counts = BTreeMap<String, u64>;

fn seen(loads: &[(&str, Load)]) -> Counts {
    let mut pods = Counts::new();
    for (name, count) in loads.iter().flat_map(|(_, load)| load.progress().pods) {
        *pods.entry(name).or_default() += count;
    }
    pods
}

/// Who answered how often in between.
fn difference(before: &Counts, after: &Counts) -> Counts {
    let more = after
        .iter()
        .map(|(name, count)| (name.clone(), count - before.get(name).copied().unwrap_or(0)));
    more.filter(|(_, count)| *count > 0).collect()
}

fn colors(pods: &Counts) -> Vec<&str> {
    let mut colors: Vec<_> = pods.keys().filter_map(|name| name.split('-').nth(1)).collect();
    colors.dedup();
    colors
}

fn phase(screen: &Screen, selector: &str, before: &Counts, after: &Counts) {
    let counts = difference(before, after);
    let shares = counts
        .iter()
        .map(|(name, count)| format!("{} {count}", pod(name.trim_start_matches("web-"))));
    screen.row(&format!(
        "{selector:<22}{}",
        shares.collect::<Vec<_>>().join(&dim("  "))
    ));
}
