//! The API server for tests, alone: starts it, writes a kubeconfig, prints its address and runs until SIGTERM or
//! Ctrl-C.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

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
    let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;

    // Whatever the signal interrupts, what was started is dropped, and with it the processes of a real server.
    tokio::select! {
        result = serve(address, &kubeconfig) => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

async fn serve(address: SocketAddr, kubeconfig: &Path) -> anyhow::Result<()> {
    let server = ApiServer::start_with(Options {
        address,
        ..Options::default()
    })
    .await?;
    server.write_kubeconfig(kubeconfig)?;
    let mut output = std::io::stdout();
    writeln!(output, "{}", server.url())
        .and_then(|()| output.flush())
        .context("print the address")?;
    std::future::pending().await
}
