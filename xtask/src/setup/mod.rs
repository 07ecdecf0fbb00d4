//! `cargo xtask setup`: makes this machine able to build, test and show kproxy.
//!
//! A [`Requirement`] knows how to look for one thing and how to get it. Looking is quick and changes nothing, so every
//! other command does it first; getting needs root and apt, and otherwise becomes instructions.

pub(crate) mod apt;
mod components;
mod kubectl;
mod linker;
mod mounts;
mod rust;
mod tools;
mod version;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::machine;
use crate::output::seconds;

/// What a command is going to do, and thereby what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Compile.
    Build,
    /// Compile, and run clusters of network namespaces.
    Run,
    /// All that, also on other kernels.
    Test,
    /// Compile, run clusters, and measure what passes through them.
    MeasureStreams,
}

/// Something that has to be on the machine.
trait Requirement {
    /// What it is called in the list.
    fn name(&self) -> &'static str;

    /// What it is good for.
    fn purpose(&self) -> &'static str;

    /// What was found, or else what is missing.
    fn look(&self) -> Result<String, String>;

    /// Gets it. Called only as root on a machine with apt.
    fn install(&self) -> Result<()>;

    /// What somebody types, or reads, to get it without us.
    fn by_hand(&self) -> String;
}

/// `cargo xtask setup`: looks for everything, shows it, gets what is missing.
pub(crate) fn run() -> Result<ExitCode> {
    let start = Instant::now();
    let mut missing = Vec::new();
    println!("What kproxy needs on this machine:");
    for requirement in requirements(Purpose::Test) {
        match requirement.look() {
            Ok(found) => println!("  [ok]      {}: {found}", requirement.name()),
            Err(lack) => {
                println!("  [missing] {}: {lack}", requirement.name());
                missing.push(requirement);
            }
        }
    }
    if missing.is_empty() {
        println!("Nothing to do ({}).", seconds(start.elapsed()));
        return Ok(ExitCode::SUCCESS);
    }
    get(&missing)?;
    println!("This machine is set up ({}).", seconds(start.elapsed()));
    Ok(ExitCode::SUCCESS)
}

/// Looks for what `purpose` needs, and gets what is missing. Says nothing when nothing is.
pub(crate) fn ensure(purpose: Purpose) -> Result<()> {
    let mut missing = requirements(purpose);
    missing.retain(|requirement| requirement.look().is_err());
    if missing.is_empty() {
        return Ok(());
    }
    println!("This machine lacks something that kproxy needs; setting it up first (cargo xtask setup).");
    get(&missing)
}

/// In the order in which they build on each other.
fn requirements(purpose: Purpose) -> Vec<Box<dyn Requirement>> {
    let mut requirements: Vec<Box<dyn Requirement>> = vec![
        Box::new(components::Components),
        Box::new(rust::BpfCompiler),
        Box::new(linker::BpfLinker),
    ];
    if purpose != Purpose::Build {
        requirements.push(Box::new(tools::NETWORK));
        requirements.push(Box::new(kubectl::Kubectl));
        requirements.push(Box::new(mounts::BpfFileSystem));
        requirements.push(Box::new(mounts::Cgroups));
    }
    if purpose == Purpose::Test {
        requirements.push(Box::new(tools::MACHINES));
    }
    if matches!(purpose, Purpose::Test | Purpose::MeasureStreams) {
        requirements.push(Box::new(tools::STREAMS));
    }
    requirements
}

fn get(missing: &[Box<dyn Requirement>]) -> Result<()> {
    if !(machine::is_root() && machine::has_apt()) {
        return instruct(missing);
    }
    for (number, requirement) in missing.iter().enumerate() {
        let start = Instant::now();
        println!(
            "\n==> {}/{} {}: {}",
            number + 1,
            missing.len(),
            requirement.name(),
            requirement.purpose()
        );
        requirement.install().with_context(|| {
            format!(
                "setting up {} failed; by hand:\n{}",
                requirement.name(),
                requirement.by_hand()
            )
        })?;
        match requirement.look() {
            Ok(found) => println!("    done in {}: {found}", seconds(start.elapsed())),
            Err(lack) => {
                bail!(
                    "{} was set up, but {lack}; by hand:\n{}",
                    requirement.name(),
                    requirement.by_hand()
                )
            }
        }
    }
    println!();
    Ok(())
}

fn instruct(missing: &[Box<dyn Requirement>]) -> Result<()> {
    println!("\nPlease install, in this order:");
    for requirement in missing {
        println!("\n# {}: {}", requirement.name(), requirement.purpose());
        println!("{}", requirement.by_hand());
    }
    println!();
    let reason = if machine::has_apt() {
        "without root"
    } else {
        "on anything but Debian and Ubuntu"
    };
    bail!("set-up can not install packages {reason}: run the commands above, then this one again")
}
