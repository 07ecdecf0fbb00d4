//! Samples and what can be said of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something that is measured.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Metric {
    /// Connections that are made and closed, per second.
    Connections,
    /// How long `connect` takes, half of the time at most.
    ConnectP50,
    /// The same, 99 % of the time.
    ConnectP99,
    /// Requests over a connection, per second.
    Requests,
    /// How long a request takes, half of the time at most.
    RequestP50,
    /// The same, 99 % of the time.
    RequestP99,
    /// Small packets that a node passes on, per second of a processor's time.
    Packets,
    /// What an iperf3 stream carries.
    Throughput,
    /// Segments of it that were sent again.
    SentAgain,
    /// Processor time for each gigabit of it.
    CpuPerGigabit,
    /// What one packet costs under `BPF_PROG_TEST_RUN`.
    PacketCost,
    /// From a changed `EndpointSlice` to the kernel.
    Change,
    /// Programming everything from nothing.
    Everything,
    /// What the agent has resident.
    AgentMemory,
    /// What the maps take.
    MapMemory,
}

impl Metric {
    pub(crate) const ALL: [Self; 15] = [
        Self::Connections,
        Self::ConnectP50,
        Self::ConnectP99,
        Self::Requests,
        Self::RequestP50,
        Self::RequestP99,
        Self::Packets,
        Self::Throughput,
        Self::SentAgain,
        Self::CpuPerGigabit,
        Self::PacketCost,
        Self::Change,
        Self::Everything,
        Self::AgentMemory,
        Self::MapMemory,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Connections => "Connections made and closed",
            Self::ConnectP50 => "Time of connect(), p50",
            Self::ConnectP99 => "Time of connect(), p99",
            Self::Requests => "Requests over one connection",
            Self::RequestP50 => "Time of a request, p50",
            Self::RequestP99 => "Time of a request, p99",
            Self::Packets => "Small packets passed on, per second of processor time",
            Self::Throughput => "One iperf3 stream",
            Self::SentAgain => "Segments of it sent again",
            Self::CpuPerGigabit => "Processor time per gigabit",
            Self::PacketCost => "Cost of a packet",
            Self::Change => "One EndpointSlice change",
            Self::Everything => "Everything from scratch",
            Self::AgentMemory => "Memory of the agent",
            Self::MapMemory => "Memory of the maps",
        }
    }

    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Connections | Self::Requests | Self::Packets => "1/s",
            Self::ConnectP50 | Self::ConnectP99 | Self::RequestP50 | Self::RequestP99 => "us",
            Self::Throughput => "Gbit/s",
            Self::SentAgain => "segments",
            Self::CpuPerGigabit => "ms/Gbit",
            Self::PacketCost => "ns",
            Self::Change => "ms",
            Self::Everything => "s",
            Self::AgentMemory | Self::MapMemory => "MiB",
        }
    }

    pub(crate) const fn more_is_better(self) -> bool {
        match self {
            Self::Connections | Self::Requests | Self::Packets | Self::Throughput => true,
            Self::ConnectP50
            | Self::ConnectP99
            | Self::RequestP50
            | Self::RequestP99
            | Self::SentAgain
            | Self::CpuPerGigabit
            | Self::PacketCost
            | Self::Change
            | Self::Everything
            | Self::AgentMemory
            | Self::MapMemory => false,
        }
    }
}

/// Who or what was measured with how many services.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Subject {
    pub(crate) metric: Metric,
    pub(crate) services: u32,
    /// A contender, or a program with what it is given.
    pub(crate) name: String,
}

/// Every sample, in the order of the rounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Samples(BTreeMap<Subject, Vec<f64>>);

impl Samples {
    pub(crate) fn add(&mut self, metric: Metric, services: u32, name: &str, value: f64) {
        let subject = Subject {
            metric,
            services,
            name: name.to_owned(),
        };
        self.0.entry(subject).or_default().push(value);
    }

