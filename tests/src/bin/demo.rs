//! `cargo xtask demo`; see `kproxy_tests::demo`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
    thread,
};

use anyhow::Context;
use clap::Parser;
use kproxy_tests::{
    apiserver::ApiServer,
    cluster::{environment::Environment, interrupt},
    demo::{self, Given, screen},
};
use tokio::signal::unix::{SignalKind, signal};

/// Shows kproxy at work on two nodes made of network namespaces, and checks everything it shows. Needs root.
#[derive(Parser)]
struct Arguments {
    /// Leave everything running afterwards, until Ctrl-C, and say how to reach it.
    #[arg(long)]
    keep: bool,
    /// Folder with services.yaml and pods.yaml.
    #[arg(long, default_value_os_t = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo"))]
    manifests: PathBuf,
}

fn main() -> ExitCode {
    run(Arguments::parse()).unwrap_or_else(|error| {
        // Without the backtrace that an error shows by itself: it is for somebody who watches.
        eprintln!("demo: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(Arguments { keep, manifests }: Arguments) -> anyhow::Result<ExitCode> {
    Environment::check()?;
    // Here, so that the API server and the folder go as well when the demo is interrupted.
    interrupt::leave_to_caller();
    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    let inside = runtime.enter();
    let mut signals = Signals::catch()?;
    let folder = tempfile::Builder::new()
        .prefix("kproxy-demo-")
        .tempdir()
        .context("cannot make a folder")?;
    let apiserver = runtime
        .block_on(ApiServer::start())
        .context("cannot start the API server")?;
    let kubeconfig_file = folder.path().join("kubeconfig");
    apiserver.write_kubeconfig(&kubeconfig_file)?;
    let given = Given {
        runtime: runtime.handle().clone(),
        client: apiserver.client()?,
        apiserver: apiserver.address(),
        kubeconfig: apiserver.kubeconfig(),
        kubeconfig_file,
        folder: folder.path().to_owned(),
    };

    drop(inside);

    let (finished, verdict) = mpsc::channel();
    let story = thread::spawn(move || demo::tell(given, &manifests, keep, &finished));
    let story = runtime.spawn_blocking(move || story.join());
    let told = runtime.block_on(async {
        tokio::select! {
            told = story => Some(told),
            () = signals.next() => None,
        }
    });
    let Some(told) = told else {
        screen::hush();
        interrupt::remove_clusters();
        // Only with `keep` is there a verdict while the story goes on, and then Ctrl-C is the way to end it.
        let code = if verdict.try_recv().unwrap_or(false) {
            0
        } else {
            130
        };
        drop((apiserver, folder));
        std::process::exit(code);
    };
    told.context("the story's thread is gone")?
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let all_true = verdict.try_recv().unwrap_or(false);
    // Nothing that still runs is worth waiting for.
    runtime.shutdown_background();
    Ok(if all_true {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

struct Signals([tokio::signal::unix::Signal; 3]);

impl Signals {
    fn catch() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("cannot catch signals");
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let [interrupt, terminate, hangup] = kinds.map(catch);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
