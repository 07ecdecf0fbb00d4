//! Everything that kproxy claims to be fast at, beside what it replaces: one run, one kernel, every contender in turn.
//!
//! Client, node and pods are network namespaces that this program makes and removes. Every contender has a cluster of its own of
//! one shape, and they take turns in rounds. Needs root, `iptables`, `nft`, `ethtool` and `iperf3`.
//!
//! * [`plan`] says what is measured how often, [`services`] and [`rules`] what everybody is given, [`contender`] who is compared
//! * [`stage`] is a contender's cluster, [`translator`] who translates there, [`worker`] what runs inside, [`wire`] the far end of
//!   the node's cable
//! * [`connections`], [`packets`], [`streams`], [`datapath`] and [`control`] each measure one part and put [`samples`] down
//! * [`bounds`] judges them, [`summary`] and [`report`] show them, [`results`] is all of it

mod bounds;
mod connections;
mod contender;
mod control;
mod datapath;
mod machine;
mod packets;
mod plan;
mod progress;
mod proxy;
mod report;
mod results;
mod rules;
mod samples;
mod services;
mod stage;
mod streams;
mod summary;
mod transaction;
mod translator;
mod wire;
mod worker;

use std::fs;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use machine::Machine;
use plan::{Asked, Part, Plan};
use progress::Progress;
use results::{LeftOut, Results};
use samples::Samples;
use stage::Stage;
use translator::Translator;

/// Where everything runs that takes turns: what moves between processors differs from run to run.
const CPU: usize = 0;

/// Measures kproxy beside what it replaces.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    asked: Asked,
    #[command(subcommand)]
    inside: Option<Inside>,
}

#[derive(Clone, Debug, Subcommand)]
enum Inside {
    /// Plays a part inside of a cluster.
    #[command(hide = true)]
    Part {
        /// On this processor.
        #[arg(long)]
        cpu: usize,
        #[command(subcommand)]
        part: worker::Part,
    },
}

fn main() -> ExitCode {
    let Arguments { asked, inside } = Arguments::parse();
    let outcome = match inside {
        Some(Inside::Part { cpu, part }) => worker::play(&part, cpu),
        None => measure(&asked),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(asked: &Asked) -> anyhow::Result<()> {
    machine::check()?;
    let machine = Machine::look()?;
    let plan = asked.plan();
    let mut run = Run {
        asked,
        plan: &plan,
        progress: Progress::start(),
        samples: Samples::default(),
        left_out: Vec::new(),
    };
    run.everything()?;
    let Run {
        progress,
        samples,
        left_out,
        asked: _,
        plan: _,
    } = run;
    let results = Results {
        plan: plan.name,
        rounds: plan.rounds,
        seconds: progress.seconds(),
        machine,
        bounds: bounds::judge(&samples),
        samples,
        left_out,
    };
    println!("{}", summary::text(&results));
    let folder = &asked.output;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("results.json", format!("{:#}\n", results.json()))?;
    write("report.html", report::html(&results)?)?;
    println!(
        "{:.0} s; {} and results.json beside it",
        results.seconds,
        folder.join("report.html").display()
    );
    Ok(())
}

/// A run that goes on.
#[derive(Debug)]
struct Run<'a> {
    asked: &'a Asked,
    plan: &'a Plan,
    progress: Progress,
    samples: Samples,
    left_out: Vec<LeftOut>,
}

impl Run<'_> {
    fn everything(&mut self) -> anyhow::Result<()> {
        let wants = |part| self.asked.wants(part);
        if [Part::Connections, Part::Packets, Part::Streams]
            .into_iter()
            .any(wants)
        {
            for size in &self.plan.sizes {
                self.at_size(*size)?;
            }
        }
        if self.asked.wants(Part::Datapath) {
            datapath::measure(self.plan, &self.progress, &mut self.samples)?;
        }
        if self.asked.wants(Part::Control) {
            self.progress.step("kproxy beside an API server");
            control::agent(self.plan, &self.progress, &mut self.samples)?;
            control::rules(self.plan, &self.progress, &mut self.samples, &mut self.left_out)?;
        }
        Ok(())
    }

    fn at_size(&mut self, size: u32) -> anyhow::Result<()> {
        let stages = self.stages(size)?;
        let (plan, samples) = (self.plan, &mut self.samples);
        let title = summary::services(size);
        if self.asked.wants(Part::Connections) {
            self.progress.step(&format!("{title}: connections and requests"));
            for round in 0..plan.rounds {
                connections::round(&stages, (size, round), plan.turn, samples)?;
                self.progress.round("rounds", round + 1, plan.rounds);
            }
        }
        if self.asked.wants(Part::Streams) && Some(&size) == plan.streams_size() {
            self.progress.step(&format!("{title}: iperf3"));
            streams::measure(&stages, size, plan, &self.progress, samples)?;
        }
        if self.asked.wants(Part::Packets) {
            self.progress.step(&format!("{title}: small packets"));
            let mut lanes = Vec::new();
            for (translator, stage) in &stages {
                match packets::Lane::new(*translator, stage, CPU) {
                    Ok(lane) => lanes.push(lane),
                    Err(error) => self.left_out.push(LeftOut {
                        what: format!("{}, small packets, {title}", translator.name()),
                        reason: format!("{error:#}"),
                    }),
                }
            }
            for round in 0..plan.rounds {
                packets::round(&stages, &lanes, (size, round), (plan.turn, CPU), samples)?;
                self.progress.round("rounds", round + 1, plan.rounds);
            }
        }
        Ok(())
    }

    /// Of everybody who can be had; the others are named with the reason.
    fn stages(&mut self, size: u32) -> anyhow::Result<Vec<(Translator, Stage)>> {
        let mut stages = Vec::new();
        let title = summary::services(size);
        for translator in Translator::ALL {
            if translator == Translator::KubeProxy && self.asked.kube_proxy.is_none() {
                continue;
            }
            self.progress
                .step(&format!("{title}: setting up {}", translator.name()));
            match Stage::new(translator, size, CPU, self.asked.kube_proxy.as_deref()) {
                Ok(stage) => stages.push((translator, stage)),
                Err(error) if translator == Translator::Nobody => return Err(error),
                Err(error) => {
                    self.progress
                        .step(&format!("{title}: without {}: {error:#}", translator.name()));
                    self.left_out.push(LeftOut {
                        what: format!("{}, {title}", translator.name()),
                        reason: format!("{error:#}"),
                    });
                }
            }
        }
        Ok(stages)
    }
}
