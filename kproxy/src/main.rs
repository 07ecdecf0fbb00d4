//! kproxy: Kubernetes Services in the kernel. See `kproxy --help`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use kproxy::causes::one_line;
use kproxy::cli::{Cli, Command, RunArgs};
use kproxy::commands::{cleanup, logging, run};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(arguments) => return run_agent(&arguments),
        Command::Cleanup(arguments) => cleanup::cleanup(&arguments),
        Command::Version => {
            println!("kproxy {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    exit(outcome, |error| eprintln!("kproxy: {error}"))
}

fn run_agent(arguments: &RunArgs) -> ExitCode {
    if let Err(error) = logging::start(arguments.log_format) {
        return exit(Err(error), |error| eprintln!("kproxy: {error}"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let outcome = runtime
        .context("start the asynchronous runtime")
        .and_then(|runtime| {
            let outcome = runtime.block_on(run::run(arguments));
            // A source may be in the middle of something that nobody waits for any more.
            runtime.shutdown_background();
            outcome
        });
    exit(outcome, |error| tracing::error!("{error}"))
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
