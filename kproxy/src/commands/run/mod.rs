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

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use kproxy_common::Settings;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::cleanup::remove_former_proxy;
use super::set_up::set_up;
use crate::causes::one_line;
use crate::config::watch::ConfigFile;
use crate::config::{self, Config};
use crate::dataplane::{Dataplane, Options};
use crate::devices;
use crate::index::{Index, Rules};
use crate::node::{families, features, memory, mounts, oom, privileges};
use crate::plan::Applied;
use crate::sockets::{Sources, Sweeper};
use crate::source::{Event, KubernetesOptions, kubernetes, manifests};

use agent::Agent;
use kernel::{Hands, Kernel};
use placing::Placing;

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
    follow_file(&mut tasks, file)?;
    let (source_sender, events) = channel(QUEUE);
    let source = open_source(&config, source_sender).await?;

    let node = config.node_name.as_str();
    tracing::info!(node, mode = %config.mode, pin_dir = %own.pin_dir.display(), cgroup = %cgroup.display(), "starting");
    prepare(&config)?;
    let families = families::in_kernel();
    let options = Options {
        pin_dir: own.pin_dir.clone(),
        cgroup,
        sizes,
        settings: Settings {
            loopback_node_ports: Settings::loopback_node_ports(
                families
                    .iter()
                    .copied()
                    .filter(|family| config.serves_loopback(*family)),
            ),
            ..Settings::DEFAULT
        },
    };
    let (mut dataplane, contents) = Dataplane::open(&options).context("open the data plane")?;
    follow_log(&mut tasks, &mut dataplane)?;
    tracing::info!(
        frontends = contents.frontends.len(),
        "data plane in force with what was pinned"
    );
    let applied = Applied::adopt(sizes.capacity(), contents);
    let rules = Rules {
        allow_external_ips: config.allow_external_ips,
        families: families.iter().copied().collect(),
    };
    let placing = Placing::new(config.node_port_addresses.clone(), config.bind_address);
    let sweeper = start_sweeper(&mut dataplane, &own.netns_dirs);
    let agent = Agent::new(
        Index::with_rules(node, rules),
        applied,
        Hands { dataplane, sweeper },
        placing,
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
        },
    )
    .await
}

/// Services work without it, so that what it lacks is no reason to fail.
fn start_sweeper(dataplane: &mut Dataplane, directories: &[PathBuf]) -> Option<Sweeper> {
    let sources = Sources {
        directories: directories.to_vec(),
        ..Sources::default()
    };
    let peers = dataplane.stale_peers().map_err(anyhow::Error::from);
    let sweeper = peers.and_then(|peers| Ok(Sweeper::start(sources, peers)?));
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

/// What is set on the machine before anything is served.
fn prepare(config: &Config) -> Result<()> {
    config.check_families(families::in_kernel())?;
    oom::adjust(config.oom_score_adj);
    set_up(config)?;
    if config.own.remove_kube_proxy_rules {
        remove_former_proxy();
    }
    Ok(())
}

fn follow_file(tasks: &mut JoinSet<Result<()>>, file: Option<ConfigFile>) -> Result<()> {
    if let Some(file) = file {
        let watching = config::watch::watch(file)?;
        tasks.spawn(async move { Err(watching.await.into()) });
    }
    Ok(())
}

async fn open_source(config: &Config, sender: Sender<Event>) -> Result<BoxFuture<'static, Result<()>>> {
    if let Some(directory) = config.own.manifests.clone() {
        return Ok(manifests(directory, sender)?.map(Ok).boxed());
    }
    let options = KubernetesOptions {
        kubeconfig: config.connection.kubeconfig.clone(),
        master: config.connection.master.clone(),
        node_name: config.node_name.clone(),
    };
    let following = kubernetes(options, sender).await?;
    Ok(following.map_err(anyhow::Error::from).boxed())
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
