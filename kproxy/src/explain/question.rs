//! What is asked: one packet, from whom, to whom, and by which door.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use kproxy_common::{Address, Port, Protocol};
use serde::Deserialize;
use thiserror::Error;

use crate::model::{parse_address, parse_protocol};

/// One packet, the first one of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who sends it.
    pub from: Sender,
    /// To whom.
    pub to: Target,
    /// By which door; by the one that the sender would use if it is not said.
    pub via: Option<Via>,
    /// The device that it comes in by, which some local-traffic detectors ask for; `None` if it is not said, and for what
    /// the node sends itself.
    pub device: Option<String>,
}

impl Question {
    /// A question about a packet that can exist.
    ///
    /// # Errors
    /// Sender and target are of two families.
    pub fn new(from: Sender, to: Target, via: Option<Via>) -> Result<Self, QuestionError> {
        let (source, destination) = (from.address.family(), to.address.family());
        if source == destination {
            Ok(Self {
                from,
                to,
                via,
                device: None,
            })
        } else {
            Err(QuestionError(format!(
                "`--from` is an {source} address and `--to` an {destination} one; no packet has both"
            )))
        }
    }

    /// The same about a packet that comes in by this device.
    ///
    /// # Errors
    /// It is one that a socket sends.
    pub fn by_device(self, device: Option<String>) -> Result<Self, QuestionError> {
        match (device, self.via) {
            (Some(device), Some(Via::Socket)) => Err(QuestionError(format!(
                "what a socket sends comes in by no device; leave out `--device {device}` or `--via socket`"
            ))),
            (device, _) => Ok(Self { device, ..self }),
        }
    }
}

/// Who sends a packet: `10.0.0.1`, `10.0.0.1:4711`, `fd00::1` or `[fd00::1]:4711`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its address.
    pub address: Address,
    /// Its port; `None` for one that it has not used yet.
    pub port: Option<Port>,
}

/// Where a packet goes: `10.96.0.1:80/TCP` or `[fd00::1]:53/udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address.
    pub address: Address,
    /// The port.
    pub port: Port,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
}

/// A door of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// A process of this node, of the host's or of a pod's, that calls connect or sendto.
    Socket,
    /// A packet that comes out of a pod of this node.
    Pod,
    /// A packet that reaches this node from outside.
    Uplink,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket => "socket",
            Self::Pod => "pod",
            Self::Uplink => "uplink",
        })
    }
}

/// What is wrong with a question, and what is expected instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct QuestionError(String);

impl FromStr for Sender {
    type Err = QuestionError;

    fn from_str(text: &str) -> Result<Self, QuestionError> {
        let expected = || {
            QuestionError(format!(
                "`{text}` is not an address with or without a port, as 10.0.0.1, 10.0.0.1:4711, fd00::1 or [fd00::1]:4711"
            ))
        };
        // A bare IPv6 address has colons of its own.
        let bare = text.parse().map(|ip: std::net::Ipv6Addr| ip.into());
        if let Ok(address) = bare {
            return Ok(Self { address, port: None });
        }
        let (address, port) = split(text).ok_or_else(expected)?;
        let port = match port {
            Some(port) => Some(parse_port(port).ok_or_else(expected)?),
            None => None,
        };
        Ok(Self { address, port })
    }
}

impl FromStr for Target {
    type Err = QuestionError;

    fn from_str(text: &str) -> Result<Self, QuestionError> {
        let expected = || {
            QuestionError(format!(
                "`{text}` is not an address with port and protocol, as 10.96.0.1:80/TCP or [fd00::1]:53/UDP"
            ))
        };
        let (socket, protocol) = text.rsplit_once('/').ok_or_else(expected)?;
        let protocol = Some(protocol.to_ascii_uppercase()).filter(|name| !name.is_empty());
        let protocol = protocol.ok_or_else(expected)?;
        let protocol = parse_protocol(Some(&protocol)).map_err(|_other| expected())?;
        let Some((address, Some(port))) = split(socket) else {
            return Err(expected());
        };
        let port = parse_port(port).ok_or_else(expected)?;
        Ok(Self {
            address,
            port,
            protocol,
        })
    }
}

