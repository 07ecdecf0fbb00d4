//! A page for people: one file, with nothing to fetch.

mod chart;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::bounds::{Bound, Verdict};
use crate::results::Results;
use crate::samples::{Metric, Samples};
use crate::summary::{Row, figure, rows, services, tail};

const STYLE: &str = "\
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.25rem; margin-top: 2.5rem } h3 { font-size: 1rem; margin-bottom: .3rem }
p.quiet { color: #57606a; margin-top: 0 }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem } th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid #e3e6ea; vertical-align: top }
td.figure, th.figure { text-align: right; font-variant-numeric: tabular-nums }
.holds { color: #116329 } .fails { color: #a40e26; font-weight: 600 } .open { color: #7d4e00 }
svg { width: 100%; height: auto } details { margin-bottom: 1rem } summary { cursor: pointer; color: #57606a }";

/// Sections with what they show.
const SECTIONS: [(&str, &str, &[Metric]); 6] = [
    (
        "Connections",
        "From a pod to a pod of the same node, by a ClusterIP; direct: by the pod's address on a node without a proxy. Client and \
         server share one processor. Each connection is made and reset.",
        &[Metric::Connections, Metric::ConnectP50, Metric::ConnectP99],
    ),
    (
        "Requests",
        "A byte there and a byte back over an open connection, the same way.",
        &[Metric::RequestP50, Metric::RequestP99, Metric::Requests],
    ),
    (
        "Small packets",
        "Datagrams of 60 bytes in 64 open flows, from a client outside by the node's NodePort to a pod elsewhere, sent by XDP and \
         counted for each second of processor time that the node needs for them. direct: the node only routes.",
        &[Metric::Packets],
    ),
    (
        "Streams",
        "One iperf3 stream over the same way. Everything shares one processor, sender and receiver included, and their devices \
         neither cut segments nor compute checksums.",
        &[Metric::Throughput, Metric::CpuPerGigabit, Metric::SentAgain],
    ),
    (
        "Cost of a packet",
        "Each program by itself under BPF_PROG_TEST_RUN: one flow, warm caches.",
        &[Metric::PacketCost],
    ),
    (
        "Control plane",
        "kproxy: from the arrival of a changed EndpointSlice to the last map write, and from the last list to the last map write. \
         Rules: how long iptables-restore or nft take for the same change and for everything, their own start included, without \
         the proxy that would call them.",
        &[
            Metric::Change,
            Metric::Everything,
            Metric::AgentMemory,
            Metric::MapMemory,
        ],
    ),
];

/// The page.
pub(crate) fn html(results: &Results) -> anyhow::Result<String> {
    let sections = SECTIONS
        .iter()
        .map(|(title, words, metrics)| section(&results.samples, title, words, metrics))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "kproxy: benchmark" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "kproxy beside what it replaces" }
                p.quiet {
                    (results.machine.words()) br;
                    (results.machine.versions()) br;
                    (format!("plan {}, {} rounds, {:.0} s", results.plan, results.rounds, results.seconds))
                }
                p {
                    "Bars are medians of rounds in which all contenders took turns; whiskers reach from the least to the most. Two \
                     contenders differ only where these do not overlap."
                }
                h2 { "Bounds" }
                (bounds(&results.bounds))
                @if !results.left_out.is_empty() {
                    h2 { "Left out" }
                    ul {
                        @for left_out in &results.left_out {
                            li { (left_out.what) ": " (left_out.reason) }
                        }
                    }
                }
                @for section in &sections { (section) }
            }
        }
    };
    Ok(page.into_string())
}

fn bounds(bounds: &[Bound]) -> Markup {
    let class = |verdict| match verdict {
        Verdict::Holds => "holds",
        Verdict::Fails => "fails",
        Verdict::NotMeasured | Verdict::NotDistinguishable => "open",
    };
    html! {
        p.quiet {
            "In brackets what the median may be (95 %, by the order of the rounds). A bound inside of that is not called."
        }
        table {
            tr { th { "what" } th { "must be" } th { "measured" } th { "holds?" } }
            @for bound in bounds {
                tr {
                    td { (bound.what) }
                    td { (bound.must) }
                    td { (bound.measured) }
                    td class=(class(bound.verdict)) { (bound.verdict.words()) }
                }
            }
        }
    }
}

fn section(samples: &Samples, title: &str, words: &str, metrics: &[Metric]) -> anyhow::Result<Markup> {
    let charts = metrics
        .iter()
        .map(|metric| charts(samples, *metric))
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(html! {
        h2 { (title) }
        p { (words) }
        @if charts.iter().all(|chart| chart.0.is_empty()) { p.open { "Not measured in this run." } }
        @for chart in &charts { (chart) }
    })
}

/// What a metric looks like at every size.
fn charts(samples: &Samples, metric: Metric) -> anyhow::Result<Markup> {
    let sizes = samples.sizes(metric);
    let mut parts = Vec::new();
    if sizes.len() > 2 {
        parts.push(html! {
            h3 { (metric.title()) ", by the number of services (" (metric.unit()) ")" }
            (PreEscaped(chart::lines(samples, metric)?))
        });
    }
    for size in sizes {
        let rows = rows(samples, metric, size);
        parts.push(html! {
            h3 { (metric.title()) ", " (services(size)) " (" (metric.unit()) ", " (direction(metric)) " is better)" }
            (PreEscaped(chart::bars(&rows)?))
            details { summary { "figures" } (table(samples, metric, size, &rows)) }
        });
    }
    Ok(html! { @for part in &parts { (part) } })
}

const fn direction(metric: Metric) -> &'static str {
    if metric.more_is_better() { "more" } else { "less" }
}

fn table(samples: &Samples, metric: Metric, size: u32, rows: &[Row<'_>]) -> Markup {
    html! {
        table {
            tr { th {} th.figure { "median" } th.figure { "least" } th.figure { "most" } th {} }
            @for row in rows {
                tr {
                    td { (row.name) }
                    td.figure { (figure(row.spread.median)) }
                    td.figure { (figure(row.spread.least)) }
                    td.figure { (figure(row.spread.most)) }
                    td { (row.beside) (tail(samples, metric, size, row.name)) }
                }
            }
        }
    }
}
