//! The agent: follows the cluster and the machine, and keeps the data plane as both want it.
//!
//! * `agent`: the decisions, without waiting
//! * `doors`, `isolate`, `backoff`: parts of them
//! * `start`: the parts that the configuration decides, opened one by one
//! * `placing`: what the node's addresses are to the data plane; `awaited`: as long as its object has none
//! * `pod_ranges`: the Node object's part in telling local traffic apart; `primary_family`: which family it puts first
//! * `source_ports`: a warning before the node runs out of them
//! * `kernel`: what they want from the data plane
//! * this file: checks, starts and the loop that waits
//!
//! One task owns everything. Sources and the device follower send to it.

mod agent;
mod awaited;
mod backoff;
mod doors;
mod isolate;
mod kernel;
mod placing;
mod pod_ranges;
mod primary_family;
mod source_ports;
mod start;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::cleanup::remove_former_proxy;
use crate::config::Config;
use crate::config::watch::ConfigFile;
use crate::dataplane::{Dataplane, Meter, Options, give_back_memory};
use crate::devices;
use crate::index::{Index, Rules};
use crate::node::{families, features, memory, mounts, privileges};
use crate::plan::Applied;
use crate::serve::{self as servers, Reporter};
use crate::source::Event;

use agent::Agent;
use kernel::{Hands, Kernel};
use pod_ranges::PodRanges;
use primary_family::PrimaryFamily;

/// How many events may wait; also how many are made one batch at most.
const QUEUE: usize = 1_024;

/// Runs until SIGTERM or SIGINT; what is in the kernel stays.
///
/// # Errors
///
/// When the machine lacks something or an option is wrong, before anything is changed; when a source can not go on; or
/// when the configuration file changes.
pub async fn run(config: Config, file: Option<ConfigFile>) -> Result<()> {
    privileges::check()?;
    features::check()?;
    let own = &config.own;
    let cgroup = mounts::cgroup(own.cgroup.as_deref())?;
    mounts::bpf_file_system(&own.pin_dir)?;
    let pinned = Dataplane::pinned_sizes(&own.pin_dir).context("look at the pinned maps")?;
    let sizes = own.sizes.resolve(memory::total(), &pinned)?;
    let signals = Signals::catch()?;
    // Dropping the set ends source and followers.
    let mut tasks = JoinSet::new();
    start::follow_file(&mut tasks, file)?;
    let (source_sender, events) = channel(QUEUE);
    let status = start::status(&config).await?;
    let source = start::source(&config, source_sender).await?;

    let node = config.node_name.as_str();
    tracing::info!(node, mode = %config.mode, pin_dir = %own.pin_dir.display(), cgroup = %cgroup.display(), "starting");
    let families = families::of_node();
    let primary_family = PrimaryFamily::new(config.bind_address, families)?;
    start::prepare(&config, families)?;
    let options = Options {
        pin_dir: own.pin_dir.clone(),
        cgroup,
        sizes,
        settings: start::settings(&config, families),
        device_hooks: own.device_hooks.unwrap_or_else(features::device_hooks),
        xdp: own.xdp,
    };
    let (mut dataplane, contents) = Dataplane::open(&options).context("open the data plane")?;
    follow_log(&mut tasks, &mut dataplane)?;
    tracing::info!(
        frontends = contents.frontends.len(),
        "data plane in force with what was pinned"
    );
    let placing = start::placing(&config, &contents);
    let applied = Applied::adopt(sizes.capacity(), contents);
    let rules = Rules {
        allow_external_ips: config.allow_external_ips,
        families: families.iter().copied().collect(),
        load_balancing: own.load_balancing,
    };
    let meter = Meter::open(&own.pin_dir).context("open the maps that metrics are read from")?;
    let meter = Arc::new(meter);
    // Dropping them ends them.
    let _servers = servers::start(
        start::server_options(&config)?,
        &status,
        Arc::clone(&meter) as Arc<_>,
    )
    .await?;
    tasks.spawn(source_ports::watch(meter));
    let sweeper = start::sweeper(&mut dataplane, &own.netns_dirs, status.clone());
    let agent = Agent::new(
        Index::with_rules(node, rules),
        applied,
        Hands { dataplane, sweeper },
        placing,
        Reporter::new(status),
    );

    let (device_sender, device_events) = channel(QUEUE);
    tasks.spawn(source);
    let (address_sender, addresses) = watch::channel(None);
    tasks.spawn(devices::follow(
        own.devices.clone(),
        device_sender,
        address_sender,
    ));
    serve(
        agent,
        Inputs {
            events,
            device_events,
            addresses,
            tasks,
            signals,
            pod_ranges: PodRanges::new(config.detector.clone(), families),
            primary_family,
            when_ready: own.remove_kube_proxy_rules.then_some(remove_former_proxy),
        },
    )
    .await
}

