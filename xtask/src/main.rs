//! `cargo xtask`: everything one does with this repository, each thing by one command.
//!
//! Here is what is called from the command line; the build of the kernel object, which kproxy's build script needs as
//! well, is in the library.

mod build;
mod cli;
mod demo;
mod fuzz;
mod image;
mod kernels;
mod machine;
mod output;
mod setup;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::cli::{Benchmark, Cli, Command};
use crate::setup::Purpose;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Setup => setup::run(),
        Command::Build { release } => {
            setup::ensure(Purpose::Build)?;
            build::build(release)
        }
        Command::Test { filter, quick } => Ok(match filter.as_deref() {
            Some("kernels") if quick => kernels::run(kernels::Scope::Quick),
            Some("kernels") => kernels::run(kernels::Scope::Full),
            filter => test::run(filter),
        }),
        Command::Demo { arguments } => {
            setup::ensure(Purpose::Run)?;
            demo::demo(&arguments)
        }
        Command::Image {
            tag,
            binary_only,
            dev,
        } => {
            setup::ensure(Purpose::Build)?;
            image::image(&tag, binary_only, dev)
        }
        Command::Fuzz { seconds } => {
            setup::ensure(Purpose::Build)?;
            fuzz::fuzz(seconds)
        }
        Command::Bench { arguments } => {
            let (what, arguments) = Benchmark::named(&arguments);
            setup::ensure(match what {
                Benchmark::Everything | Benchmark::Uplink => Purpose::MeasureStreams,
                Benchmark::Datapath | Benchmark::Control | Benchmark::Scale | Benchmark::Changes => {
                    Purpose::Run
                }
            })?;
            demo::bench(what, arguments)
        }
    }
}
