//! The servers over real sockets.

mod bind;
mod healthz;
mod pages;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use kproxy_common::{Counter, Door, Family, Port, PortSearch, Protocol, SnatKey, counter, maps};

use super::*;
use crate::plan::Fill;

/// A data plane whose counters are their own positions.
pub(super) struct Fixed;

impl Gauges for Fixed {
    fn outcomes(&self) -> Result<Vec<(Door, Counter, u64)>> {
        let doors = Door::ALL.iter();
        let outcomes = doors.flat_map(|door| Counter::ALL.iter().map(|outcome| (*door, *outcome)));
        Ok(outcomes
            .map(|(door, outcome)| (door, outcome, counter::index(door, outcome).into()))
            .collect())
    }

    fn tables(&self) -> Result<Vec<Fill>> {
        Ok(vec![Fill {
            map: maps::FLOWS,
            entries: 12,
            capacity: 1_024,
        }])
    }

    fn port_searches(&self) -> Result<Vec<(SnatKey, PortSearch)>> {
        let search = |host: u8, fill: u32| {
            let key = SnatKey {
                source: Ipv4Addr::new(10, 0, 0, 1).into(),
                destination: Ipv4Addr::new(10, 244, 0, host).into(),
                port: Port::new(80),
                protocol: Protocol::TCP,
                padding: 0,
            };
            let search = PortSearch {
                fill,
                ..PortSearch::default()
            };
            (key, search)
        };
        Ok((1..=12)
            .map(|host| search(host, u32::from(host) * PortSearch::FULL / 16))
            .collect())
    }
}

/// What waits longer than this is late: nothing, or anything.
pub(super) const NEVER_LATE: Duration = Duration::from_hours(1);
pub(super) const ALWAYS_LATE: Duration = Duration::ZERO;

pub(super) fn status(period: Duration) -> Status {
    Status::new(period, true, Events::none()).expect("metrics")
}

/// Anywhere on this machine.
pub(super) fn options() -> Options {
    Options {
        healthz: Some(anywhere()),
        metrics: anywhere(),
        ..Options::new("here")
    }
}

pub(super) fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn servers(options: Options, status: &Status) -> Servers {
    start(options, status, Arc::new(Fixed)).await.expect("servers")
}

/// Makes a family late, given a status for which everything is.
pub(super) fn queue(status: &Status, family: Family) {
    status.locked_health().queued(family, Moment::now());
}
