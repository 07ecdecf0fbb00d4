//! What echo servers answer and what echo clients report: one JSON object per line or datagram.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A server's answer to one request line or datagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Name the server was started with: the pod's.
    pub pod: String,
    /// Where the request came from, as the server sees it.
    pub peer: SocketAddr,
    /// Where the request arrived: `getsockname` of the connection, or the destination of the datagram (`IP_PKTINFO`).
    pub local: SocketAddr,
    /// The request, without its line end.
    pub request: String,
}

/// How a request ended, as the client's system calls tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Answered in time.
    Ok,
    /// ECONNREFUSED: a reset, a port unreachable, or the socket door's verdict.
    Refused,
    /// Nothing came back in time.
    Timeout,
    /// Anything else; the report holds the error's text.
    Error,
}

impl From<&io::Error> for Outcome {
    fn from(error: &io::Error) -> Self {
        let kind = error.kind();
        if kind == io::ErrorKind::ConnectionRefused {
            return Self::Refused;
        }
        // A socket with SO_RCVTIMEO reports EAGAIN when the time is over.
        let timeout = matches!(kind, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
        if timeout { Self::Timeout } else { Self::Error }
    }
}

/// What a client saw of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Counts the requests of one client from 0.
    pub sequence: u64,
    /// Destination the client asked for.
    pub to: SocketAddr,
    /// How the request ended.
    pub result: Outcome,
    /// When it began, by the machine's monotonic clock (see [`clock`]).
    pub began: Duration,
    /// From just before the socket was opened (or, on a kept socket, the request was sent) to the answer, in
    /// microseconds.
    pub micros: u64,
    /// The client's own address (`getsockname`).
    pub source: Option<SocketAddr>,
    /// The peer of a connected socket (`getpeername`), or the sender of the answer on an unconnected one.
    pub peer: Option<SocketAddr>,
    /// UDP: who sent the answer (`recvfrom`), on connected sockets as well.
    pub sender: Option<SocketAddr>,
    /// The server's answer.
    pub answer: Option<Answer>,
    /// The system's words when the request failed.
    pub error: Option<String>,
}

impl Report {
    /// Name of the pod that answered, if any did.
    #[must_use]
    pub fn pod(&self) -> Option<&str> {
        self.answer.as_ref().map(|answer| answer.pod.as_str())
    }
}

/// The time since the machine started, the same for every process.
#[must_use]
pub fn clock() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_become_outcomes() {
        for (errno, wanted) in [
            (libc::ECONNREFUSED, Outcome::Refused),
            (libc::ETIMEDOUT, Outcome::Timeout),
            (libc::EAGAIN, Outcome::Timeout),
            (libc::EPERM, Outcome::Error),
            (libc::EHOSTUNREACH, Outcome::Error),
            (libc::ECONNRESET, Outcome::Error),
        ] {
            assert_eq!(
                Outcome::from(&io::Error::from_raw_os_error(errno)),
                wanted,
                "errno {errno}"
            );
        }
    }
}
