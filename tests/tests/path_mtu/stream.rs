//! A TCP stream that fills the longest packets that its ends believe in.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kproxy_common::Family;
use kproxy_tests::cluster::{Host, Namespace};

use crate::stage::{Hop, NARROW, Stage, TARGET, address};

/// Many packets each way.
const LENGTH: usize = 400_000;
/// A stream whose packets never fit stands still for good.
const STALLED: Duration = Duration::from_secs(10);

/// Sends a request through the service and its answer back, and sees who has learned how narrow the way is.
pub(crate) fn exchange(stage: &Stage, hop: Hop, family: Family) -> anyhow::Result<()> {
    let (client, backend) = (stage.client(), stage.backend());
    let listener = backend
        .namespace()
        .run(|| TcpListener::bind((address(&backend, family), TARGET)))??;
    let service = stage.service(family);
    thread::scope(|scope| -> anyhow::Result<()> {
        let answering = scope.spawn(|| serve(&listener));
        let asked = ask(client.namespace(), service);
        // A client that failed before it was accepted leaves nobody to wait for.
        if asked.is_err() {
            let _ = backend
                .namespace()
                .run(|| TcpStream::connect((address(&backend, family), TARGET)).map(drop));
        }
        let served = answering
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        asked.and(served)
    })
    .with_context(|| format!("{hop:?} {family}: the stream stalled"))?;
    let (who, to): (&Host, IpAddr) = match hop {
        Hop::Client => (&backend, stage.peer(family)),
        Hop::Backend => (&client, service.ip()),
    };
    let known = route(who, to)?;
    ensure!(
        known.contains(&format!("mtu {NARROW}")),
        "{hop:?} {family}: {} has not learned of the narrow hop: {known}",
        who.name()
    );
    Ok(())
}

fn serve(listener: &TcpListener) -> anyhow::Result<()> {
    let (mut stream, _) = listener.accept()?;
    bound(&stream)?;
    let mut request = vec![0; LENGTH];
    stream.read_exact(&mut request).context("the request")?;
    stream.write_all(&request).context("the answer")?;
    Ok(())
}

fn ask(namespace: &Namespace, service: SocketAddr) -> anyhow::Result<()> {
    let mut stream = namespace
        .run(|| TcpStream::connect_timeout(&service, STALLED))?
        .with_context(|| format!("cannot connect to {service}"))?;
    bound(&stream)?;
    let request: Vec<u8> = (0..=u8::MAX).cycle().take(LENGTH).collect();
    stream.write_all(&request).context("the request")?;
    let mut answer = vec![0; LENGTH];
    stream.read_exact(&mut answer).context("the answer")?;
    ensure!(answer == request, "the answer is not what was asked");
    Ok(())
}

fn bound(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(STALLED))?;
    stream.set_write_timeout(Some(STALLED))
}

fn route(host: &Host, to: IpAddr) -> anyhow::Result<String> {
    let output = Command::new("ip")
        .args(["-netns", host.namespace().name(), "route", "get", &to.to_string()])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
