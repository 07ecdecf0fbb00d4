//! Datagrams without a pause, each from a port of its own, until one goes as it should.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::bail;
use kproxy_tests::cluster::Host;
use kproxy_tests::echo::message::Answer;

/// How long an answer is waited for, before it is asked again.
pub(crate) const SOON: Duration = Duration::from_millis(2);
/// How long an answer is waited for, before there is none.
pub(crate) const AT_LAST: Duration = Duration::from_millis(50);
/// Against hanging.
const BOUND: Duration = Duration::from_secs(10);

/// Asks until the answer, or that there is none, is right; how long that took from the beginning on.
pub(crate) fn until(
    client: &Host,
    begin: Instant,
    to: SocketAddr,
    patience: Duration,
    is_right: impl Fn(Option<&Answer>) -> bool + Send,
) -> anyhow::Result<Duration> {
    client.namespace().run(move || {
        while begin.elapsed() < BOUND {
            let asked = begin.elapsed();
            let answer = ask(to, patience)?;
            if is_right(answer.as_ref()) {
                // Silence shows only in the end.
                return Ok(if answer.is_some() { begin.elapsed() } else { asked });
            }
        }
        bail!("{to} goes on as before")
    })?
}

fn ask(to: SocketAddr, patience: Duration) -> anyhow::Result<Option<Answer>> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(patience))?;
    let mut buffer = [0; 2048];
    // A way that is not there yet, or no more, is an answer as well.
    let answered = socket
        .send_to(b"probe", to)
        .and_then(|_| socket.recv(&mut buffer));
    match answered {
        Ok(length) => Ok(Some(serde_json::from_slice(&buffer[..length])?)),
        Err(_) => Ok(None),
    }
}
