//! Shows which services are programmed on this node, from its pinned maps.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use clap::Args;
use kproxy_common::{
    Backend, BackendFlags, Frontend, FrontendFlags, FrontendKey, RangeSetId, ServiceId, ServiceName, SlotRun,
};
use serde::Serialize;

use super::look::{Output, PinDirArgs, lines, table};
use crate::dataplane::Pinned;
use crate::explain::{FrontendKind, Names};
use crate::plan::{Endpoint, MapContents};

/// `kproxy services`.
#[derive(Args, Debug)]
pub struct ServicesArgs {
    /// Only the service of this name, as `name` or `namespace/name`.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,

    /// Only services of this namespace.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// How the answer looks.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Which kproxy of this node.
    #[command(flatten)]
    pub pins: PinDirArgs,
}

/// A service port in one family, as it is programmed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Programmed {
    /// `namespace/name:port`, as `kproxy explain` says it.
    pub service: String,
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub name: String,
    /// The addresses it is served under.
    pub frontends: Vec<Served>,
    /// Its endpoints: those that new connections are given, and those that only keep what they have.
    pub endpoints: Vec<Member>,
}

/// An address that a service port is served under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Served {
    /// What kind of address.
    pub kind: FrontendKind,
    /// The address; null for a NodePort, which is served on every eligible address of the node.
    pub address: Option<String>,
    /// The port.
    pub port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// How many endpoints clients inside the cluster are given.
    pub inside: u32,
    /// How many endpoints everybody else is given.
    pub outside: u32,
    /// Whether clients outside are only given endpoints of this node.
    pub outside_local: bool,
    /// Session affinity in seconds, 0 for none.
    pub affinity_seconds: u32,
    /// Whether clients outside are balanced by Maglev hashing.
    pub maglev: bool,
    /// Whether only some clients may ask.
    pub restricted: bool,
}

/// An endpoint of a service port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Member {
    /// `address:port`.
    pub endpoint: String,
    /// Whether it is on this node.
    pub local: bool,
    /// Whether new connections may be given it.
    pub usable: bool,
}

/// Prints the programmed services.
///
/// # Errors
///
/// When a map can not be read, or no service has the name that was asked for.
pub fn services(arguments: &ServicesArgs) -> Result<()> {
    let pinned = Pinned::open(&arguments.pins.pin_dir)?;
    let mut services = programmed(&pinned.contents()?, &pinned.names()?);
    services.retain(|service| is_asked_for(arguments, service));
    if let (Some(name), true) = (&arguments.name, services.is_empty()) {
        bail!("no service {name} is programmed here");
    }
    match arguments.output {
        Output::Text => println!("{}", text(&services)),
        Output::Json => {
            println!(
                "{}",
                serde_json::to_string_pretty(&services).context("write the services")?
            );
        }
    }
    Ok(())
}

fn is_asked_for(arguments: &ServicesArgs, service: &Programmed) -> bool {
    let Programmed { namespace, name, .. } = service;
    let in_namespace = arguments
        .namespace
        .as_ref()
        .is_none_or(|asked| asked == namespace);
    in_namespace
        && match arguments.name.as_deref().map(|asked| asked.split_once('/')) {
            None => true,
            Some(Some((asked_namespace, asked))) => asked_namespace == namespace && asked == name,
            Some(None) => arguments.name.as_ref() == Some(name),
        }
}

/// What maps say of services, sorted by name.
#[must_use]
pub fn programmed(contents: &MapContents, names: &BTreeMap<ServiceId, ServiceName>) -> Vec<Programmed> {
    let full_names = Names::new(names, &contents.frontends);
    let mut by_service = BTreeMap::<ServiceId, Vec<(FrontendKey, Frontend)>>::new();
    for (key, frontend) in &contents.frontends {
        by_service
            .entry(frontend.service)
            .or_default()
            .push((*key, *frontend));
    }
    let mut members = BTreeMap::<ServiceId, Vec<(u32, Backend)>>::new();
    for (number, backend) in (0..).zip(&contents.backends) {
        if backend.flags.contains(BackendFlags::ALIVE) {
            members
                .entry(backend.service)
                .or_default()
                .push((number, *backend));
        }
    }
    let mut services: Vec<_> = by_service
        .into_iter()
        .map(|(id, frontends)| {
            let runs = frontends.iter().flat_map(|(_, it)| [it.inside, it.outside]);
            let usable: BTreeSet<u32> = runs.flat_map(|run| slots(contents, run)).collect();
            let name = names.get(&id);
            let mut frontends: Vec<_> = frontends
                .iter()
                .map(|(key, it)| served(contents, key, it))
                .collect();
            frontends.sort();
            let endpoints = members.get(&id).into_iter().flatten();
            let mut endpoints: Vec<_> = endpoints
                .map(|(number, backend)| member(backend, usable.contains(number)))
                .collect();
            endpoints.sort();
            Programmed {
                service: full_names.of(id),
                namespace: name.map_or_else(String::new, |name| name.namespace().to_owned()),
                name: name.map_or_else(String::new, |name| name.name().to_owned()),
                frontends,
                endpoints,
            }
        })
        .collect();
    services.sort();
    services
}

