//! A flow, as the model remembers it.

use std::net::SocketAddr;
use std::time::Duration;

use kproxy_ebpf::Action;

use super::event::Entrance;
use super::packet::UDP;

/// A little less than the times after which silent flows have ended.
const IDLE: [Duration; 2] = [Duration::from_secs(119), Duration::from_secs(86_000)];

/// Both directions of a translation.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) protocol: u8,
    pub(super) client: SocketAddr,
    /// Whom the client asks.
    pub(super) asked: SocketAddr,
    /// As whom the backend sees the client.
    pub(super) source: SocketAddr,
    pub(super) backend: SocketAddr,
    pub(super) is_uplink: bool,
    /// Whether it goes past the node's stack.
    pub(super) is_around: bool,
    /// When it was used last.
    pub(super) seen: Duration,
    /// Whether it has or may have ended: what it was may be another's now.
    pub(super) may_be_over: bool,
}

impl Flow {
    /// What the client sends, and what the backend sends.
    pub(super) fn keys(&self) -> [(u8, SocketAddr, SocketAddr); 2] {
        [
            (self.protocol, self.client, self.asked),
            (self.protocol, self.backend, self.source),
        ]
    }

    /// What a packet becomes that comes here.
    pub(super) fn rewrite(
        &self,
        entrance: Entrance,
        key: (u8, SocketAddr, SocketAddr),
    ) -> Option<(SocketAddr, SocketAddr)> {
        let (requests, answers) = match (self.is_uplink, self.is_around) {
            (false, false) => (Entrance::PodIngress, Entrance::PodEgress),
            (false, true) => (Entrance::PodIngress, Entrance::PodIngress),
            (true, false) => (Entrance::UplinkIngress, Entrance::UplinkEgress),
            (true, true) => (Entrance::UplinkIngress, Entrance::UplinkIngress),
        };
        let [request, answer] = self.keys();
        if entrance == requests && key == request {
            Some((self.source, self.backend))
        } else if entrance == answers && key == answer {
            Some((self.asked, self.client))
        } else {
            None
        }
    }

    /// How its packets go on.
    pub(super) fn action(&self) -> Action {
        match (self.is_uplink, self.is_around) {
            (_, false) => Action::Continue,
            (false, true) => Action::TurnAround,
            (true, true) => Action::Forward,
        }
    }

    pub(super) fn grow_old(&mut self, now: Duration) {
        let [udp, connections] = IDLE;
        let idle = if self.protocol == UDP { udp } else { connections };
        self.may_be_over |= now.saturating_sub(self.seen) >= idle;
    }
}
