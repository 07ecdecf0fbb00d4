//! The API server for tests, alone: starts it, writes a kubeconfig, prints its address and runs until SIGTERM or
//! Ctrl-C.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use kproxy_tests::apiserver::{ApiServer, Options};
use tokio::signal::unix::{SignalKind, signal};

/// An API server for tests and demos. With `KUBEBUILDER_ASSETS` set it starts `kube-apiserver` and `etcd` from there.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 lets the kernel choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    address: SocketAddr,
    /// Where to write the kubeconfig.
    #[arg(long)]
    kubeconfig: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { address, kubeconfig } = Arguments::parse();
    // Before the server starts, so that no signal can leave its processes behind.
    let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;

    let server = ApiServer::start_with(Options {
        address,
        ..Options::default()
    })
    .await?;
    server.write_kubeconfig(&kubeconfig)?;
    let mut output = std::io::stdout();
    writeln!(output, "{}", server.url())
        .and_then(|()| output.flush())
        .context("print the address")?;

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(server);
    Ok(())
}
