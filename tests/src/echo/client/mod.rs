//! The echo client: one request after another, each reported with what the client's own system calls say.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use super::message::{Answer, Outcome, Report, clock};

mod options;
mod stream;
mod udp;

pub use options::{Mode, Options, Protocol, duration};

/// Asks `options.count` times and hands every outcome to `report`.
pub fn run(options: &Options, mut report: impl FnMut(Report)) {
    let mut client = Client::new(options);
    for sequence in 0..options.count {
        if sequence > 0 {
            thread::sleep(options.interval);
        }
        report(client.ask());
    }
}

/// A client with the sockets it keeps.
pub struct Client<'a> {
    options: &'a Options,
    kept: BTreeMap<SocketAddr, Channel>,
    sequence: u64,
}

impl<'a> Client<'a> {
    /// A client that has not asked anything yet.
    #[must_use]
    pub fn new(options: &'a Options) -> Self {
        Self {
            options,
            kept: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Sends one request to the next destination and waits for its answer.
    pub fn ask(&mut self) -> Report {
        let sequence = self.sequence;
        self.sequence += 1;
        let destinations = &self.options.to;
        let to = destinations[usize::try_from(sequence).unwrap_or(0) % destinations.len()];
        let mut report = Report {
            sequence,
            to,
            result: Outcome::Ok,
            began: clock(),
            micros: 0,
            source: None,
            peer: None,
            sender: None,
            answer: None,
            error: None,
        };
        let start = Instant::now();
        let result = self.exchange(start + self.options.timeout, &mut report);
        report.micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Err(error) = result {
            report.result = Outcome::from(&error);
            report.error = Some(error.to_string());
        }
        report
    }

    fn exchange(&mut self, deadline: Instant, report: &mut Report) -> io::Result<()> {
        let key = self.channel_key(report.to);
        let mut channel = match self.kept.remove(&key) {
            Some(channel) => channel,
            None => Channel::open(self.options, report.to, deadline)?,
        };
        // The process id keeps apart what two clients with the same source port are answered.
        let request = format!("{}-{}", std::process::id(), report.sequence);
        report.source = channel.source();
        report.peer = channel.peer();
        let result = channel.exchange(report.to, &request, deadline);
        let usable = match (&channel, &result) {
            (_, Ok(_)) => true,
            // Nobody knows what a byte stream will deliver next.
            (Channel::Stream(_), Err(_)) => false,
            // Datagrams stand alone.
            (Channel::Udp(_), Err(error)) => !self.options.renew || Outcome::from(error) == Outcome::Timeout,
        };
        if self.options.keep && usable {
            self.kept.insert(key, channel);
        }
        let Exchanged { answer, sender } = result?;
        report.answer = Some(answer);
        report.sender = sender;
        report.peer = report.peer.or(sender);
        Ok(())
    }

    /// Unconnected sockets serve every destination of their family.
    fn channel_key(&self, to: SocketAddr) -> SocketAddr {
        match (self.options.protocol, self.options.mode) {
            (Protocol::Udp, Mode::Sendto) => unspecified(to, 0),
            (Protocol::Udp, Mode::Connect) | (Protocol::Tcp | Protocol::Sctp, _) => to,
        }
    }
}

/// An answer, and for datagrams who sent it.
struct Exchanged {
    answer: Answer,
    sender: Option<SocketAddr>,
}

enum Channel {
    Stream(stream::Connection),
    Udp(udp::Socket),
}

impl Channel {
    fn open(options: &Options, to: SocketAddr, deadline: Instant) -> io::Result<Self> {
        match options.protocol {
            Protocol::Tcp | Protocol::Sctp => {
                stream::Connection::open(options, to, deadline).map(Self::Stream)
            }
            Protocol::Udp => udp::Socket::open(options, to).map(Self::Udp),
        }
    }

    fn exchange(&mut self, to: SocketAddr, request: &str, deadline: Instant) -> io::Result<Exchanged> {
        match self {
            Self::Stream(connection) => connection.exchange(request, deadline),
            Self::Udp(socket) => socket.exchange(to, request, deadline),
        }
    }

    fn source(&self) -> Option<SocketAddr> {
        match self {
            Self::Stream(connection) => connection.source(),
            Self::Udp(socket) => socket.source(),
        }
    }

    fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Stream(connection) => connection.peer(),
            Self::Udp(socket) => socket.peer(),
        }
    }
}

/// The unspecified address of the same family.
fn unspecified(like: SocketAddr, port: u16) -> SocketAddr {
    match like {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, port).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, port).into(),
    }
}

/// What is left until the deadline, as an error when that is nothing.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}
