//! What can be wrong with an object, in words that say what to do.

use std::fmt;

use kproxy_common::{Address, Family};
use thiserror::Error;

use super::{Cidr, Name, ObjectName};

/// The kinds of objects that kproxy reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1`
    Service,
    /// `discovery.k8s.io/v1`
    EndpointSlice,
    /// `v1`
    Node,
    /// `networking.k8s.io/v1`
    ServiceCidr,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Service, Self::EndpointSlice, Self::Node, Self::ServiceCidr];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Node => "Node",
            Self::ServiceCidr => "ServiceCIDR",
        })
    }
}

/// One thing that is wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind} {name}{}, field {field}: {reason}", origin.as_ref().map(|file| format!(" in {file}")).unwrap_or_default())]
pub struct Problem {
    /// The object's kind.
    pub kind: Kind,
    /// The object.
    pub name: ObjectName,
    /// The file it was read from, if it was read from one.
    pub origin: Option<Name>,
    /// Path of the field, as in `spec.ports[1].port`.
    pub field: Box<str>,
    /// What is wrong, what is done about it, and what to do.
    pub reason: Reason,
}

impl Problem {
    /// A problem with one field of an object.
    #[must_use]
    pub fn new(kind: Kind, name: &ObjectName, field: impl Into<Box<str>>, reason: Reason) -> Self {
        Self {
            kind,
            name: name.clone(),
            origin: None,
            field: field.into(),
            reason,
        }
    }
}

/// What is wrong with a field. `&'static str`s say what is left out because of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// A required field is absent or empty.
    #[error("is missing, the object is ignored until it is set")]
    Missing,
    /// A manifest of a Service that leaves its address to an API server.
    #[error("is missing, the Service is ignored; nobody gives out addresses here, so write one, or None")]
    NoClusterIp,
    /// Not an IP address.
    #[error("{0:?} is not an IP address, {1} is skipped; write it like 10.0.0.1 or fd00::1")]
    Address(String, &'static str),
    /// An address that every node has for itself.
    #[error(
        "{0} can not be the address of a Service, {1} is skipped: it means the node itself; \
         use one that no node has"
    )]
    OwnAddress(Address, &'static str),
    /// An address that many hosts listen to.
    #[error(
        "{0} can not be the address of a Service, {1} is skipped: it is a multicast or broadcast address; \
         use one that stands for one host"
    )]
    GroupAddress(Address, &'static str),
    /// Not a prefix.
    #[error("{0:?} is not a CIDR, {1} is skipped; write it like 10.0.0.0/8 or fd00::/64")]
    Cidr(String, &'static str),
    /// A range of ClusterIPs that holds all addresses of a family.
    #[error(
        "{0} holds every address of a family, the range is skipped; use the one that ClusterIPs come from"
    )]
    WholeFamily(Cidr),
    /// An address of the other family.
    #[error("{0:?} is not of the family {1} that this entry is for, {2} is skipped")]
    Family(String, Family, &'static str),
    /// Not a family name.
    #[error("{0:?} is not an IP family, the entry is skipped; use IPv4 or IPv6")]
    UnknownFamily(String),
    /// Not a port number.
    #[error("{0} is not a port number, {1} is skipped; use 1 to 65535")]
    Port(i64, &'static str),
    /// Not a transport protocol that services have.
    #[error("{0:?} is not a protocol of services, the port is skipped; use TCP, UDP or SCTP")]
    Protocol(String),
    /// Not a kind of address that slices have.
    #[error("{0:?} is not an address type, the slice is ignored; use IPv4 or IPv6")]
    AddressType(String),
    /// A slice that belongs to no service.
    #[error("names no service, the slice is ignored; set it to the name of a Service in the same namespace")]
    NoService,
    /// Session affinity timeout out of range.
    #[error("{0} is not an affinity timeout in seconds, the default of 10800 is used; use 1 to 86400")]
    AffinityTimeout(i64),
    /// The same protocol and port, or name and protocol, twice in one Service.
    #[error("repeats {0} of an earlier port of this Service, the later port is skipped; give it another one")]
    Repeated(String),
    /// The same protocol and node port twice in one Service.
    #[error("repeats {0} of an earlier port of this Service, this node port is skipped; give it another one")]
    RepeatedNodePort(String),
    /// Not a type of Services.
    #[error("{0:?} is not a type of Services, ClusterIP is assumed; use ClusterIP, NodePort or LoadBalancer")]
    ServiceType(String),
    /// Not a traffic policy.
    #[error("{0:?} is not a traffic policy, Cluster is used; use Cluster or Local")]
    Policy(String),
    /// Not a session affinity.
    #[error("{0:?} is not a session affinity, None is used; use ClientIP or None")]
    Affinity(String),
    /// Not a way to balance clients.
    #[error(
        "{0:?} is not a way to balance clients, what the node is configured for is used; use random or maglev"
    )]
    LoadBalancing(String),
    /// Not a way in which a load balancer passes packets on.
    #[error("{0:?} is not an ipMode, the address is skipped; use VIP or Proxy")]
    IpMode(String),
    /// A load balancer with the policy Local has nowhere to ask.
    #[error(
        "is missing, so no load balancer can ask which nodes have endpoints, and those without drop its traffic; \
         set it, or use the policy Cluster"
    )]
    NoHealthCheckPort,
    /// Another Service stands on the same address, protocol and port.
    #[error(
        "{frontend} belongs to Service {holder}, which is older or, of the same age, first by name; this one gets no \
         traffic there until that one gives it up"
    )]
    Claimed {
        /// Address, port and protocol.
        frontend: String,
        /// The Service that has it.
        holder: Box<ObjectName>,
    },
    /// The JSON does not have the shape of the kind.
    #[error("{0}; the object is ignored, what is programmed for it stays in use; correct it")]
    Shape(String),
}
