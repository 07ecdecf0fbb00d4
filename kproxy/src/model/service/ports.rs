//! The ports of a Service.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1;
use kproxy_common::{Port, Protocol};

use super::ServicePort;
use crate::model::{Name, Reason, parse_port, parse_protocol};

/// A bad port is left out, the others stay. Of two that collide the first one stays.
pub(super) fn ports(
    ports: Vec<v1::ServicePort>,
    report: &mut impl FnMut(String, Reason),
) -> Box<[ServicePort]> {
    let mut taken = Taken::default();
    let mut parsed = Vec::with_capacity(ports.len());
    for (position, port) in ports.into_iter().enumerate() {
        let mut skip = |field, reason| report(format!("spec.ports[{position}].{field}"), reason);
        match taken.parse(port, &mut skip) {
            Ok(port) => parsed.push(port),
            Err((field, reason)) => skip(field, reason),
        }
    }
    parsed.into()
}

/// What the ports so far have.
#[derive(Default)]
struct Taken {
    names: BTreeSet<(Name, Protocol)>,
    numbers: BTreeSet<(Port, Protocol)>,
    node_ports: BTreeSet<(Port, Protocol)>,
}

impl Taken {
    /// The port, or the field it is left out for. A bad node port does not stop the rest.
    fn parse(
        &mut self,
        port: v1::ServicePort,
        report: &mut impl FnMut(&'static str, Reason),
    ) -> Result<ServicePort, (&'static str, Reason)> {
        let protocol = parse_protocol(port.protocol.as_deref()).map_err(|reason| ("protocol", reason))?;
        let number = parse_port(port.port, "the port").map_err(|reason| ("port", reason))?;
        let name: Name = port.name.unwrap_or_default().into();
        if self.numbers.contains(&(number, protocol)) {
            return Err(("port", Reason::Repeated(format!("{number}/{protocol}"))));
        }
        if !self.names.insert((name.clone(), protocol)) {
            let repeated = format!("the name {name:?} for {protocol}");
            return Err(("name", Reason::Repeated(repeated)));
        }
        self.numbers.insert((number, protocol));
        let node_port = self
            .node_port(port.node_port.unwrap_or_default(), protocol)
            .unwrap_or_else(|reason| {
                report("nodePort", reason);
                None
            });
        Ok(ServicePort {
            name,
            protocol,
            port: number,
            node_port,
        })
    }

    /// 0 stands for none.
    fn node_port(&mut self, number: i32, protocol: Protocol) -> Result<Option<Port>, Reason> {
        if number == 0 {
            return Ok(None);
        }
        let number = parse_port(number, "the node port")?;
        if self.node_ports.insert((number, protocol)) {
            Ok(Some(number))
        } else {
            Err(Reason::RepeatedNodePort(format!("{number}/{protocol}")))
        }
    }
}
