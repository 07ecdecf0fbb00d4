//! A client that keeps one socket and asks all the time, so that a row can look at it whenever it wants.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::request::{check, options, via};
use crate::acceptance::row::{Ask, Expect};
use crate::acceptance::state::Protocol;
use crate::cluster::{Host, Process};
use crate::echo::{Report, clock};

/// Between two requests of the client.
const PAUSE: Duration = Duration::from_millis(3);
/// How long a request may take that nobody answers: then the next one is sent.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long a report may take to appear.
const BOUND: Duration = Duration::from_secs(30);

/// A running client.
#[derive(Debug)]
pub(super) struct Stream {
    client: Process,
    /// How many of its reports were read.
    read: usize,
    /// The first report: its source is that of the whole connection.
    first: Option<Report>,
    /// Who answered last.
    pod: Option<String>,
}

impl Stream {
    /// Starts a client.
    pub(super) fn open(host: &Host, ask: &Ask) -> anyhow::Result<Self> {
        let options = options(ask, ask.to)
            .keep()
            .count(u64::from(u32::MAX))
            .interval(PAUSE)
            .timeout(TIMEOUT);
        let mut arguments = vec!["client".to_owned()];
        arguments.extend(options.arguments());
        Ok(Self {
            client: host.run(via(ask), &arguments)?,
            read: 0,
            first: None,
            pod: None,
        })
    }

    /// Looks at requests that begin from now on.
    pub(super) fn ask(&mut self, ask: &Ask) -> anyhow::Result<()> {
        // Reports of earlier requests may still be on their way to us, more than one where the machine is busy.
        let from_now = clock();
        for _ in 0..ask.times {
            let report = loop {
                let report = self.next()?;
                if self.first.is_none() || report.began >= from_now {
                    break report;
                }
            };
            check(ask, &report)?;
            if let (Expect::Same, Some(before)) = (&ask.expect, &self.pod) {
                ensure!(
                    report.pod() == Some(before),
                    "{before} answered before, and now: {report:?}"
                );
            }
            if let (Protocol::Tcp, Some(first)) = (ask.protocol, &self.first) {
                ensure!(
                    report.source == first.source,
                    "the connection was lost and opened again: {report:?}"
                );
            }
            self.pod = report.pod().map(str::to_owned);
            self.first.get_or_insert(report);
        }
        Ok(())
    }

    fn next(&mut self) -> anyhow::Result<Report> {
        let deadline = Instant::now() + BOUND;
        loop {
            if let Some(line) = self.client.stdout().lines().get(self.read) {
                self.read += 1;
                return serde_json::from_str(line).context("cannot read a client's report");
            }
            if !self.client.is_running() || Instant::now() > deadline {
                bail!("no report came: {}", self.client.stderr().text());
            }
            std::thread::sleep(PAUSE);
        }
    }
}
