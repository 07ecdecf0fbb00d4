//! What the kernel counts about TCP in a network namespace.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;
use kproxy_tests::cluster::Host;

/// Segments that had to be sent again since something was lost on the way.
///
/// A busy machine sends some again too early, when an answer takes longer than it did before. Who gets such a segment
/// twice says so (RFC 2883).
pub(crate) fn lost(hosts: &[&Host]) -> anyhow::Result<i64> {
    let count = |host: &&Host| -> anyhow::Result<i64> {
        let counters = counters(host)?;
        let value = |name: &str| {
            counters
                .get(name)
                .copied()
                .with_context(|| format!("no counter {name}"))
        };
        Ok(value("RetransSegs")? - value("TCPDSACKRecv")?)
    };
    hosts.iter().map(count).sum()
}

/// Lines come in pairs, names and numbers.
fn counters(host: &Host) -> anyhow::Result<BTreeMap<String, i64>> {
    let text = host.namespace().run(|| {
        // `/proc/net` is the namespace of the process, not of its thread.
        ["snmp", "netstat"]
            .map(|file| fs::read_to_string(format!("/proc/thread-self/net/{file}")))
            .into_iter()
            .collect::<Result<String, _>>()
    })??;
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("Tcp")).collect();
    let pairs = lines.chunks_exact(2).flat_map(|pair| {
        let [names, numbers] = [pair[0], pair[1]].map(str::split_whitespace);
        names.zip(numbers).skip(1)
    });
    Ok(pairs
        .filter_map(|(name, number)| Some((name.to_owned(), number.parse().ok()?)))
        .collect())
}
