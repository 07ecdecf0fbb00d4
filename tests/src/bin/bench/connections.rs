//! From a pod to a pod: connections, and requests over one.

use std::time::Duration;

use crate::contender::INSIDE;
use crate::samples::{Metric, Samples};
use crate::stage::Stage;
use crate::worker::Said;

/// One turn of every contender that has a stage; who comes first changes from round to round.
pub(crate) fn round(
    stages: &[(crate::translator::Translator, Stage)],
    (size, round): (u32, u32),
    turn: Duration,
    samples: &mut Samples,
) -> anyhow::Result<()> {
    let first = round as usize % INSIDE.len();
    for contender in INSIDE.iter().cycle().skip(first).take(INSIDE.len()) {
        let Some((_, stage)) = stages.iter().find(|(it, _)| *it == contender.translator) else {
            continue;
        };
        let client = stage.client(contender.via);
        let run = |part: &str| -> anyhow::Result<Said> {
            let words = [
                part.to_owned(),
                stage.near().to_string(),
                turn.as_millis().to_string(),
            ];
            stage.run(client, contender.via, &words, turn)
        };
        let mut add = |metric, value| samples.add(metric, size, contender.name, value);
        let connections = run("connect")?;
        add(Metric::Connections, connections.rate);
        add(Metric::ConnectP50, connections.p50);
        add(Metric::ConnectP99, connections.p99);
        let requests = run("ask")?;
        add(Metric::Requests, requests.rate);
        add(Metric::RequestP50, requests.p50);
        add(Metric::RequestP99, requests.p99);
    }
    Ok(())
}
