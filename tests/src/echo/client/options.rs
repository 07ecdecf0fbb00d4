//! What a client can be told: one struct for the command line and for tests that run it in-process.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, ValueEnum, builder::PossibleValue};
use serde::{Deserialize, Serialize};

use crate::patience::patience;

/// Whom to ask, how, and how often.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Destination as ADDRESS:PORT; several are asked in turn.
    #[arg(long, required = true, value_name = "ADDRESS:PORT")]
    pub to: Vec<SocketAddr>,
    /// Transport protocol.
    #[arg(long, value_enum, default_value_t = Protocol::Tcp)]
    pub protocol: Protocol,
    /// UDP: connect the socket first, or name the destination with each datagram.
    #[arg(long, value_enum, default_value_t = Mode::Connect)]
    pub mode: Mode,
    /// One socket for all requests instead of a new one for each: a long-lived TCP connection, a connected UDP socket
    /// per destination, or one unconnected UDP socket for all destinations.
    #[arg(long)]
    pub keep: bool,
    /// UDP: leave a kept socket for a new one when the system says that it failed, as resolvers do; not when nothing is
    /// answered.
    #[arg(long)]
    pub renew: bool,
    /// Number of requests.
    #[arg(long, default_value_t = 1)]
    pub count: u64,
    /// Pause between two requests, such as 50ms.
    #[arg(long, default_value = "0ms", value_parser = duration)]
    pub interval: Duration,
    /// How long one request may take, connecting included.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub timeout: Duration,
    /// Bind to this port; the default is a port of the kernel's choice.
    #[arg(long, default_value_t = 0)]
    pub source_port: u16,
    /// TCP: close with a reset, so that the source port is free again at once.
    #[arg(long)]
    pub reset: bool,
}

/// Transport protocol of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// One connection per request, or one for all with `keep`.
    Tcp,
    /// One datagram per request.
    Udp,
    /// As TCP, one message per request.
    Sctp,
}

/// How a UDP client names its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `connect`, then `send` and `recv`.
    Connect,
    /// `sendto` and `recvfrom` on an unconnected socket.
    Sendto,
}

impl Options {
    /// One TCP request to a destination; every field can be changed afterwards.
    #[must_use]
    pub fn to(destination: SocketAddr) -> Self {
        Self {
            to: vec![destination],
            protocol: Protocol::Tcp,
            mode: Mode::Connect,
            keep: false,
            renew: false,
            count: 1,
            interval: Duration::ZERO,
            timeout: patience(Duration::from_secs(1)),
            source_port: 0,
            reset: false,
        }
    }

    /// The same over UDP.
    #[must_use]
    pub fn udp(mut self, mode: Mode) -> Self {
        self.protocol = Protocol::Udp;
        self.mode = mode;
        self
    }

    /// The same over SCTP.
    #[must_use]
    pub fn sctp(mut self) -> Self {
        self.protocol = Protocol::Sctp;
        self
    }

    /// This many requests.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    /// All requests on one socket.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// All requests on one socket, until it fails.
    #[must_use]
    pub fn renew(mut self) -> Self {
        self.renew = true;
        self.keep()
    }

    /// One more destination, asked in turn with the others.
    #[must_use]
    pub fn and_to(mut self, destination: SocketAddr) -> Self {
        self.to.push(destination);
        self
    }

    /// From this source port.
    #[must_use]
    pub fn source_port(mut self, port: u16) -> Self {
        self.source_port = port;
        self
    }

    /// At most this long for each request.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// A pause between two requests.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The command line that makes the binary's `client` or `load` do the same.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let Self {
            to,
            protocol,
            mode,
            keep,
            renew,
            count,
            interval,
            timeout,
            source_port,
            reset,
        } = self;
        let name = |value: &dyn Fn() -> Option<PossibleValue>| {
            value()
                .map(|value| value.get_name().to_owned())
                .unwrap_or_default()
        };
        let mut arguments: Vec<String> = to
            .iter()
            .flat_map(|to| ["--to".to_owned(), to.to_string()])
            .collect();
        for (flag, value) in [
            ("--protocol", name(&|| protocol.to_possible_value())),
            ("--mode", name(&|| mode.to_possible_value())),
            ("--count", count.to_string()),
            ("--interval", format!("{}ms", interval.as_millis())),
            ("--timeout", format!("{}ms", timeout.as_millis())),
            ("--source-port", source_port.to_string()),
        ] {
            arguments.extend([flag.to_owned(), value]);
        }
        arguments.extend(keep.then(|| "--keep".to_owned()));
        arguments.extend(renew.then(|| "--renew".to_owned()));
        arguments.extend(reset.then(|| "--reset".to_owned()));
        arguments
    }
}

/// Reads `250ms` or `2s`.
///
/// # Errors
/// The text when it is neither.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write for example 250ms or 2s");
    let (number, unit): (&str, fn(u64) -> Duration) = match text.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis),
        None => (text.strip_suffix('s').ok_or_else(wrong)?, Duration::from_secs),
    };
    number.parse().ok().map(unit).ok_or_else(wrong)
}
