//! Endpoint slices.

use bitflags::bitflags;
use k8s_openapi::api::discovery::v1;
use k8s_openapi::jiff::Timestamp;
use kproxy_common::{Address, Family, Port, Protocol};

use super::address::parse_family;
use super::{Kind, Name, ObjectName, Parsed, Problem, Reason, parse_address, parse_port, parse_protocol};

/// The label that names a slice's service (semantics 2.02).
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that takes a slice away from service proxies, whatever its value (semantics 1.03).
const HEADLESS: &str = "service.kubernetes.io/headless";

/// The annotation that says when the change was made that led to this version of a slice (semantics 9.20).
const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Some endpoints of a service, in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The slice itself.
    pub name: ObjectName,
    /// The service it belongs to.
    pub service: ObjectName,
    /// The family of all its addresses.
    pub family: Family,
    /// Ports that every endpoint has.
    pub ports: Box<[SlicePort]>,
    /// The endpoints.
    pub endpoints: Box<[Endpoint]>,
    /// When the change was made that it tells of.
    pub trigger: Trigger,
}

/// When something changed that a slice tells of, if it says so in a way that can be read.
///
/// It says nothing about endpoints, so any two are equal: a slice that differs in nothing else is unchanged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trigger(pub Option<Timestamp>);

impl PartialEq for Trigger {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Trigger {}

/// A port of all endpoints of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// Name of the service port that it feeds, empty for the unnamed one.
    pub name: Name,
    /// Protocol of the service port that it feeds.
    pub protocol: Protocol,
    /// The number that pods listen on.
    pub port: Port,
}

/// One endpoint: usually a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// How it is.
    pub conditions: Conditions,
    /// The node it runs on, if it says so.
    pub node: Option<Name>,
    /// Who shall use it. Most endpoints have no hints, so they are kept apart.
    pub hints: Option<Box<Hints>>,
}

bitflags! {
    /// Conditions of an endpoint, with the defaults of absent ones filled in (semantics 2.13).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Conditions: u8 {
        /// It shall get traffic.
        const READY = 1 << 0;
        /// It can answer.
        const SERVING = 1 << 1;
        /// It is being shut down.
        const TERMINATING = 1 << 2;
    }
}

/// Who an endpoint is reserved for. An empty list is no hint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Names of nodes.
    pub nodes: Box<[Name]>,
    /// Names of zones.
    pub zones: Box<[Name]>,
}

impl TryFrom<v1::EndpointSlice> for Parsed<Slice> {
    type Error = Problem;

    fn try_from(slice: v1::EndpointSlice) -> Result<Self, Problem> {
        let name = ObjectName::of(Kind::EndpointSlice, &slice.metadata)?;
        let labels = slice.metadata.labels.unwrap_or_default();
        // Domain names are a type of their own, deprecated, and not for service proxies (semantics 2.01).
        if labels.contains_key(HEADLESS) || slice.address_type == "FQDN" {
            return Ok(Self::ignored(name));
        }
        let problem = |field: String, reason| Problem::new(Kind::EndpointSlice, &name, field, reason);
        let Some(service) = labels.get(SERVICE_NAME).filter(|service| !service.is_empty()) else {
            let field = format!("metadata.labels[{SERVICE_NAME}]");
            return Ok(Self::unusable(problem(field, Reason::NoService)));
        };
        let Some(family) = parse_family(&slice.address_type) else {
            let reason = Reason::AddressType(slice.address_type);
            return Ok(Self::unusable(problem("addressType".into(), reason)));
        };

        let trigger = slice.metadata.annotations.as_ref();
        let trigger = trigger.and_then(|annotations| annotations.get(TRIGGER)?.parse().ok());
        let mut problems = Vec::new();
        let mut report = |field, reason| problems.push(problem(field, reason));
        let ports = slice.ports.into_iter().flatten().enumerate();
        let ports = ports
            .filter_map(|(position, port)| parse_slice_port(port, position, &mut report))
            .collect();
        let endpoints = slice.endpoints.into_iter().enumerate();
        let endpoints = endpoints
            .filter_map(|(position, endpoint)| parse_endpoint(endpoint, family, position, &mut report))
            .collect();
        let service = ObjectName {
            namespace: name.namespace.clone(),
            name: service.as_str().into(),
        };
        let object = Some(Slice {
            name: name.clone(),
            service,
            family,
            ports,
            endpoints,
            trigger: Trigger(trigger),
        });
        Ok(Self {
            name,
            object,
            problems,
        })
    }
}

/// A port without a name or without a number is not meant for services (semantics 2.07, 2.08).
fn parse_slice_port(
    port: v1::EndpointPort,
    position: usize,
    report: &mut impl FnMut(String, Reason),
) -> Option<SlicePort> {
    let number = port.port.filter(|number| *number != 0)?;
    let name = port.name?.into();
    let protocol = parse_protocol(port.protocol.as_deref())
        .map_err(|reason| report(format!("ports[{position}].protocol"), reason));
    let port =
        parse_port(number, "the port").map_err(|reason| report(format!("ports[{position}].port"), reason));
    Some(SlicePort {
        name,
        protocol: protocol.ok()?,
        port: port.ok()?,
    })
}

/// Only the first address counts (semantics 2.12), and it is used as given (2.16).
fn parse_endpoint(
    endpoint: v1::Endpoint,
    family: Family,
    position: usize,
    report: &mut impl FnMut(String, Reason),
) -> Option<Endpoint> {
    let text = endpoint.addresses.into_iter().next()?;
    let mut skip = |reason| report(format!("endpoints[{position}].addresses[0]"), reason);
    let Some(address) = parse_address(&text) else {
        skip(Reason::Address(text, "the endpoint"));
        return None;
    };
    if address.family() != family {
        skip(Reason::Family(text, family, "the endpoint"));
        return None;
    }
    let node = endpoint.node_name.filter(|node| !node.is_empty()).map(Name::from);
    let conditions = parse_conditions(endpoint.conditions.as_ref());
    let hints = endpoint.hints.and_then(parse_hints);
    Some(Endpoint {
        address,
        conditions,
        node,
        hints,
    })
}

fn parse_conditions(conditions: Option<&v1::EndpointConditions>) -> Conditions {
    let mut parsed = Conditions::empty();
    parsed.set(
        Conditions::READY,
        conditions.and_then(|it| it.ready).unwrap_or(true),
    );
    parsed.set(
        Conditions::SERVING,
        conditions.and_then(|it| it.serving).unwrap_or(true),
    );
    parsed.set(
        Conditions::TERMINATING,
        conditions.and_then(|it| it.terminating).unwrap_or(false),
    );
    parsed
}

fn parse_hints(hints: v1::EndpointHints) -> Option<Box<Hints>> {
    let v1::EndpointHints { for_nodes, for_zones } = hints;
    let nodes = for_nodes
        .into_iter()
        .flatten()
        .map(|node| node.name.into())
        .collect();
    let zones = for_zones
        .into_iter()
        .flatten()
        .map(|zone| zone.name.into())
        .collect();
    let hints = Hints { nodes, zones };
    (hints != Hints::default()).then(|| Box::new(hints))
}
