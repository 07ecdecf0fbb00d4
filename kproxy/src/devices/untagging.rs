//! Whether XDP can tell a VLAN's packets from those of the device that carries them. It can not where that one's driver
//! takes their tags off before: it would take them for untagged ones, and answer them untagged, on another link.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::classify::{Kind, Link, Tag};

/// A driver that takes tags of VLANs here off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Untagging {
    /// The name of its device.
    pub device: String,
    /// What it takes off.
    pub tag: Tag,
}

impl Untagging {
    /// Why XDP must not be on a device whose packets come by these drivers; nothing if there are none.
    #[must_use]
    pub fn obstacle(drivers: &[Self]) -> Option<String> {
        let remedies: Vec<_> = drivers.iter().map(ToString::to_string).collect();
        (!remedies.is_empty()).then(|| {
            let remedies = remedies.join(" && ");
            format!("it would not see the tags of VLANs, which drivers take off before; to leave them on: {remedies}")
        })
    }
}

/// What has it leave them on.
impl fmt::Display for Untagging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, tag } = self;
        let feature = match tag {
            Tag::Customer => "rxvlan",
            Tag::Service => "rx-vlan-stag-hw-parse",
        };
        write!(f, "ethtool -K {device} {feature} off")
    }
}

/// The tags of the VLANs here, by the device that carries them.
pub(super) fn carried<'a>(links: impl IntoIterator<Item = &'a Link>) -> BTreeMap<u32, BTreeSet<Tag>> {
    let mut carried = BTreeMap::<_, BTreeSet<_>>::new();
    for tagged in links.into_iter().filter_map(|link| link.vlan) {
        carried.entry(tagged.parent).or_default().insert(tagged.tag);
    }
    carried
}

/// By whose drivers the packets of a device come, and XDP on it: those of a bond by its ports'.
pub(super) fn receivers<'a>(
    links: impl IntoIterator<Item = &'a Link>,
    device: &'a Link,
) -> impl Iterator<Item = &'a Link> {
    let links = links.into_iter();
    let ports = links.filter(|link| device.kind == Kind::Bond && link.master == Some(device.index));
    let itself = (device.kind != Kind::Bond).then_some(device);
    ports.chain(itself)
}

/// Whose drivers must be known to decide where VLANs are.
pub(super) fn deciding(links: &[&Link]) -> BTreeSet<u32> {
    let all = || links.iter().copied();
    let carried = carried(all());
    let carriers = all().filter(|link| carried.contains_key(&link.index));
    let receivers = carriers.flat_map(|carrier| receivers(all(), carrier));
    receivers.map(|receiver| receiver.index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_obstacle_says_what_to_do() {
        assert_eq!(Untagging::obstacle(&[]), None);
        let driver = |device: &str, tag| Untagging {
            device: device.to_owned(),
            tag,
        };
        let drivers = [driver("eth0", Tag::Customer), driver("eth1", Tag::Service)];
        let obstacle = Untagging::obstacle(&drivers).expect("an obstacle");
        let remedies = "ethtool -K eth0 rxvlan off && ethtool -K eth1 rx-vlan-stag-hw-parse off";
        assert!(obstacle.ends_with(remedies), "{obstacle}");
    }
}