fn slots(contents: &MapContents, run: SlotRun) -> impl Iterator<Item = u32> {
    let SlotRun { base, count } = run;
    let start = contents.slots.len().min(base as usize);
    contents.slots[start..]
        .iter()
        .take(count as usize)
        .map(|index| index.0)
}

/// How many backends a run leads to. A table has more slots than these.
fn backends(contents: &MapContents, run: SlotRun) -> u32 {
    let backends: BTreeSet<u32> = slots(contents, run).collect();
    u32::try_from(backends.len()).unwrap_or(u32::MAX)
}

fn served(contents: &MapContents, key: &FrontendKey, frontend: &Frontend) -> Served {
    let kind = FrontendKind::of(frontend.flags);
    Served {
        kind,
        address: (kind != FrontendKind::NodePort).then(|| key.address.to_string()),
        port: key.port.number(),
        protocol: key.protocol.to_string(),
        inside: backends(contents, frontend.inside),
        outside: backends(contents, frontend.outside),
        outside_local: frontend.flags.contains(FrontendFlags::OUTSIDE_LOCAL),
        affinity_seconds: frontend.affinity_seconds,
        maglev: frontend.flags.contains(FrontendFlags::MAGLEV),
        restricted: frontend.ranges != RangeSetId::EVERYBODY,
    }
}

fn member(backend: &Backend, usable: bool) -> Member {
    let endpoint = Endpoint {
        address: backend.address,
        port: backend.port,
    };
    Member {
        endpoint: endpoint.to_string(),
        local: backend.flags.contains(BackendFlags::LOCAL),
        usable,
    }
}

/// One line for each frontend; the service's name and endpoints stand in its first one.
fn text(services: &[Programmed]) -> String {
    let mut table = table([
        "SERVICE",
        "KIND",
        "FRONTEND",
        "INSIDE",
        "OUTSIDE",
        "NOTES",
        "ENDPOINTS",
    ]);
    for service in services {
        for (position, frontend) in service.frontends.iter().enumerate() {
            let first = |text: String| if position == 0 { text } else { String::new() };
            let address = match frontend.address.as_deref() {
                Some(address) if address.contains(':') => format!("[{address}]:"),
                Some(address) => format!("{address}:"),
                None => "node:".into(),
            };
            let endpoints: Vec<_> = service.endpoints.iter().map(short).collect();
            table.add_row([
                first(service.service.clone()),
                frontend.kind.to_string(),
                format!("{address}{}/{}", frontend.port, frontend.protocol),
                frontend.inside.to_string(),
                frontend.outside.to_string(),
                notes(frontend),
                first(endpoints.join(" ")),
            ]);
        }
    }
    lines(&table)
}

fn notes(frontend: &Served) -> String {
    let notes = [
        frontend.outside_local.then(|| "local".to_owned()),
        (frontend.affinity_seconds > 0).then(|| format!("affinity {} s", frontend.affinity_seconds)),
        frontend.maglev.then(|| "maglev".to_owned()),
        frontend.restricted.then(|| "source ranges".to_owned()),
    ];
    notes.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn short(member: &Member) -> String {
    let Member {
        endpoint,
        local,
        usable,
    } = member;
    match (usable, local) {
        (true, true) => format!("{endpoint}(local)"),
        (true, false) => endpoint.clone(),
        (false, _) => format!("{endpoint}(leaving)"),
    }
}

#[cfg(test)]
mod tests {
    use kproxy_common::{Address, BackendIndex, Epoch, Generation, Port, Protocol};

    use super::*;

    #[test]
    fn a_table_counts_its_backends_and_not_its_slots() {
        let address = Address::from(std::net::Ipv4Addr::new(192, 0, 2, 1));
        let key = FrontendKey::new(address, Port::new(80), Protocol::TCP);
        let frontend = Frontend {
            service: ServiceId(1),
            flags: FrontendFlags::EXTERNAL_IP | FrontendFlags::MAGLEV,
            affinity_seconds: 0,
            ranges: RangeSetId::EVERYBODY,
            inside: SlotRun { base: 5, count: 2 },
            outside: SlotRun { base: 0, count: 5 },
            check: key.check(),
            padding: 0,
        };
        let backend = Backend {
            address,
            port: Port::new(8080),
            flags: BackendFlags::ALIVE,
            generation: Generation(0),
            service: ServiceId(1),
            epoch: Epoch(0),
        };
        let contents = MapContents {
            frontends: [(key, frontend)].into(),
            slots: [1, 2, 2, 1, 2, 1, 2].map(BackendIndex).into(),
            backends: vec![backend; 3],
            ..MapContents::default()
        };
        let services = programmed(&contents, &BTreeMap::new());
        let [served] = &services[0].frontends[..] else {
            panic!("{services:?}")
        };
        assert_eq!((served.inside, served.outside, served.maglev), (2, 2, true));
        assert_eq!(notes(served), "maglev");
    }
}
