//! Services.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1;
use k8s_openapi::jiff::Timestamp;
use kproxy_common::{Address, Port, Protocol};

use super::address::parse_family;
use super::{Kind, Name, ObjectName, Parsed, Problem, Reason, parse_address, parse_port, parse_protocol};

/// The label that hands a Service to another proxy, whatever its value (semantics 1.01).
const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// The API server's default for `sessionAffinityConfig.clientIP.timeoutSeconds` (semantics 6.03).
const AFFINITY_SECONDS: u32 = 10_800;
/// The longest affinity timeout that the API server accepts.
const AFFINITY_SECONDS_MAX: u32 = 86_400;

/// A Service that kproxy serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ObjectName,
    /// When it was created: the older one wins a frontend that two claim.
    pub created: Created,
    /// Its ClusterIPs, at most one of each family. A family without one is not served at all (semantics 1.16).
    pub cluster_ips: Vec<Address>,
    /// Its ports; name and protocol are unique, port and protocol as well.
    pub ports: Vec<ServicePort>,
    /// Who may serve clients of the ClusterIP.
    pub internal_policy: TrafficPolicy,
    /// Session affinity by client address in seconds, 0 for none.
    pub affinity_seconds: u32,
}

/// A moment of creation, `None` for objects that never were in an API server; those count as oldest.
pub type Created = Option<Timestamp>;

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, empty if it has none.
    pub name: Name,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The number that clients use.
    pub port: Port,
}

/// Which endpoints a kind of clients may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// All of them.
    #[default]
    Cluster,
    /// Those on the node where the traffic enters.
    Local,
}

impl TryFrom<v1::Service> for Parsed<Service> {
    type Error = Problem;

    fn try_from(service: v1::Service) -> Result<Self, Problem> {
        let name = ObjectName::of(Kind::Service, &service.metadata)?;
        let spec = service.spec.unwrap_or_default();
        let opted_out = service
            .metadata
            .labels
            .is_some_and(|labels| labels.contains_key(PROXY_NAME));
        if opted_out || is_skipped(&spec) {
            return Ok(Self::ignored(name));
        }
        let mut problems = Vec::new();
        let mut report = |field, reason| problems.push(Problem::new(Kind::Service, &name, field, reason));
        let object = Service {
            name: name.clone(),
            created: service.metadata.creation_timestamp.map(|time| time.0),
            cluster_ips: cluster_ips(&spec, &mut report),
            internal_policy: internal_policy(&spec),
            affinity_seconds: affinity_seconds(&spec, &mut report),
            ports: ports(spec.ports.unwrap_or_default(), &mut report),
        };
        Ok(Self {
            name,
            object: Some(object),
            problems,
        })
    }
}

/// Headless, not yet given an address, or an alias (semantics 1.06, 1.07).
fn is_skipped(spec: &v1::ServiceSpec) -> bool {
    matches!(spec.cluster_ip.as_deref(), None | Some("" | "None"))
        || spec.type_.as_deref() == Some("ExternalName")
}

/// What is left out with a ClusterIP.
const SKIPPED: &str = "the Service in this family";

/// Position i of `ipFamilies` pairs with `clusterIPs[i]` (semantics 1.14, 1.15).
fn cluster_ips(spec: &v1::ServiceSpec, report: &mut impl FnMut(String, Reason)) -> Vec<Address> {
    let families = spec.ip_families.as_deref().unwrap_or_default();
    if families.is_empty() {
        return match cluster_ip(spec.cluster_ip.as_deref().unwrap_or_default()) {
            Ok(address) => vec![address],
            Err(reason) => {
                report("spec.clusterIP".into(), reason);
                Vec::new()
            }
        };
    }
    let mut addresses: Vec<Address> = Vec::with_capacity(families.len());
    let texts = spec.cluster_ips.iter().flatten();
    for (position, (family_name, text)) in families.iter().zip(texts).enumerate() {
        let Some(family) = parse_family(family_name) else {
            report(
                format!("spec.ipFamilies[{position}]"),
                Reason::UnknownFamily(family_name.clone()),
            );
            continue;
        };
        let field = || format!("spec.clusterIPs[{position}]");
        match cluster_ip(text) {
            Err(reason) => report(field(), reason),
            Ok(address) if address.family() != family => {
                report(field(), Reason::Family(text.clone(), family, SKIPPED));
            }
            Ok(_) if addresses.iter().any(|other| other.family() == family) => {
                report(field(), Reason::Repeated(family.to_string()));
            }
            Ok(address) => addresses.push(address),
        }
    }
    addresses
}

/// The unspecified address is the key of `NodePorts` in the kernel, and a loopback address would take the ports of the
/// node's own programs.
fn cluster_ip(text: &str) -> Result<Address, Reason> {
    let address = parse_address(text).ok_or_else(|| Reason::Address(text.to_owned(), SKIPPED))?;
    let ip = address.ip();
    if ip.is_unspecified() || ip.is_loopback() {
        return Err(Reason::OwnAddress(address, SKIPPED));
    }
    Ok(address)
}

/// Anything but exactly `Local` means all endpoints (semantics 1.10).
fn internal_policy(spec: &v1::ServiceSpec) -> TrafficPolicy {
    match spec.internal_traffic_policy.as_deref() {
        Some("Local") => TrafficPolicy::Local,
        Some(_) | None => TrafficPolicy::Cluster,
    }
}

fn affinity_seconds(spec: &v1::ServiceSpec, report: &mut impl FnMut(String, Reason)) -> u32 {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return 0;
    }
    let config = spec
        .session_affinity_config
        .as_ref()
        .and_then(|config| config.client_ip.as_ref());
    let Some(seconds) = config.and_then(|client_ip| client_ip.timeout_seconds) else {
        return AFFINITY_SECONDS;
    };
    if let Ok(seconds @ 1..=AFFINITY_SECONDS_MAX) = u32::try_from(seconds) {
        return seconds;
    }
    let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
    report(field.into(), Reason::AffinityTimeout(seconds.into()));
    AFFINITY_SECONDS
}

/// A bad port is left out, the others stay. Of two that collide the first one stays.
fn ports(ports: Vec<v1::ServicePort>, report: &mut impl FnMut(String, Reason)) -> Vec<ServicePort> {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    let mut parsed = Vec::with_capacity(ports.len());
    for (position, port) in ports.into_iter().enumerate() {
        let mut skip = |field, reason| report(format!("spec.ports[{position}].{field}"), reason);
        let protocol = match parse_protocol(port.protocol.as_deref()) {
            Ok(protocol) => protocol,
            Err(reason) => {
                skip("protocol", reason);
                continue;
            }
        };
        let number = match parse_port(port.port) {
            Ok(number) => number,
            Err(reason) => {
                skip("port", reason);
                continue;
            }
        };
        let name: Name = port.name.unwrap_or_default().into();
        if numbers.contains(&(number, protocol)) {
            skip("port", Reason::Repeated(format!("{number}/{protocol}")));
        } else if names.contains(&(name.clone(), protocol)) {
            skip(
                "name",
                Reason::Repeated(format!("the name {name:?} for {protocol}")),
            );
        } else {
            numbers.insert((number, protocol));
            names.insert((name.clone(), protocol));
            parsed.push(ServicePort {
                name,
                protocol,
                port: number,
            });
        }
    }
    parsed
}
