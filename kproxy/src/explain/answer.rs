//! What is answered.

use std::fmt;

use kproxy_common::{Address, FrontendFlags};
use serde::{Serialize, Serializer};

/// What would happen to a packet, and why. As JSON, every field is always there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What would happen.
    pub verdict: Verdict,
    /// Why: the name of the outcome as in the counters, a colon, and a sentence.
    pub reason: String,
    /// The service port it belongs to: `namespace/name:port`, with the port's name, or its number if it has none.
    pub service: Option<String>,
    /// What kind of address of the service was asked.
    pub frontend: Option<FrontendKind>,
    /// Who asks.
    pub client: ClientKind,
    /// Every backend that the packet could be given, as `address:port`, sorted as text.
    pub candidates: Vec<String>,
    /// The one that it was given this time.
    pub chosen: Option<String>,
    /// What the backend sees as its client.
    pub source: SourceAddress,
    /// How it came to that, step by step; not part of the JSON.
    #[serde(skip)]
    pub steps: Vec<String>,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It goes to a backend.
    Forward,
    /// Its sender is told that nobody answers there.
    Reject,
    /// It vanishes.
    Drop,
    /// It goes on as if there were no services.
    Pass,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::Reject => "reject",
            Self::Drop => "drop",
            Self::Pass => "pass",
        })
    }
}

/// The kinds of addresses that services have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum FrontendKind {
    /// The address inside the cluster.
    ClusterIP,
    /// A port of every node.
    NodePort,
    /// An address that the owner of the service routes here.
    ExternalIP,
    /// An address of a load balancer.
    LoadBalancer,
}

impl FrontendKind {
    /// The kind that a frontend's flags tell.
    #[must_use]
    pub fn of(flags: FrontendFlags) -> Self {
        if flags.contains(FrontendFlags::CLUSTER_IP) {
            Self::ClusterIP
        } else if flags.contains(FrontendFlags::NODE_PORT) {
            Self::NodePort
        } else if flags.contains(FrontendFlags::LOAD_BALANCER) {
            Self::LoadBalancer
        } else {
            Self::ExternalIP
        }
    }
}

impl fmt::Display for FrontendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::ExternalIP => "ExternalIP",
            Self::LoadBalancer => "LoadBalancer",
        })
    }
}

/// Who asks, as traffic policies see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientKind {
    /// This node: a process in its own network.
    Node,
    /// A pod, or whoever the local-traffic detector takes for one.
    Pod,
    /// Everybody else.
    External,
}

impl fmt::Display for ClientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Pod => "pod",
            Self::External => "external",
        })
    }
}

/// The source address after the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceAddress {
    /// The one it had.
    Kept,
    /// Another one.
    Becomes(Address),
    /// The node's own of the device that leads to the backend, which is not known here.
    BecomesUnknown,
}

impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str("kept"),
            Self::Becomes(address) => address.fmt(f),
            Self::BecomesUnknown => f.write_str("unknown"),
        }
    }
}

impl Serialize for SourceAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// For people: what, why, and the steps that led there.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verdict,
            reason,
            service,
            frontend,
            client,
            candidates,
            chosen,
            source,
            steps,
        } = self;
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".into());
        writeln!(f, "{verdict}: {reason}")?;
        writeln!(f, "  service     {}", or_none(service.clone()))?;
        writeln!(
            f,
            "  frontend    {}",
            or_none(frontend.map(|kind| kind.to_string()))
        )?;
        writeln!(f, "  client      {client}")?;
        writeln!(
            f,
            "  candidates  {}",
            or_none(Some(candidates.join(" ")).filter(|all| !all.is_empty()))
        )?;
        writeln!(f, "  chosen      {}", or_none(chosen.clone()))?;
        write!(f, "  source      {source}")?;
        for (number, step) in (1..).zip(steps) {
            write!(f, "\n{number:>3}. {step}")?;
        }
        Ok(())
    }
}
