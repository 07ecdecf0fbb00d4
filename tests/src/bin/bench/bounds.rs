//! What was promised, beside what was measured.

use serde::Serialize;

use crate::contender::{DIRECT, EMPTY, IPTABLES, KPROXY, NFTABLES, POD, SOCKET, TC, XDP};
use crate::datapath::{BYSTANDER_OWN, BYSTANDERS, CONSTANT, ESTABLISHED_EARLY, FLOOR, SMALL_LOOKUP};
use crate::samples::{Metric, Samples, Spread, certain, per_mille, ratios};

/// Numbers of services that "every size" means.
const SIZES: [u32; 4] = [1, 1000, 10_000, 30_000];
/// The size of bounds that name none.
const USUAL: u32 = 10_000;
/// Endpoints and services of test runs.
const FEW: u32 = 10;
const MANY: u32 = 30_000;

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bound {
    pub(crate) what: String,
    pub(crate) must: String,
    pub(crate) measured: String,
    pub(crate) verdict: Verdict,
}

/// What can be said of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// All of what the median may be is on the right side.
    Holds,
    /// Something of it was not measured; what was, holds.
    NotMeasured,
    /// The bound is inside of what the median may be.
    NotDistinguishable,
    /// All of it is on the wrong side.
    Fails,
}

impl Verdict {
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::NotMeasured => "not measured",
            Self::NotDistinguishable => "not distinguishable",
            Self::Fails => "does not hold",
        }
    }
}

/// On which side of a number something must be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Must {
    AtLeast(f64),
    AtMost(f64),
}

impl Must {
    fn of(self, found: Option<Spread>) -> Verdict {
        let Some(Spread {
            least,
            median: _,
            most,
        }) = found
        else {
            return Verdict::NotMeasured;
        };
        let (worst, best) = match self {
            Self::AtLeast(bound) => (least >= bound, most >= bound),
            Self::AtMost(bound) => (most <= bound, least <= bound),
        };
        match (worst, best) {
            (true, _) => Verdict::Holds,
            (false, true) => Verdict::NotDistinguishable,
            (false, false) => Verdict::Fails,
        }
    }
}

/// Every bound, whatever was measured of it.
pub(crate) fn judge(samples: &Samples) -> Vec<Bound> {
    let mut bounds = Vec::new();
    connections(samples, &mut bounds);
    packets(samples, &mut bounds);
    costs(samples, &mut bounds);
    control(samples, &mut bounds);
    bounds
}

fn connections(samples: &Samples, bounds: &mut Vec<Bound>) {
    use Metric::{Connections, RequestP50, RequestP99};
    let usual = |metric, name| times(samples, metric, USUAL, name, DIRECT);
    let at_least = |bound| Must::AtLeast(bound);
    bounds.push(ratio(
        "connections by socket, 10,000 services",
        "direct",
        at_least(0.97),
        usual(Connections, SOCKET),
    ));
    for other in [IPTABLES, NFTABLES] {
        bounds.push(at_every_size(samples, "connections by socket", SOCKET, other));
    }
    for (metric, percentile) in [(RequestP50, "p50"), (RequestP99, "p99")] {
        bounds.push(ratio(
            &format!("request over a connection by socket, {percentile}"),
            "direct",
            Must::AtMost(1.03),
            usual(metric, SOCKET),
        ));
    }
    bounds.push(ratio(
        "connections by pod door, 10,000 services",
        "direct",
        at_least(0.9),
        usual(Connections, POD),
    ));
    bounds.push(at_every_size(samples, "connections by pod door", POD, NFTABLES));
}

fn packets(samples: &Samples, bounds: &mut Vec<Bound>) {
    for (name, other, factor) in [
        (XDP, IPTABLES, 5.0),
        (XDP, NFTABLES, 4.0),
        (TC, IPTABLES, 2.0),
        (TC, NFTABLES, 2.0),
    ] {
        bounds.push(ratio(
            &format!("packets of a core to a NodePort, {name}"),
            other,
            Must::AtLeast(factor),
            times(samples, Metric::Packets, USUAL, name, other),
        ));
    }
}

fn costs(samples: &Samples, bounds: &mut Vec<Bound>) {
    let cost = |services, name: &'static str| samples.of(Metric::PacketCost, services, name);
    bounds.push(ratio(
        "established packet by XDP, FIB included",
        "one LRU lookup and FIB",
        Must::AtMost(1.5),
        times(samples, Metric::PacketCost, MANY, ESTABLISHED_EARLY, FLOOR),
    ));
    let growths = CONSTANT.map(|name| quotient(cost(MANY, name), cost(FEW, name)));
    let worst = growths
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .and_then(|growths| {
            growths
                .into_iter()
                .max_by(|a, b| a.least.total_cmp(&b.least).then(a.most.total_cmp(&b.most)))
        });
    bounds.push(ratio(
        "any cost of a packet with 30,000 services (the one that grew most)",
        "that with 10",
        Must::AtMost(1.1),
        worst,
    ));
    let over = |name: &'static str| -> Option<Spread> {
        let [of, empty, lookup] = [name, EMPTY, SMALL_LOOKUP].map(|name| cost(MANY, name));
        let (of, empty, lookup) = (of?, empty?, lookup?);
        let each = of.iter().zip(empty).zip(lookup);
        let each: Vec<_> = each
            .map(|((of, empty), lookup)| (of - empty) / (lookup - empty))
            .collect();
        certain(&each)
    };
    for (name, lookups) in [(BYSTANDERS[0], 1.0), (BYSTANDERS[1], 1.0), (BYSTANDER_OWN, 2.0)] {
        bounds.push(ratio(
            &format!("{name}, over an empty program"),
            "one small lookup",
            Must::AtMost(lookups),
            over(name),
        ));
    }
}

