//! Address ranges: membership and the address at an offset.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::kinds;
use super::super::object::Key;
use super::super::store::Contents;

/// A range like `10.96.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cidr {
    base: IpAddr,
    length: u8,
}

impl Cidr {
    /// Parses the canonical form: an address without host bits, a slash, a prefix length.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (base, length) = text.split_once('/')?;
        let cidr = Self {
            base: base.parse().ok()?,
            length: length.parse().ok()?,
        };
        let canonical = cidr.length <= cidr.width() && cidr.host_bits(cidr.base) == 0;
        canonical.then_some(cidr)
    }

    /// Whether the range holds IPv6 addresses.
    pub(super) fn is_ipv6(&self) -> bool {
        self.base.is_ipv6()
    }

    /// Whether a service may have the address: inside, and neither the network's own nor IPv4's broadcast address.
    pub(super) fn offers(&self, address: IpAddr) -> bool {
        let inside = address.is_ipv6() == self.is_ipv6()
            && number(address) >> self.host_width() == number(self.base) >> self.host_width();
        let host = self.host_bits(address);
        inside && host != 0 && (self.is_ipv6() || host != self.size() - 1)
    }

    /// Addresses to hand out, in order; the static band comes last.
    pub(super) fn addresses(self) -> impl Iterator<Item = IpAddr> {
        let size = self.size();
        let band = self.static_band();
        (band..size)
            .chain(1..band)
            .filter_map(move |offset| self.at(offset))
            .filter(move |address| self.offers(*address))
    }

    /// The first and the last address.
    pub(super) fn bounds(self) -> Option<(IpAddr, IpAddr)> {
        Some((self.base, self.at(self.size() - 1)?))
    }

    /// Addresses to hand out that lie behind another one.
    pub(super) fn addresses_behind(self, address: IpAddr) -> impl Iterator<Item = IpAddr> {
        let size = self.size();
        let first = (self.host_bits(address) + 1).max(self.static_band());
        (first..size)
            .filter_map(move |offset| self.at(offset))
            .filter(move |address| self.offers(*address))
    }

    /// The lower addresses, which are left to people who choose one (KEP-3070).
    fn static_band(self) -> u128 {
        (self.size() / 16).clamp(16, 256).min(self.size())
    }

    fn at(&self, offset: u128) -> Option<IpAddr> {
        let number = number(self.base) + offset;
        if self.is_ipv6() {
            return Some(Ipv6Addr::from_bits(number).into());
        }
        u32::try_from(number)
            .ok()
            .map(|number| Ipv4Addr::from_bits(number).into())
    }

    fn host_bits(&self, address: IpAddr) -> u128 {
        number(address) & (self.size() - 1)
    }

    /// Addresses in the range; ranges beyond 2^64 are cut, nobody walks them.
    fn size(&self) -> u128 {
        1 << self.host_width()
    }

    fn host_width(&self) -> u32 {
        u32::from(self.width().saturating_sub(self.length)).min(127)
    }

    fn width(&self) -> u8 {
        if self.is_ipv6() { 128 } else { 32 }
    }
}

/// The ranges that services get addresses from, of all `ServiceCIDR` objects.
pub(super) fn service_ranges(contents: &Contents) -> Vec<Cidr> {
    let mut ranges = Vec::new();
    for (key, object) in contents.list("servicecidrs", None) {
        let cidrs = object
            .value
            .pointer("/spec/cidrs")
            .and_then(|cidrs| cidrs.as_array());
        let cidrs = cidrs
            .into_iter()
            .flatten()
            .filter_map(|cidr| Cidr::parse(cidr.as_str()?));
        // The range the cluster was made with decides the default family, so it comes first.
        let first = if is_default(key) { 0 } else { ranges.len() };
        ranges.splice(first..first, cidrs);
    }
    ranges
}

/// The name of the range a cluster is made with.
pub(super) const DEFAULT_RANGE: &str = "kubernetes";

fn is_default(key: &Key) -> bool {
    debug_assert!(kinds::by_path("networking.k8s.io", "v1", key.resource).is_some());
    key.name == DEFAULT_RANGE
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::Cidr;

    #[test]
    fn ranges_offer_their_addresses_but_not_the_special_ones() {
        let cases = [
            ("10.96.0.0/16", "10.96.0.1", true),
            ("10.96.0.0/16", "10.96.0.0", false),
            ("10.96.0.0/16", "10.96.255.255", false),
            ("10.96.0.0/16", "10.97.0.1", false),
            ("10.96.0.0/16", "fd00::1", false),
            ("fd00:10:96::/112", "fd00:10:96::ffff", true),
            ("fd00:10:96::/112", "fd00:10:97::1", false),
        ];
        for (range, address, expected) in cases {
            let range = Cidr::parse(range).expect("range parses");
            assert_eq!(
                range.offers(address.parse().expect("address parses")),
                expected,
                "{range:?} {address}"
            );
        }
    }

    #[test]
    fn the_static_band_is_handed_out_last() {
        let range = Cidr::parse("10.96.0.0/24").expect("range parses");
        let addresses: Vec<_> = range.addresses().map(|address| address.to_string()).collect();
        assert_eq!((addresses[0].as_str(), addresses.len()), ("10.96.0.16", 254));
        assert_eq!(addresses[253], "10.96.0.15");
    }

    #[test]
    fn ranges_must_be_canonical() {
        for text in ["10.96.0.1/16", "10.96.0.0", "10.96.0.0/33", "x/8", "fd00::1/64"] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }
}