/// Address and port of `10.0.0.1`, `10.0.0.1:80`, `[fd00::1]` or `[fd00::1]:80`.
fn split(text: &str) -> Option<(Address, Option<&str>)> {
    let (address, rest) = if let Some(text) = text.strip_prefix('[') {
        let (address, rest) = text.split_once(']')?;
        (parse_address(address).filter(|_| address.contains(':'))?, rest)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        (parse_address(&text[..end])?, &text[end..])
    };
    if rest.is_empty() {
        return Some((address, None));
    }
    Some((address, Some(rest.strip_prefix(':')?)))
}

fn parse_port(text: &str) -> Option<Port> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u16 = text.parse().ok().filter(|number| plain && *number > 0)?;
    Some(Port::new(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders() {
        let rows = [
            ("10.0.0.1", Some(("10.0.0.1", None))),
            ("10.0.0.1:4711", Some(("10.0.0.1", Some(4711)))),
            ("fd00::1", Some(("fd00::1", None))),
            ("[fd00::1]", Some(("fd00::1", None))),
            ("[fd00::1]:4711", Some(("fd00::1", Some(4711)))),
            ("::ffff:10.0.0.1", Some(("10.0.0.1", None))),
            ("10.0.0.1:0", None),
            ("10.0.0.1:", None),
            ("10.0.0.1:+5", None),
            ("10.0.0.1:65536", None),
            ("[10.0.0.1]:80", None),
            ("[fd00::1]80", None),
            ("[fd00::1", None),
            ("fd00::1%eth0", None),
            ("localhost", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let parsed = text.parse::<Sender>().ok();
            let parsed = parsed.map(|it| (it.address.to_string(), it.port.map(Port::number)));
            let expected = expected.map(|(address, port)| (address.to_owned(), port));
            assert_eq!(parsed, expected, "{text:?}");
        }
    }

    #[test]
    fn targets() {
        let rows = [
            ("10.96.0.1:80/TCP", Some(("10.96.0.1", 80, Protocol::TCP))),
            ("10.96.0.1:53/udp", Some(("10.96.0.1", 53, Protocol::UDP))),
            ("[fd00::1]:9/Sctp", Some(("fd00::1", 9, Protocol::SCTP))),
            ("10.96.0.1:80", None),
            ("10.96.0.1/TCP", None),
            ("10.96.0.1:80/", None),
            ("10.96.0.1:80/ICMP", None),
            ("10.96.0.1:0/TCP", None),
            ("fd00::1:53/UDP", None),
            ("web:80/TCP", None),
        ];
        for (text, expected) in rows {
            let parsed = text.parse::<Target>().ok();
            let parsed = parsed.map(|it| (it.address.to_string(), it.port.number(), it.protocol));
            let expected = expected.map(|(address, port, protocol)| (address.to_owned(), port, protocol));
            assert_eq!(parsed, expected, "{text:?}");
        }
        let error = "10.96.0.1".parse::<Target>().expect_err("no port");
        assert!(error.to_string().contains("10.96.0.1:80/TCP"), "{error}");
    }

    #[test]
    fn a_packet_is_of_one_family() {
        let (from, to) = ("fd00::1".parse().unwrap(), "10.96.0.1:80/TCP".parse().unwrap());
        let error = Question::new(from, to, None)
            .expect_err("two families")
            .to_string();
        assert!(error.contains("--from") && error.contains("--to"), "{error}");
    }

    #[test]
    fn what_a_socket_sends_comes_in_by_no_device() {
        let question = |via| {
            let (from, to) = ("10.1.0.1".parse().unwrap(), "10.96.0.1:80/TCP".parse().unwrap());
            Question::new(from, to, via)
                .unwrap()
                .by_device(Some("cni0".to_owned()))
        };
        for via in [None, Some(Via::Pod), Some(Via::Uplink)] {
            assert_eq!(question(via).unwrap().device.as_deref(), Some("cni0"));
        }
        let error = question(Some(Via::Socket)).expect_err("no device").to_string();
        assert!(error.contains("--device cni0"), "{error}");
    }
}
