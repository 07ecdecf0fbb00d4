//! Addresses and prefixes as text.
//!
//! Kubernetes keeps accepting IPv4 numbers with leading zeros and reads them as decimal (semantics 1.19); the standard
//! library refuses them, libc reads them as octal.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kproxy_common::{Address, AddressRange, Family};

/// Reads an address of either family, or nothing if it is none.
#[must_use]
pub fn parse_address(text: &str) -> Option<Address> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(Address::from);
    }
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = parse_decimal(parts.next()?)?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets).into())
}

/// Unsigned decimal with any number of leading zeros, without a sign.
fn parse_decimal(digits: &str) -> Option<u8> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// An address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// The prefix, host bits zero.
    pub address: Address,
    /// Its length in bits of its own family: 0 to 32, or 0 to 128.
    pub length: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl Cidr {
    /// The prefix that holds one address alone.
    #[must_use]
    pub fn host(address: Address) -> Self {
        let length = match address.family() {
            Family::V4 => 32,
            Family::V6 => 128,
        };
        Self { address, length }
    }

    /// Whether an address is of this family and has this prefix.
    #[must_use]
    pub fn contains(&self, address: &Address) -> bool {
        prefix(*address, self.length) == Some(self.address)
    }

    /// As the data plane keeps it.
    #[must_use]
    pub fn range(&self) -> AddressRange {
        AddressRange::new(self.address, self.length)
    }

    /// The family.
    #[must_use]
    pub fn family(&self) -> Family {
        self.address.family()
    }
}

/// Reads a prefix such as `10.0.0.0/8`, or nothing if it is none. Host bits are cleared.
#[must_use]
pub fn parse_cidr(text: &str) -> Option<Cidr> {
    let (address, length) = text.split_once('/')?;
    let (address, length) = (parse_address(address)?, parse_decimal(length)?);
    let address = prefix(address, length)?;
    Some(Cidr { address, length })
}

/// The first bits of an address, the others zero; nothing if it has fewer.
fn prefix(address: Address, length: u8) -> Option<Address> {
    match address.ip() {
        IpAddr::V4(ip) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Some(Ipv4Addr::from_bits(ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Some(Ipv6Addr::from_bits(ip.to_bits() & mask).into())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// The name that Kubernetes has for a family.
#[must_use]
pub(super) fn parse_family(text: &str) -> Option<Family> {
    match text {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let rows = [
            ("10.0.0.1", Some("10.0.0.1")),
            ("172.30.0.041", Some("172.30.0.41")),
            ("010.000.0.1", Some("10.0.0.1")),
            ("fd00::1", Some("fd00::1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("10.0.0", None),
            ("10.0.0.1.2", None),
            ("10.0.0.256", None),
            ("10.0.0.+1", None),
            ("10.0.0.", None),
            (" 10.0.0.1", None),
            ("fd00::1%eth0", None),
            ("fd00:::1", None),
            ("localhost", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(
                parse_address(text).map(|address| address.to_string()).as_deref(),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn prefixes() {
        let rows = [
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("203.0.113.000/025", Some("203.0.113.0/25")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("10.0.0.1/32", Some("10.0.0.1/32")),
            ("fd00::1/64", Some("fd00::/64")),
            ("fd00::1/128", Some("fd00::1/128")),
            ("::/0", Some("::/0")),
            ("10.0.0.0/33", None),
            ("fd00::/129", None),
            ("10.0.0.0", None),
            ("10.0.0.0/-1", None),
        ];
        for (text, expected) in rows {
            assert_eq!(
                parse_cidr(text).map(|cidr| cidr.to_string()).as_deref(),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_prefix_contains_addresses_of_its_family() {
        let rows = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "fd00::1", false),
            ("::/0", "fd00::1", true),
            ("::/0", "10.0.0.1", false),
            ("::/96", "0.0.0.1", false),
            ("fd00::1/128", "fd00::1", true),
            ("fd00::1/128", "fd00::2", false),
        ];
        for (cidr, address, expected) in rows {
            let parsed = parse_cidr(cidr).zip(parse_address(address));
            let (cidr, address) = parsed.expect("a prefix and an address");
            assert_eq!(cidr.contains(&address), expected, "{cidr} {address}");
        }
    }
}
