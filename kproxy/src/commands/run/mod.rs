//! The agent: follows the cluster and the machine, and keeps the data plane as both want it.
//!
//! * `agent`: the decisions, without waiting
//! * `doors`, `isolate`, `backoff`: parts of them
//! * `placing`: what the node's addresses are to the data plane
//! * `kernel`: what they want from the data plane
//! * this file: checks, starts and the loop that waits
//!
//! One task owns everything. Sources and the device follower send to it.

mod agent;
mod backoff;
mod doors;
mod isolate;
mod kernel;
mod placing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use kproxy_common::Settings;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::causes::one_line;
use crate::cli::{RunArgs, SourceArgs};
use crate::config::NodePortAddresses;
use crate::dataplane::{Dataplane, Meter, Options};
use crate::devices::{self, Rules};
use crate::index::Index;
use crate::node::{features, memory, mounts, name, privileges};
use crate::plan::Applied;
use crate::serve::{self as servers, Events, Reporter, Status};
use crate::sockets::{Report, Sources, Sweeper};
use crate::source::{Event, KubernetesOptions, kubernetes, kubernetes_client, manifests};

use agent::Agent;
use kernel::{Hands, Kernel};
use placing::Placing;

/// How many events may wait; also how many are made one batch at most.
const QUEUE: usize = 1_024;

/// How often kube-proxy looks at everything; health is measured by it.
const SYNC_PERIOD: Duration = Duration::from_secs(30);

/// Runs until SIGTERM or SIGINT; what is in the kernel stays.
///
/// # Errors
///
/// When the machine lacks something or an option is wrong, before anything is changed; or when a source can not go on.
pub async fn run(arguments: &RunArgs) -> Result<()> {
    let RunArgs {
        hostname_override,
        source,
        places,
        pod_devices,
        uplink_devices,
        log_format: _,
        sizes,
    } = arguments;
    let node_name = name::node_name(hostname_override.as_deref())?;
    let rules = Rules::parse(pod_devices, uplink_devices)?;
    privileges::check()?;
    features::check()?;
    let cgroup = mounts::cgroup(places.cgroup.as_deref())?;
    mounts::bpf_file_system(&places.pin_dir)?;
    let pinned = Dataplane::pinned_sizes(&places.pin_dir).context("look at the pinned maps")?;
    let sizes = sizes.resolve(memory::total(), &pinned)?;
    let signals = Signals::catch()?;
    let (source_sender, events) = channel(QUEUE);
    let status = open_status(source, &node_name).await?;
    let source = open_source(source, &node_name, source_sender).await?;

    tracing::info!(node = node_name, pin_dir = %places.pin_dir.display(), cgroup = %cgroup.display(), "starting");
    let options = Options {
        pin_dir: places.pin_dir.clone(),
        cgroup,
        sizes,
        settings: Settings::DEFAULT,
    };
    // Dropping the set ends source and follower.
    let mut tasks = JoinSet::new();
    let (mut dataplane, contents) = Dataplane::open(&options).context("open the data plane")?;
    follow_log(&mut tasks, &mut dataplane)?;
    tracing::info!(
        frontends = contents.frontends.len(),
        "data plane in force with what was pinned"
    );
    let applied = Applied::adopt(sizes.capacity(), contents);
    let placing = Placing::new(NodePortAddresses::Primary, None);
    let meter = Meter::open(&places.pin_dir).context("open the maps that metrics are read from")?;
    // Dropping them ends them.
    let _servers = servers::start(servers::Options::new(&node_name), &status, Arc::new(meter)).await?;
    let sweeper = start_sweeper(&mut dataplane, status.clone());
    let agent = Agent::new(
        Index::new(&node_name),
        applied,
        Hands { dataplane, sweeper },
        placing,
        Reporter::new(status),
    );

    let (device_sender, device_events) = channel(QUEUE);
    tasks.spawn(source);
    let (address_sender, addresses) = watch::channel(None);
    tasks.spawn(devices::follow(rules, device_sender, address_sender));
    serve(
        agent,
        Inputs {
            events,
            device_events,
            addresses,
            tasks,
            signals,
        },
    )
    .await
}

/// Services work without it, so that what it lacks is no reason to fail.
fn start_sweeper(dataplane: &mut Dataplane, status: Status) -> Option<Sweeper> {
    let told = move |report: &Report, took| status.swept(took, &report.destroyed_by_family);
    let peers = dataplane.stale_peers().map_err(anyhow::Error::from);
    let sweeper = peers.and_then(|peers| Ok(Sweeper::start(Sources::default(), peers, told)?));
    sweeper
        .inspect_err(|error| {
            let error = one_line(error.as_ref());
            tracing::warn!(
                "{error}; connected UDP sockets are not told when their backend is gone; that needs the capability \
                 PERFMON or SYS_ADMIN, and a kernel that has its types in /sys/kernel/btf/vmlinux"
            );
        })
        .ok()
}

/// Events and Node objects are a cluster's; a directory of manifests need not have them.
async fn open_status(source: &SourceArgs, node_name: &str) -> Result<Status> {
    let in_cluster = source.manifests.is_none();
    let events = if in_cluster {
        let options = kubernetes_options(source, node_name);
        Events::of_cluster(kubernetes_client(&options).await?, node_name)
    } else {
        Events::none()
    };
    Status::new(SYNC_PERIOD, in_cluster, events).context("define metrics")
}

async fn open_source(
    source: &SourceArgs,
    node_name: &str,
    sender: Sender<Event>,
) -> Result<BoxFuture<'static, Result<()>>> {
    if let Some(directory) = source.manifests.clone() {
        return Ok(manifests(directory, sender)?.map(Ok).boxed());
    }
    let following = kubernetes(kubernetes_options(source, node_name), sender).await?;
    Ok(following.map_err(anyhow::Error::from).boxed())
}

fn kubernetes_options(source: &SourceArgs, node_name: &str) -> KubernetesOptions {
    let SourceArgs {
        manifests: _,
        kubeconfig,
        master,
    } = source.clone();
    KubernetesOptions {
        kubeconfig,
        master,
        node_name: node_name.to_owned(),
    }
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
    addresses: watch::Receiver<devices::Addresses>,
    tasks: JoinSet<Result<()>>,
    signals: Signals,
}

async fn serve(mut agent: Agent<impl Kernel>, mut inputs: Inputs) -> Result<()> {
    loop {
        let wake_at = agent.wake_at();
        // In the order of urgency: opening a door takes tens of milliseconds, and a change of a service waits for one
        // at most.
        tokio::select! {
            biased;
            name = inputs.signals.next() => {
                tracing::info!("{name}: leaving; the data plane stays in force");
                return Ok(());
            }
            Some(event) = inputs.events.recv() => agent.take_in(batch(event, &mut inputs.events)),
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