    pub(crate) fn of(&self, metric: Metric, services: u32, name: &str) -> Option<&[f64]> {
        let subject = Subject {
            metric,
            services,
            name: name.to_owned(),
        };
        self.0.get(&subject).map(Vec::as_slice)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&Subject, &[f64])> {
        self.0
            .iter()
            .map(|(subject, values)| (subject, values.as_slice()))
    }

    /// The sizes at which a metric was measured.
    pub(crate) fn sizes(&self, metric: Metric) -> Vec<u32> {
        let mut sizes: Vec<_> = self
            .0
            .keys()
            .filter(|it| it.metric == metric)
            .map(|it| it.services)
            .collect();
        sizes.dedup();
        sizes
    }

    /// What is known of a metric at a size, in the order of the names.
    pub(crate) fn at(&self, metric: Metric, services: u32) -> impl Iterator<Item = (&str, Spread)> {
        self.0
            .iter()
            .filter(move |(it, _)| it.metric == metric && it.services == services)
            .filter_map(|(it, values)| Some((it.name.as_str(), Spread::of(values)?)))
    }
}

/// Least, middle and most of some samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        Some(Self { least, median, most })
    }

    /// One figure.
    pub(crate) const fn only(value: f64) -> Self {
        Self {
            least: value,
            median: value,
            most: value,
        }
    }

    /// Whether every sample of one is above every sample of the other. Only then one is called better.
    pub(crate) fn is_apart_from(&self, other: &Self) -> bool {
        self.least > other.most || self.most < other.least
    }
}

/// What so many of a thousand samples do not exceed.
pub(crate) fn per_mille(values: &[f64], share: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * share).div_ceil(1000).max(1) - 1;
    sorted.get(rank).copied().unwrap_or_default()
}

/// The ratios of two contenders in each round: what disturbed a round disturbed both.
pub(crate) fn ratios(above: &[f64], below: &[f64]) -> Vec<f64> {
    above
        .iter()
        .zip(below)
        .map(|(above, below)| above / below)
        .collect()
}

/// Where the median lies with 95 % certainty, whatever the distribution: between two of the sorted samples, by how many of so
/// many fair coins fall on one side. With fewer than six samples nothing narrower than all of them is certain.
pub(crate) fn certain(values: &[f64]) -> Option<Spread> {
    let Spread { median, .. } = Spread::of(values)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = outliers(sorted.len());
    Some(Spread {
        least: sorted[cut],
        median,
        most: sorted[sorted.len() - 1 - cut],
    })
}

/// How many samples may be left away at each end: as long as no more than 2.5 % of all throws have so few heads.
fn outliers(count: usize) -> usize {
    let mut throws = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let (mut total, mut cut) = (throws, 0);
    loop {
        let (taken, left) = (cut + 1, count.saturating_sub(cut));
        throws *= whole(left) / whole(taken);
        total += throws;
        if total > 0.025 || cut * 2 + 3 > count {
            return cut;
        }
        cut += 1;
    }
}

fn whole(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_apart_differs() {
        let of = |values: &[f64]| Spread::of(values).unwrap();
        assert!(of(&[1.0, 2.0]).is_apart_from(&of(&[2.1, 3.0])));
        assert!(of(&[2.1, 3.0]).is_apart_from(&of(&[1.0, 2.0])));
        assert!(!of(&[1.0, 2.5]).is_apart_from(&of(&[2.1, 3.0])));
        let of_four = of(&[4.0, 1.0, 2.0, 3.0]);
        assert_eq!(
            of_four,
            Spread {
                least: 1.0,
                median: 2.5,
                most: 4.0
            }
        );
    }

    #[test]
    fn as_many_are_left_away_as_tables_say() {
        // The sign test's critical values, as in any table of order statistics for the median.
        for (count, cut) in [(1, 0), (5, 0), (6, 0), (9, 1), (10, 1), (12, 2), (15, 3), (20, 5)] {
            assert_eq!(outliers(count), cut, "{count}");
        }
    }
}
