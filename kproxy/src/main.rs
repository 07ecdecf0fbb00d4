//! kproxy: Kubernetes Services in the kernel. See `kproxy --help`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use kproxy::causes::one_line;
use kproxy::cli::{Cli, Command, RunArgs};
use kproxy::commands::{check, cleanup, explain, logging, run, services, set_up, status, write};
use kproxy::config::{self, Config, Loaded};
use kproxy::dataplane::share_memory;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(arguments) => return run_agent(&arguments),
        Command::Cleanup(arguments) => cleanup::cleanup(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Status(arguments) => status::status(&arguments),
        Command::Services(arguments) => services::services(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Version => {
            println!("kproxy {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    exit(outcome, |error| eprintln!("kproxy: {error}"))
}

fn run_agent(arguments: &RunArgs) -> ExitCode {
    let started = config::load(arguments).and_then(|loaded| {
        let Config { own, document, .. } = &loaded.config;
        logging::start(own.log_format, &document.logging)?;
        Ok(loaded)
    });
    let loaded = match started {
        Ok(loaded) => loaded,
        Err(error) => return exit(Err(error), |error| eprintln!("kproxy: {error}")),
    };
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
    exit(act(arguments, loaded), |error| tracing::error!("{error}"))
}

/// What is asked for besides serving is done alone (semantics 10.12 to 10.15).
fn act(arguments: &RunArgs, loaded: Loaded) -> Result<()> {
    if let Some(file) = &arguments.write_config_to {
        return write::write(&loaded, file);
    }
    let Loaded { config, file, .. } = loaded;
    if arguments.cleanup {
        return cleanup::cleanup_all(&config);
    }
    if arguments.init_only {
        return set_up::set_up(&config);
    }
    share_memory();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the asynchronous runtime")?;
    let outcome = runtime.block_on(run::run(config, file));
    // A source may be in the middle of something that nobody waits for any more.
    runtime.shutdown_background();
    outcome
}

fn exit(outcome: Result<()>, tell: impl FnOnce(String)) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(one_line(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