#[cfg(feature = "debug-log")]
fn follow_log(tasks: &mut JoinSet<Result<()>>, dataplane: &mut Dataplane) -> Result<()> {
    let log = crate::dataplane::log::follow(dataplane)?;
    tasks.spawn(async move {
        log.await;
        Ok(())
    });
    Ok(())
}

#[cfg(not(feature = "debug-log"))]
#[expect(clippy::unnecessary_wraps, reason = "the other one can fail")]
fn follow_log(_: &mut JoinSet<Result<()>>, _: &mut Dataplane) -> Result<()> {
    Ok(())
}

struct Inputs {
    events: Receiver<Event>,
    device_events: Receiver<devices::Event>,
    addresses: watch::Receiver<Option<devices::Addresses>>,
    tasks: JoinSet<Result<()>>,
    signals: Signals,
    pod_ranges: PodRanges,
    primary_family: PrimaryFamily,
    /// What is done once, when every service is served.
    when_ready: Option<fn()>,
}

async fn serve(mut agent: Agent<impl Kernel>, mut inputs: Inputs) -> Result<()> {
    let mut started = false;
    loop {
        if agent.is_ready() && !started {
            started = true;
            let act = inputs.when_ready.take();
            // Nobody waits for it.
            drop(tokio::task::spawn_blocking(move || {
                give_back_memory();
                if let Some(act) = act {
                    act();
                }
            }));
        }
        let wake_at = agent.wake_at();
        // In the order of urgency: opening a door takes tens of milliseconds, and a change of a service waits for one
        // at most.
        tokio::select! {
            biased;
            name = inputs.signals.next() => {
                tracing::info!("{name}: leaving; the data plane stays in force");
                return Ok(());
            }
            Some(event) = inputs.events.recv() => {
                agent.take_in(batch(event, &mut inputs.events));
                inputs.primary_family.follow(agent.index())?;
                inputs.pod_ranges.follow(agent.index())?;
            }
            Ok(()) = inputs.addresses.changed() => {
                agent.take_in_addresses(inputs.addresses.borrow_and_update().clone());
            }
            () = until(wake_at) => agent.wake(Instant::now()),
            Some(event) = inputs.device_events.recv() => agent.take_in_device(event),
            Some(ended) = inputs.tasks.join_next() => {
                ended.context("a task of the agent broke")??;
                bail!("a task of the agent ended although its news are wanted");
            }
        }
    }
}

/// At once when that time has passed: a timer would have what is less urgent go first.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) if at <= Instant::now() => {}
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What is queued already belongs to the same batch; nothing is waited for.
fn batch(first: Event, events: &mut Receiver<Event>) -> Vec<Event> {
    let mut batch = vec![first];
    while batch.len() < QUEUE
        && let Ok(event) = events.try_recv()
    {
        batch.push(event);
    }
    batch
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        let catch = |kind| signal(kind).context("catch SIGTERM and SIGINT");
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
