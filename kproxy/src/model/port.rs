//! Port numbers and protocols as Services and slices write them.

use kproxy_common::{Port, Protocol};

use super::Reason;

/// A port number that traffic can have, or why `skipped` is.
///
/// # Errors
/// The number is below 1 or above 65535.
pub fn parse_port(number: i32, skipped: &'static str) -> Result<Port, Reason> {
    match u16::try_from(number) {
        Ok(number @ 1..) => Ok(Port::new(number)),
        Ok(0) | Err(_) => Err(Reason::Port(number.into(), skipped)),
    }
}

/// A protocol by its name; the API server's default is TCP (semantics 1.13, 2.09).
///
/// # Errors
/// The name is not TCP, UDP or SCTP.
pub fn parse_protocol(name: Option<&str>) -> Result<Protocol, Reason> {
    match name {
        None | Some("" | "TCP") => Ok(Protocol::TCP),
        Some("UDP") => Ok(Protocol::UDP),
        Some("SCTP") => Ok(Protocol::SCTP),
        Some(other) => Err(Reason::Protocol(other.to_owned())),
    }
}