fn control(samples: &Samples, bounds: &mut Vec<Bound>) {
    let of = |metric, name| samples.of(metric, USUAL, name);
    let change = of(Metric::Change, KPROXY);
    let p99 = change.map(|values| Spread::only(per_mille(values, 990)));
    bounds.push(number(
        "one EndpointSlice change, 10,000 x 10, p99",
        "ms",
        5.0,
        p99,
    ));
    bounds.push(ratio(
        "nftables for one change",
        "kproxy",
        Must::AtLeast(20.0),
        quotient(of(Metric::Change, NFTABLES), change),
    ));
    let everything = of(Metric::Everything, KPROXY);
    bounds.push(number(
        "everything from scratch, 10,000 x 10",
        "s",
        1.5,
        everything.and_then(certain),
    ));
    bounds.push(ratio(
        "nftables for everything",
        "kproxy",
        Must::AtLeast(5.0),
        quotient(of(Metric::Everything, NFTABLES), everything),
    ));
    let memory = of(Metric::AgentMemory, KPROXY).and_then(certain);
    bounds.push(number("memory of the agent, 10,000 x 10", "MiB", 64.0, memory));
}

/// One contender over another in the same rounds.
fn times(samples: &Samples, metric: Metric, size: u32, name: &str, other: &str) -> Option<Spread> {
    let (above, below) = (samples.of(metric, size, name)?, samples.of(metric, size, other)?);
    certain(&ratios(above, below))
}

/// One thing over another that was not measured in the same rounds: as far apart as both may be.
fn quotient(above: Option<&[f64]>, below: Option<&[f64]>) -> Option<Spread> {
    let (above, below) = (certain(above?)?, certain(below?)?);
    Some(Spread {
        least: above.least / below.most,
        median: above.median / below.median,
        most: above.most / below.least,
    })
}

fn ratio(what: &str, of: &str, must: Must, found: Option<Spread>) -> Bound {
    let words = match must {
        Must::AtLeast(bound) => format!(">= {bound:.2} x {of}"),
        Must::AtMost(bound) => format!("<= {bound:.2} x {of}"),
    };
    Bound {
        what: what.to_owned(),
        must: words,
        measured: found.map_or_else(
            || "-".to_owned(),
            |it| format!("{:.2} ({:.2} to {:.2})", it.median, it.least, it.most),
        ),
        verdict: must.of(found),
    }
}

fn number(what: &str, unit: &str, bound: f64, found: Option<Spread>) -> Bound {
    Bound {
        what: what.to_owned(),
        must: format!("<= {bound} {unit}"),
        measured: found.map_or_else(|| "-".to_owned(), |it| format!("{:.2} {unit}", it.median)),
        verdict: Must::AtMost(bound).of(found),
    }
}

/// The worst of all sizes counts, and holds only if all were measured.
fn at_every_size(samples: &Samples, what: &str, name: &str, other: &str) -> Bound {
    let at = |size| times(samples, Metric::Connections, size, name, other);
    let found = SIZES.map(|size| (size, at(size)));
    let words = |(size, found): &(u32, Option<Spread>)| {
        let ratio = found.map_or_else(|| "-".to_owned(), |it| format!("{:.2}", it.median));
        format!("{size}: {ratio}")
    };
    let verdicts = found.iter().map(|(_, found)| Must::AtLeast(1.0).of(*found));
    Bound {
        what: format!("{what}, at every size"),
        must: format!("above {other}"),
        measured: found.iter().map(words).collect::<Vec<_>>().join(", "),
        verdict: verdicts.max().unwrap_or(Verdict::NotMeasured),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bound: Must, least: f64, most: f64) -> Verdict {
        bound.of(Some(Spread {
            least,
            median: f64::midpoint(least, most),
            most,
        }))
    }

    #[test]
    fn a_bound_inside_the_noise_is_not_called() {
        let must = Must::AtLeast(0.97);
        assert_eq!(verdict(must, 0.98, 1.01), Verdict::Holds);
        assert_eq!(verdict(must, 0.95, 1.01), Verdict::NotDistinguishable);
        assert_eq!(verdict(must, 0.90, 0.95), Verdict::Fails);
        assert_eq!(verdict(Must::AtMost(1.5), 1.6, 1.7), Verdict::Fails);
        assert_eq!(Must::AtMost(1.5).of(None), Verdict::NotMeasured);
    }

    #[test]
    fn nothing_holds_that_was_not_measured() {
        let bounds = judge(&Samples::default());
        assert!(
            bounds.iter().all(|it| it.verdict == Verdict::NotMeasured),
            "{bounds:?}"
        );
    }

    #[test]
    fn one_size_that_was_not_measured_is_enough() {
        let mut samples = Samples::default();
        for (name, rate) in [(SOCKET, 3.0), (IPTABLES, 1.0)] {
            samples.add(Metric::Connections, 10_000, name, rate);
        }
        let bound = at_every_size(&samples, "", SOCKET, IPTABLES);
        assert_eq!(bound.verdict, Verdict::NotMeasured);
        assert_eq!(bound.measured, "1: -, 1000: -, 10000: 3.00, 30000: -");
    }
}
