//! Both ends of a long stream; see `kproxy_tests::stream`.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use kproxy_tests::stream;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

#[derive(Parser)]
#[command(about = "A long stream that goes to a server and comes back")]
struct Arguments {
    /// Stay on this CPU.
    #[arg(long)]
    cpu: Option<usize>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send back what comes, at a port of every address of both families.
    Serve {
        /// The port.
        port: u16,
    },
    /// Send a stream, and see whether what comes back is the same; one line of JSON.
    Travel {
        /// To ADDRESS:PORT.
        to: SocketAddr,
        /// So many bytes.
        length: u64,
    },
}

fn main() -> anyhow::Result<()> {
    let Arguments { cpu, command } = Arguments::parse();
    if let Some(cpu) = cpu {
        stay(cpu).with_context(|| format!("cannot stay on CPU {cpu}"))?;
    }
    match command {
        Command::Serve { port } => {
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
                .with_context(|| format!("cannot listen at port {port}"))?;
            println!("listening");
            stream::serve(&listener).context("cannot accept")
        }
        Command::Travel { to, length } => {
            println!("{}", serde_json::to_string(&stream::travel(to, length)?)?);
            Ok(())
        }
    }
}

fn stay(cpu: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}
