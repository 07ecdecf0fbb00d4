//! How large kproxy's tables are: asked for, or scaled with the machine's memory.
//!
//! A default never makes a table smaller than it is: the memory that the kernel reports changes a little with every
//! kernel, and a table in use can not shrink. Powers of two keep it from growing by a little at every other start.

use std::ops::RangeInclusive;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::dataplane::Sizes;

/// A size that is not asked for, in entries: a power of two.
#[derive(Clone, Copy)]
struct Scale {
    per_gibibyte: u64,
    least: u32,
    most: u32,
}

/// About 170 bytes an entry, two entries a connection: 0.3 % of the memory.
const FLOWS: Scale = Scale {
    per_gibibyte: 16_384,
    least: 131_072,
    most: 4_194_304,
};
const NEW_FLOWS: Scale = Scale {
    per_gibibyte: 4_096,
    least: 65_536,
    most: 1_048_576,
};
const FRONTENDS: Scale = Scale {
    per_gibibyte: 4_096,
    least: 16_384,
    most: 262_144,
};
const BACKENDS: Scale = Scale {
    per_gibibyte: 8_192,
    least: 65_536,
    most: 1_048_576,
};
/// About 110 bytes an entry, all of which the kernel takes at once.
const AFFINITY: Scale = Scale {
    per_gibibyte: 4_096,
    least: 16_384,
    most: 1_048_576,
};
/// About 60 bytes an entry, only for those that are there.
const SOURCE_RANGES: Scale = Scale {
    per_gibibyte: 4_096,
    least: 16_384,
    most: 262_144,
};
/// Eight bytes an entry, to which the kernel rounds up the values of arrays. A service needs its run twice while it changes, and room for longer runs must not be scattered.
const SLOTS: Scale = Scale {
    per_gibibyte: 65_536,
    least: 524_288,
    most: 8_388_608,
};

/// What a machine is taken to have when it does not say.
const UNKNOWN_MEMORY: u64 = 1 << 30;

/// What may be asked for.
type Range = RangeInclusive<i64>;
const FLOW_ENTRIES: Range = 1_024..=67_108_864;
const FRONTEND_ENTRIES: Range = 16..=4_194_304;
const BACKEND_ENTRIES: Range = 16..=16_777_216;
const SLOT_ENTRIES: Range = 16..=268_435_456;
const AFFINITY_ENTRIES: Range = 16..=67_108_864;
const SOURCE_RANGE_ENTRIES: Range = 16..=16_777_216;

/// The options. Every size counts entries; all tables together take about 1 % of the memory by default. Defaults are
/// rounded up to powers of two, and never less than the pinned table has.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[command(
    next_help_heading = "Sizes, in entries (defaults: rounded up to powers of two, never less than what is pinned)"
)]
pub struct SizeArgs {
    /// Connections that are tracked, two entries each (170 bytes an entry) [default: 16384 per GiB of memory, 131072 to
    /// 4194304].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(FLOW_ENTRIES))]
    pub flows: Option<u32>,

    /// Connections whose peer has not answered yet, two entries each [default: 4096 per GiB of memory, 65536 to
    /// 1048576].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(FLOW_ENTRIES))]
    pub new_flows: Option<u32>,

    /// Service addresses with their ports [default: 4096 per GiB of memory, 16384 to 262144].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(FRONTEND_ENTRIES))]
    pub frontends: Option<u32>,

    /// Endpoints, counted once for each service port [default: 8192 per GiB of memory, 65536 to 1048576].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(BACKEND_ENTRIES))]
    pub backends: Option<u32>,

    /// Places for endpoints in the order of their service (8 bytes each), at least as many as backends, and for tables of
    /// Maglev; a change needs its service's places twice [default: 65536 per GiB of memory, 524288 to 8388608].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(SLOT_ENTRIES))]
    pub slots: Option<u32>,

    /// Clients that are remembered for session affinity, each once for each service port [default: 4096 per GiB of
    /// memory, 16384 to 1048576].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(AFFINITY_ENTRIES))]
    pub affinity: Option<u32>,

    /// Ranges of clients that may ask services (loadBalancerSourceRanges), counted once for each service port; a
    /// changed list needs its places twice [default: 4096 per GiB of memory, 16384 to 262144].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(SOURCE_RANGE_ENTRIES))]
    pub source_ranges: Option<u32>,
}

/// A size of a file that can not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} entries can not be had; use {least} to {most}")]
pub struct RangeError {
    asked: u32,
    least: i64,
    most: i64,
}

impl SizeArgs {
    /// These, and where nothing is asked for, the other ones.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            flows: self.flows.or(other.flows),
            new_flows: self.new_flows.or(other.new_flows),
            frontends: self.frontends.or(other.frontends),
            backends: self.backends.or(other.backends),
            slots: self.slots.or(other.slots),
            affinity: self.affinity.or(other.affinity),
            source_ranges: self.source_ranges.or(other.source_ranges),
        }
    }

    /// The fields that can not be had. The command line has checked its own.
    pub fn out_of_range(&self) -> impl Iterator<Item = (&'static str, RangeError)> {
        let Self {
            flows,
            new_flows,
            frontends,
            backends,
            slots,
            affinity,
            source_ranges,
        } = *self;
        let fields = [
            ("flows", flows, FLOW_ENTRIES),
            ("newFlows", new_flows, FLOW_ENTRIES),
            ("frontends", frontends, FRONTEND_ENTRIES),
            ("backends", backends, BACKEND_ENTRIES),
            ("slots", slots, SLOT_ENTRIES),
            ("affinity", affinity, AFFINITY_ENTRIES),
            ("sourceRanges", source_ranges, SOURCE_RANGE_ENTRIES),
        ];
        fields.into_iter().filter_map(|(name, asked, range)| {
            let asked = asked.filter(|asked| !range.contains(&i64::from(*asked)))?;
            let (least, most) = range.into_inner();
            Some((name, RangeError { asked, least, most }))
        })
    }
}

