//! Echo server and client for tests; see `kproxy_tests::echo`.

use std::{
    io::{self, Write},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Context;
use clap::{Args, Parser};
use kproxy_tests::echo::{
    Options, Server, client,
    load::{self, Event},
    server,
};
use nix::sys::signal::{SigSet, Signal};
use serde::Serialize;

#[derive(Parser)]
#[command(about = "Echo server and client that say what each of them sees of the other")]
enum Command {
    /// Answer every line and datagram with the server's name and what it sees.
    Serve(Serve),
    /// Ask one request after another; one JSON line for each.
    Client(Options),
    /// Ask from many workers until SIGTERM or SIGINT; one JSON line per failure and the totals at the end.
    Load(Load),
}

#[derive(Args)]
struct Serve {
    /// Name in the answers.
    #[arg(long)]
    name: String,
    /// TCP port; may be given several times.
    #[arg(long)]
    tcp: Vec<u16>,
    /// UDP port; may be given several times.
    #[arg(long)]
    udp: Vec<u16>,
    /// SCTP port; may be given several times.
    #[arg(long)]
    sctp: Vec<u16>,
    /// Listen on this address only; the default is every address of both families.
    #[arg(long)]
    address: Vec<IpAddr>,
}

#[derive(Args)]
struct Load {
    #[command(flatten)]
    client: Options,
    /// Number of clients at once.
    #[arg(long, default_value_t = 4)]
    workers: usize,
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Serve(options) => serve(&options),
        Command::Client(options) => {
            client::run(&options, print);
            Ok(())
        }
        Command::Load(options) => load(&options),
    }
}

fn serve(options: &Serve) -> anyhow::Result<()> {
    let Serve {
        name,
        tcp,
        udp,
        sctp,
        address,
    } = options;
    let everywhere = |ports| server::everywhere(address, ports);
    let server = Server::start_on(
        name,
        &server::Addresses {
            tcp: everywhere(tcp),
            udp: everywhere(udp),
            sctp: everywhere(sctp),
        },
    )?;
    let server::Addresses { tcp, udp, sctp } = server.addresses();
    print(serde_json::json!({ "listening": { "tcp": tcp, "udp": udp, "sctp": sctp } }));
    server.wait();
    Ok(())
}

fn load(options: &Load) -> anyhow::Result<()> {
    // Blocked before any thread starts, so that only the wait below receives them.
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals
        .thread_block()
        .context("cannot block SIGTERM and SIGINT")?;
    let stop = Arc::new(AtomicBool::new(false));
    thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            // The only error is an invalid set; then the load stops, which the totals show.
            signals.wait().ok();
            stop.store(true, Ordering::Relaxed);
        }
    });
    let totals = load::run(&options.client, options.workers, &stop, print);
    print(Event::Totals(totals));
    Ok(())
}

/// One line at once, even from several threads; a reader that went away is no reason to complain.
fn print(line: impl Serialize) {
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    io::stdout().lock().write_all(text.as_bytes()).unwrap_or_default();
}
