//! Names of services, for people who look at a node. No program reads them.

use core::str;

use bytemuck::{Pod, Zeroable};

/// Room for one part of a name: the longest label of DNS (RFC 1123) and a byte that is 0.
const PART: usize = 64;

/// The value of `SERVICE_NAMES`: the service port behind a [`crate::ServiceId`]. Unused bytes at the end of a part are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ServiceName {
    namespace: [u8; PART],
    name: [u8; PART],
    port: [u8; PART],
}

const _: () = assert!(size_of::<ServiceName>() == 192);

impl ServiceName {
    /// A name from its parts, each cut to 63 bytes, which no API server exceeds. The port's name may be empty.
    #[must_use]
    pub fn new(namespace: &str, name: &str, port: &str) -> Self {
        let [namespace, name, port] = [namespace, name, port].map(|text| {
            let mut end = text.len().min(PART - 1);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let mut bytes = [0; PART];
            bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
            bytes
        });
        Self {
            namespace,
            name,
            port,
        }
    }

    /// The Service's namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        text(&self.namespace)
    }

    /// The Service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        text(&self.name)
    }

    /// The port's name, empty for an unnamed port.
    #[must_use]
    pub fn port(&self) -> &str {
        text(&self.port)
    }
}

fn text(bytes: &[u8; PART]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(PART);
    str::from_utf8(&bytes[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use super::*;

    #[test]
    fn names_are_kept_as_far_as_there_is_room() {
        let name = ServiceName::new("shop", "web", "");
        assert_eq!((name.namespace(), name.name(), name.port()), ("shop", "web", ""));
        let longest = "n".repeat(63);
        let name = ServiceName::new(&longest, &longest, &longest);
        assert_eq!(
            (name.namespace(), name.name(), name.port()),
            (&*longest, &*longest, &*longest)
        );
        let too_long = "é".repeat(32);
        assert_eq!(ServiceName::new("", &too_long, "").name(), "é".repeat(31));
    }
}
