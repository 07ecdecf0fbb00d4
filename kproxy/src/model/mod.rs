//! Cluster objects, parsed once into domain types.
//!
//! Each file turns one Kubernetes kind into what kproxy needs of it, by `TryFrom`. After that nothing can be invalid:
//! ports are ports, addresses are addresses, defaults are filled in. What can not be used is left out alone and
//! described by a [`Problem`] that names the object, the field and what to do. Nothing here does I/O or keeps state.

mod address;
mod name;
mod node;
mod port;
mod problem;
mod service;
mod service_cidr;
mod slice;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

pub use address::{Cidr, parse_address, parse_cidr};
pub use name::{Name, ObjectName};
pub use node::Node;
pub use port::{parse_port, parse_protocol};
pub use problem::{Kind, Problem, Reason};
pub use service::{Created, External, LoadBalancing, Service, ServicePort, TrafficPolicy};
pub use service_cidr::ServiceCidr;
pub use slice::{Conditions, Endpoint, Hints, Slice, SlicePort};

/// What parsing one object gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// The object's name.
    pub name: ObjectName,
    /// The usable part. `None`: the object is not for kproxy (opted out, headless, without addresses …).
    pub object: Option<T>,
    /// What had to be left out.
    pub problems: Vec<Problem>,
}

impl<T> Parsed<T> {
    /// An object that is none of kproxy's business.
    #[must_use]
    pub fn ignored(name: ObjectName) -> Self {
        Self {
            name,
            object: None,
            problems: Vec::new(),
        }
    }

    /// An object of which nothing can be used, and why.
    #[must_use]
    pub fn unusable(problem: Problem) -> Self {
        Self {
            name: problem.name.clone(),
            object: None,
            problems: vec![problem],
        }
    }
}
