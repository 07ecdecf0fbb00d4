//! Clients that ask all the time, and what their own system calls told them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use kproxy_tests::cluster::{Host, Load, Process, Via};
use kproxy_tests::echo::{Mode, Options, Outcome, Report};
use kproxy_tests::patience::patience;

/// Against hanging; longer than a client waits for an answer.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// How the system puts what a socket is told whose backend is gone: ECONNABORTED to one that waits for an answer or looks
/// at its error, EDESTADDRREQ to one that sends, since it is not connected any more.
const TOLD: [&str; 2] = ["os error 103", "os error 89"];

/// How long a client waits for an answer before it asks again, on the same socket.
const PATIENCE: Duration = Duration::from_millis(200);

fn options([v4, v6]: [SocketAddr; 2]) -> Options {
    let options = Options::to(v4).and_to(v6);
    options
        .interval(Duration::from_millis(10))
        .timeout(patience(PATIENCE))
}

/// One request on a new socket.
pub(crate) fn once(to: SocketAddr) -> Options {
    Options::to(to).udp(Mode::Connect).timeout(patience(BOUND))
}

/// A UDP client with a connected socket for each family, which it leaves when the system says that it failed.
pub(crate) struct Client {
    name: String,
    place: String,
    to: Vec<SocketAddr>,
    process: Process,
}

impl Client {
    pub(crate) fn start(kind: &str, host: &Host, to: [SocketAddr; 2]) -> anyhow::Result<Self> {
        let options = options(to).udp(Mode::Connect).renew().count(u64::MAX);
        let arguments: Vec<_> = std::iter::once("client".to_owned())
            .chain(options.arguments())
            .collect();
        Ok(Self {
            name: format!("{kind} from {}", host.name()),
            place: host.name().to_owned(),
            process: host.run(Via::Socket, &arguments)?,
            to: options.to,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The pod or node that it runs in.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Waits until this pod answers on this port, in both families; answers when the later one did first.
    pub(crate) fn wait_for(&self, since: Instant, pod: &str, port: u16) -> anyhow::Result<Instant> {
        let by_pod = |report: &Report| {
            let answer = report.answer.as_ref();
            answer.is_some_and(|answer| answer.pod == pod && answer.local.port() == port)
        };
        self.wait_until(since, &format!("{pod}:{port} answers"), by_pod)
    }

    /// Waits until the sockets of both families were told; answers when the later one was.
    pub(crate) fn wait_until_told(&self, since: Instant) -> anyhow::Result<Instant> {
        self.wait_until(since, "told that its backend is gone", is_told)
    }

    /// Both sockets were told, and nothing else happened to them.
    pub(crate) fn was_told(&self, since: Instant) -> anyhow::Result<()> {
        for to in &self.to {
            let failures: Vec<_> = self
                .reports(since, *to)
                .filter(|(_, report)| report.result != Outcome::Ok)
                .collect();
            ensure!(
                failures.iter().any(|(_, report)| is_told(report)),
                "{}: nobody told the socket to {to}: {failures:?}",
                self.name
            );
        }
        Ok(())
    }

    /// Nothing has happened: this pod answers, as before.
    pub(crate) fn stayed(&self, since: Instant, pod: &str) -> anyhow::Result<()> {
        for to in &self.to {
            let reports: Vec<_> = self.reports(since, *to).collect();
            ensure!(!reports.is_empty(), "{}: no requests to {to}", self.name);
            let other = reports.iter().find(|(_, report)| report.pod() != Some(pod));
            ensure!(other.is_none(), "{}: {other:?}", self.name);
        }
        Ok(())
    }

    fn wait_until(
        &self,
        since: Instant,
        what: &str,
        wanted: impl Fn(&Report) -> bool,
    ) -> anyhow::Result<Instant> {
        let mut latest = since;
        for to in &self.to {
            let deadline = Instant::now() + patience(BOUND);
            latest = latest.max(loop {
                if let Some((came, _)) = self.reports(since, *to).find(|(_, report)| wanted(report)) {
                    break came;
                }
                if Instant::now() > deadline {
                    let last: Vec<_> = self.reports(since, *to).collect();
                    let last = &last[last.len().saturating_sub(3)..];
                    bail!("{}: not {what} at {to}: {last:?}", self.name);
                }
                std::thread::sleep(Duration::from_millis(5));
            });
        }
        Ok(latest)
    }

    /// What came of the requests to one destination, oldest first.
    fn reports(&self, since: Instant, to: SocketAddr) -> impl Iterator<Item = (Instant, Report)> {
        let lines = self.process.stdout().timed_lines().into_iter();
        lines
            .filter(move |line| line.came >= since)
            .filter_map(|line| Some((line.came, serde_json::from_str::<Report>(&line.text).ok()?)))
            .filter(move |(_, report)| report.to == to)
    }
}

fn is_told(report: &Report) -> bool {
    let error = report.error.as_deref().unwrap_or_default();
    TOLD.iter().any(|told| error.contains(told))
}

/// A client whose sockets nobody may touch: every request is answered, by the pod that answered first.
pub(crate) struct Steady {
    name: String,
    load: Load,
}

impl Steady {
    /// TCP connections through the service.
    pub(crate) fn tcp(host: &Host, to: [SocketAddr; 2]) -> anyhow::Result<Self> {
        Self::start("TCP", host, &options(to).keep())
    }

    /// Connected UDP sockets.
    pub(crate) fn udp(host: &Host, to: [SocketAddr; 2]) -> anyhow::Result<Self> {
        Self::start("UDP", host, &options(to).udp(Mode::Connect).renew())
    }

    fn start(kind: &str, host: &Host, options: &Options) -> anyhow::Result<Self> {
        let options = options.clone().timeout(patience(BOUND));
        Ok(Self {
            name: format!("{kind} from {} to {:?}", host.name(), options.to),
            load: host.load(Via::Socket, &options, 1)?,
        })
    }

    pub(crate) fn wait_for_start(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience(BOUND);
        while self.load.progress().requests < 2 {
            ensure!(
                Instant::now() < deadline,
                "{} does not start: {:?}",
                self.name,
                self.load.failures()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        let Self { name, load } = self;
        let (totals, failures) = load.stop().with_context(|| name.clone())?;
        ensure!(failures.is_empty(), "{name}: {failures:?}");
        ensure!(totals.pods.keys().eq(["dns-1"]), "{name}: {totals:?}");
        Ok(())
    }
}
