//! Requests with their answers.

use std::net::SocketAddr;
use std::time::Duration;

use kproxy_common::Family;

use super::Via;
use crate::acceptance::state::{PORT, Protocol, WEB};
use crate::acceptance::world::{self, Pod};

/// A request, or several.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who asks.
    pub from: Pod,
    /// By which door.
    pub via: Via,
    /// Over which protocol.
    pub protocol: Protocol,
    /// UDP by `sendto` instead of `connect` and `send`.
    pub sendto: bool,
    /// Whom.
    pub to: SocketAddr,
    /// From which port; else a new one for each request.
    pub source_port: Option<u16>,
    /// How often.
    pub times: usize,
    /// Time that passes before each.
    pub pause: Duration,
    /// The connection or UDP socket of this name, opened when it is first spoken of and kept until the row ends.
    pub kept: Option<&'static str>,
    /// As whom these pods see the client; others see it as is usual at its door.
    pub seen_as: Vec<(&'static str, Source)>,
    /// What must come of each.
    pub expect: Expect,
}

/// As whom a backend sees its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// As itself.
    Kept,
    /// As [`HOST`](world::HOST).
    Node,
}

/// What must come of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Answered by one of these, and the service's address is the peer.
    By(Vec<&'static str>),
    /// The same, and chance treats them alike.
    Spread(Vec<&'static str>),
    /// Answered by the pod that answered on this socket before.
    Same,
    /// Answered by the pod that answered every request of this row with the same name, whichever that is.
    One(&'static str),
    /// Answered by one of these, and each of them comes up in one of the row's requests that expect this.
    Varied(Vec<&'static str>),
    /// ECONNREFUSED.
    Refused,
    /// The call fails as it does when a firewall drops: EPERM for a datagram, ETIMEDOUT for a connection.
    Denied,
    /// Nothing comes back.
    Silence,
    /// The request goes out as it was, and nobody is there.
    Untouched,
}

impl Ask {
    /// One request of the client for a door to [`web`](crate::acceptance::state::web).
    #[must_use]
    pub fn web(via: Via, protocol: Protocol, family: Family) -> Self {
        Self {
            from: Pod::named(via.client()),
            via,
            protocol,
            sendto: false,
            to: world::service(WEB, PORT, family),
            source_port: None,
            times: 1,
            pause: Duration::ZERO,
            kept: None,
            seen_as: Vec::new(),
            expect: Expect::Untouched,
        }
    }

    /// By another pod, or the node.
    #[must_use]
    pub fn from(mut self, name: &str) -> Self {
        self.from = Pod::named(name);
        self
    }

    /// To another address.
    #[must_use]
    pub fn to(mut self, to: SocketAddr) -> Self {
        self.to = to;
        self
    }

    /// To another port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.to.set_port(port);
        self
    }

    /// From this port, which should be none that a kernel chooses by itself (32768 to 60999).
    #[must_use]
    pub fn source_port(mut self, port: u16) -> Self {
        self.source_port = Some(port);
        self
    }

    /// By `sendto`.
    #[must_use]
    pub fn sendto(mut self) -> Self {
        self.sendto = true;
        self
    }

    /// So often.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// After so much time.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// On a connection that is kept.
    #[must_use]
    pub fn kept(mut self, name: &'static str) -> Self {
        self.kept = Some(name);
        self
    }

    /// Seen by these pods as this.
    #[must_use]
    pub fn seen_as(mut self, seen_as: Vec<(&'static str, Source)>) -> Self {
        self.seen_as = seen_as;
        self
    }

    /// Answered by one of these.
    #[must_use]
    pub fn by(self, pods: &[&'static str]) -> Self {
        self.expect(Expect::By(pods.to_vec()))
    }

    /// This must come of it.
    #[must_use]
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }
}
