//! What a source has to say.

use std::time::Instant;

use crate::model::{Kind, Node, ObjectName, Parsed, Problem, Service, ServiceCidr, Slice};

/// One piece of news and when it arrived.
#[derive(Clone, Debug)]
pub struct Event {
    /// When its bytes had arrived, before they were parsed.
    pub arrived: Instant,
    /// What it says.
    pub news: News,
}

impl Event {
    /// News that arrive now.
    #[must_use]
    pub fn now(news: News) -> Self {
        Self {
            arrived: Instant::now(),
            news,
        }
    }
}

/// What an event says.
#[derive(Clone, Debug)]
pub enum News {
    /// About a Service.
    Service(Change<Service>),
    /// About an endpoint slice.
    Slice(Change<Slice>),
    /// About a Node.
    Node(Change<Node>),
    /// About a range of ClusterIPs.
    ServiceCidr(Change<ServiceCidr>),
    /// So many manifests could not be read since the start: nobody knows which objects are in them.
    Unread(usize),
    /// All objects of this kind follow: at the start, and again when changes may have been missed.
    Listing(Kind),
    /// That was all: objects of this kind that were not mentioned since [`News::Listing`] are gone.
    Listed(Kind),
}

impl News {
    /// The news that an object is gone.
    #[must_use]
    pub fn removed(kind: Kind, name: ObjectName) -> Self {
        match kind {
            Kind::Service => Self::Service(Change::Removed(name)),
            Kind::EndpointSlice => Self::Slice(Change::Removed(name)),
            Kind::Node => Self::Node(Change::Removed(name)),
            Kind::ServiceCidr => Self::ServiceCidr(Change::Removed(name)),
        }
    }
}

/// What happened to an object.
#[derive(Clone, Debug)]
pub enum Change<T> {
    /// It is new, or it has changed.
    Applied(Parsed<T>),
    /// It is gone.
    Removed(ObjectName),
    /// It is there, but can not be read at all.
    Rejected(Problem),
}
