//! Small packets that a node passes on: from a client outside, by the node's `NodePort`, to a pod elsewhere.
//!
//! The node's end of its cable has a thread of its own for what comes in (threaded NAPI), and so has the sink. Sender, node and
//! sink share one processor, and the threads come before the sender: each batch is passed on before the next is sent, none is
//! lost, and packets are counted for each second of the node's thread, whatever else the machine does.

use std::fs;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use kproxy_tests::cluster::{Host, Namespace, Via};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::Value;

use crate::contender::OUTSIDE as CONTENDERS;
use crate::samples::{Metric, Samples};
use crate::stage::{OUTSIDE, Stage};
use crate::translator::Translator;
use crate::wire::{Datagram, PORTS, Source};
use crate::worker;

/// The clients' first port.
const FIRST_PORT: u16 = 21_000;
/// Datagrams between two looks at the clock.
const BURST: u32 = 16_384;
/// What opening the flows may take.
const BOUND: Duration = Duration::from_secs(20);

/// A node that is ready to pass packets on.
#[derive(Debug)]
pub(crate) struct Lane {
    translator: Translator,
    thread: PathBuf,
    datagram: Datagram,
}

impl Lane {
    pub(crate) fn new(translator: Translator, stage: &Stage, processor: usize) -> anyhow::Result<Self> {
        stage.sink()?;
        let node = stage.node();
        let outside = stage.cluster.client(OUTSIDE);
        let thread = own_thread(node.namespace(), "eth0", processor)?;
        let sink = own_thread(stage.cluster.switch(), stage.port(), processor)?;
        // They wake at once, or their queues would be full.
        prefer(&thread)?;
        prefer(&sink)?;
        let SocketAddr::V4(to) = stage.far() else {
            bail!("an address of another family");
        };
        let datagram = Datagram {
            macs: [mac(node)?, mac(outside)?],
            from: SocketAddrV4::new(outside.v4(), FIRST_PORT),
            to,
        };
        Ok(Self {
            translator,
            thread,
            datagram,
        })
    }

    /// Opens the flows, both ways, as clients do.
    fn open_flows(stage: &Stage) -> anyhow::Result<()> {
        let words = [
            "greet",
            &stage.far().to_string(),
            &FIRST_PORT.to_string(),
            &PORTS.to_string(),
        ];
        let words = words.map(str::to_owned);
        let outside = stage.cluster.client(OUTSIDE);
        stage.run::<Value>(outside, Via::Packet, &words, BOUND)?;
        Ok(())
    }

    /// Packets for each second of the node's processor time.
    fn measure(&self, stage: &Stage, turn: Duration, processor: usize) -> anyhow::Result<f64> {
        Self::open_flows(stage)?;
        stage.cluster.switch().run(|| {
            worker::stay(processor)?;
            let sink = stage.sink()?;
            let source = Source::new(stage.port(), &self.datagram)?;
            source.send(BURST)?;
            let (start, busy, before) = (Instant::now(), self.busy()?, sink.count()?);
            let mut sent = 0;
            while start.elapsed() < turn {
                source.send(BURST)?;
                sent += BURST;
            }
            let (took, passed) = (self.busy()?.saturating_sub(busy), sink.count()? - before);
            let passed = u32::try_from(passed).context("more packets than a benchmark sends")?;
            ensure!(
                passed >= sent - sent / 100,
                "of {sent} packets only {passed} were passed on"
            );
            Ok(f64::from(passed) / took.as_secs_f64())
        })?
    }

    /// Processor time of the node's thread so far (Documentation/scheduler/sched-stats.rst).
    fn busy(&self) -> anyhow::Result<Duration> {
        let path = self.thread.join("schedstat");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let first = text.split(' ').next().unwrap_or_default();
        Ok(Duration::from_nanos(
            first.parse().context("the kernel keeps no schedstat")?,
        ))
    }
}

/// One turn of every contender that has a lane; who comes first changes from round to round.
pub(crate) fn round(
    stages: &[(Translator, Stage)],
    lanes: &[Lane],
    (size, round): (u32, u32),
    (turn, processor): (Duration, usize),
    samples: &mut Samples,
) -> anyhow::Result<()> {
    let first = round as usize % CONTENDERS.len();
    for contender in CONTENDERS.iter().cycle().skip(first).take(CONTENDERS.len()) {
        let stage = stages.iter().find(|(it, _)| *it == contender.translator);
        let lane = lanes.iter().find(|it| it.translator == contender.translator);
        let (Some((_, stage)), Some(lane)) = (stage, lane) else {
            continue;
        };
        let rate = lane
            .measure(stage, turn, processor)
            .with_context(|| format!("packets by {}", contender.name))?;
        samples.add(Metric::Packets, size, contender.name, rate);
    }
    Ok(())
}

/// Gives what comes in by a device a thread of its own on one processor; its directory below `/proc`.
fn own_thread(namespace: &Namespace, device: &str, processor: usize) -> anyhow::Result<PathBuf> {
    let before = threads(device)?;
    // `ip netns exec` mounts the namespace's own /sys.
    let output = Command::new("ip")
        .args(["netns", "exec", namespace.name(), "sh", "-c"])
        .arg(format!("echo 1 > /sys/class/net/{device}/threaded"))
        .output()
        .context("cannot run `ip`; install it: apt-get install iproute2")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "no thread for {device}: {}",
        words.trim()
    );
    let deadline = Instant::now() + BOUND;
    while Instant::now() < deadline {
        let mut new = threads(device)?;
        new.retain(|it| !before.contains(it));
        if let [thread] = new.as_slice() {
            let mut set = CpuSet::new();
            set.set(processor)?;
            sched_setaffinity(id(thread)?, &set)
                .with_context(|| format!("cannot move the thread of {device}"))?;
            return Ok(thread.clone());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("{device} has no thread of its own: does it receive by NAPI?")
}

/// Threads that receive for devices of this name, in any namespace.
fn threads(device: &str) -> anyhow::Result<Vec<PathBuf>> {
    let prefix = format!("napi/{device}-");
    let processes = fs::read_dir("/proc").context("cannot list processes")?;
    let paths = processes.flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        // Gone meanwhile.
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with(&prefix))
    };
    Ok(paths.filter(is_one).collect())
}

fn id(thread: &std::path::Path) -> anyhow::Result<Pid> {
    let name = thread
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    Ok(Pid::from_raw(name.parse()?))
}

fn prefer(thread: &std::path::Path) -> anyhow::Result<()> {
    let output = Command::new("chrt")
        .args(["--fifo", "--pid", "1", &id(thread)?.to_string()])
        .output()
        .context("cannot run `chrt`; install it: apt-get install util-linux")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "chrt: {}", words.trim());
    Ok(())
}

fn mac(host: &Host) -> anyhow::Result<[u8; 6]> {
    let text = host.namespace().run(|| {
        let output = Command::new("ip")
            .args(["-json", "link", "show", "eth0"])
            .output()?;
        String::from_utf8(output.stdout).map_err(std::io::Error::other)
    })??;
    let said: Value = serde_json::from_str(&text)?;
    let words = said[0]["address"]
        .as_str()
        .context("a device without an address")?;
    let bytes: Vec<_> = words
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect::<Result<_, _>>()?;
    bytes.try_into().ok().context("an address of another length")
}