/// Sizes that do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--slots {slots} is less than --backends {backends}: every endpoint needs a slot, and two while it changes"
)]
pub struct SizeError {
    slots: u32,
    backends: u32,
}

impl SizeArgs {
    /// What was asked for, and for the rest what fits a machine with so many bytes of memory, or what is pinned if that
    /// is more.
    ///
    /// # Errors
    ///
    /// When there are fewer slots than backends.
    pub fn resolve(&self, memory: Option<u64>, pinned: &Sizes) -> Result<Sizes, SizeError> {
        let Self {
            flows,
            new_flows,
            frontends,
            backends,
            slots,
            affinity,
            source_ranges,
        } = self;
        let memory = memory.unwrap_or(UNKNOWN_MEMORY);
        let choose = |asked: Option<u32>, scale: Scale, pinned: u32| {
            asked.unwrap_or_else(|| scale.entries(memory).max(pinned))
        };
        let backends = choose(*backends, BACKENDS, pinned.backends);
        let sizes = Sizes {
            // No more addresses have a frontend; those of the node are few, and former ones go when room is needed.
            addresses: choose(*frontends, FRONTENDS, pinned.addresses),
            frontends: choose(*frontends, FRONTENDS, pinned.frontends),
            flows_new: choose(*new_flows, NEW_FLOWS, pinned.flows_new),
            socket_flows: choose(*new_flows, NEW_FLOWS, pinned.socket_flows),
            flows: choose(*flows, FLOWS, pinned.flows),
            affinity: choose(*affinity, AFFINITY, pinned.affinity),
            source_ranges: choose(*source_ranges, SOURCE_RANGES, pinned.source_ranges),
            backends,
            slots: slots.unwrap_or_else(|| {
                let twice = backends.saturating_mul(2);
                SLOTS.entries(memory).max(twice).max(pinned.slots)
            }),
        };
        if sizes.slots < backends {
            return Err(SizeError {
                slots: sizes.slots,
                backends,
            });
        }
        Ok(sizes)
    }
}

impl Scale {
    fn entries(self, memory: u64) -> u32 {
        let entries = (memory >> 20).saturating_mul(self.per_gibibyte) >> 10;
        u32::try_from(entries)
            .ok()
            .and_then(u32::checked_next_power_of_two)
            .unwrap_or(u32::MAX)
            .clamp(self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(asked: &SizeArgs, mebibytes: u64, pinned: &Sizes) -> Sizes {
        asked
            .resolve(Some(mebibytes << 20), pinned)
            .expect("sizes fit together")
    }

    #[test]
    fn sizes_grow_with_memory_within_bounds() {
        let flows = |gibibytes: u64| resolve(&SizeArgs::default(), gibibytes << 10, &Sizes::NONE).flows;
        assert_eq!(flows(1), 131_072);
        assert_eq!(flows(64), 1_048_576);
        assert_eq!(flows(4_096), 4_194_304);
        assert_eq!(
            SizeArgs::default()
                .resolve(None, &Sizes::NONE)
                .expect("defaults")
                .flows,
            131_072
        );
    }

    #[test]
    fn a_little_more_or_less_memory_is_no_other_size() {
        let defaults = SizeArgs::default();
        let nominal = resolve(&defaults, 16 << 10, &Sizes::NONE);
        for mebibytes in [15_989, 15_990, 16_001] {
            assert_eq!(
                resolve(&defaults, mebibytes, &Sizes::NONE),
                nominal,
                "{mebibytes}"
            );
        }
    }

    #[test]
    fn what_is_pinned_shrinks_only_when_asked() {
        let large = resolve(&SizeArgs::default(), 256 << 10, &Sizes::NONE);
        assert_eq!(resolve(&SizeArgs::default(), 1 << 10, &large), large);
        let asked = SizeArgs {
            frontends: Some(100),
            ..SizeArgs::default()
        };
        let expected = Sizes {
            addresses: 100,
            frontends: 100,
            ..large
        };
        assert_eq!(resolve(&asked, 1 << 10, &large), expected);
    }

    #[test]
    fn what_is_asked_for_is_used() {
        let asked = SizeArgs {
            backends: Some(16_777_216),
            ..SizeArgs::default()
        };
        assert_eq!(resolve(&asked, 1, &Sizes::NONE).slots, 33_554_432);
        let asked = SizeArgs {
            backends: Some(100),
            slots: Some(50),
            ..SizeArgs::default()
        };
        let error = asked.resolve(None, &Sizes::NONE).expect_err("too few slots");
        assert!(
            error
                .to_string()
                .starts_with("--slots 50 is less than --backends 100")
        );
    }
}
