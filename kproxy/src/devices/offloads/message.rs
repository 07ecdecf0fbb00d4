//! Messages of the family `ethtool` (`include/uapi/linux/ethtool_netlink.h`) about features.

use std::collections::BTreeSet;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLA_F_NESTED, NlasIterator, ParseableParametrized, parse_string,
    parse_u32,
};
use netlink_packet_generic::{GenlFamily, GenlHeader};

use crate::devices::classify::Tag;
use crate::devices::generic::Family;
use crate::devices::message::Message;

/// Its name.
pub(super) const FAMILY: &str = "ethtool";
/// The multicast group that changes are told to.
pub(super) const GROUP: &str = "monitor";

const VERSION: u8 = 1;
/// The question and its answer.
const FEATURES_GET: u8 = 11;
const FEATURES_NTF: u8 = 13;

const FEATURES_HEADER: u16 = 1;
const FEATURES_ACTIVE: u16 = 4;
const HEADER_DEV_INDEX: u16 = 1;
const BITSET_BITS: u16 = 3;
const BITSET_BITS_BIT: u16 = 1;
const BITSET_BIT_NAME: u16 = 2;

/// A message about a device's features, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    command: u8,
    index: Option<u32>,
    /// The tags that are taken off, if it says so.
    untags: BTreeSet<Tag>,
}

impl About {
    /// The question about a device.
    pub(super) fn question(index: u32) -> Self {
        Self {
            command: FEATURES_GET,
            index: Some(index),
            untags: BTreeSet::new(),
        }
    }

    /// What an answer says.
    pub(super) fn says(self) -> Option<Message> {
        let index = self.index.filter(|_| self.command == FEATURES_GET)?;
        Some(Message::Untags {
            index,
            tags: self.untags,
        })
    }

    /// The device whose features have changed, of an event. It names none: they would be numbers, which are another
    /// kernel's.
    pub(super) fn changed(&self) -> Option<u32> {
        self.index.filter(|_| self.command == FEATURES_NTF)
    }
}

/// The tag that a feature takes off (`netdev_features_strings`).
fn tag(feature: &str) -> Option<Tag> {
    match feature {
        "rx-vlan-hw-parse" => Some(Tag::Customer),
        "rx-vlan-stag-hw-parse" => Some(Tag::Service),
        _ => None,
    }
}

impl GenlFamily for About {
    fn family_name() -> &'static str {
        FAMILY
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        VERSION
    }
}

impl Family for About {}

/// Only questions are sent.
impl Emitable for About {
    fn buffer_len(&self) -> usize {
        self.header().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.header().emit(buffer);
    }
}

impl About {
    /// Says which device is meant.
    fn header(&self) -> DefaultNla {
        let index = self.index.unwrap_or_default();
        let index = DefaultNla::new(HEADER_DEV_INDEX, index.to_ne_bytes().to_vec());
        let mut header = vec![0; index.buffer_len()];
        index.emit(&mut header);
        DefaultNla::new(FEATURES_HEADER | NLA_F_NESTED, header)
    }
}

impl ParseableParametrized<[u8], GenlHeader> for About {
    fn parse_with_param(attributes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let mut about = Self {
            command: header.cmd,
            index: None,
            untags: BTreeSet::new(),
        };
        if !matches!(header.cmd, FEATURES_GET | FEATURES_NTF) {
            return Ok(about);
        }
        for attribute in NlasIterator::new(attributes) {
            let attribute = attribute?;
            match attribute.kind() {
                FEATURES_HEADER => {
                    let index = find(attribute.value(), HEADER_DEV_INDEX)?;
                    about.index = index.map(|index| parse_u32(&index)).transpose()?;
                }
                FEATURES_ACTIVE => about.untags = parse_active(attribute.value())?,
                _ => {}
            }
        }
        Ok(about)
    }
}

/// A set without mask: what is in it is on. In events it has no names.
fn parse_active(set: &[u8]) -> Result<BTreeSet<Tag>, DecodeError> {
    let mut tags = BTreeSet::new();
    let Some(bits) = find(set, BITSET_BITS)? else {
        return Ok(tags);
    };
    for bit in NlasIterator::new(&bits[..]) {
        let bit = bit?;
        if bit.kind() != BITSET_BITS_BIT {
            continue;
        }
        if let Some(name) = find(bit.value(), BITSET_BIT_NAME)? {
            tags.extend(tag(&parse_string(&name)?));
        }
    }
    Ok(tags)
}

/// The value of the first attribute of a kind.
fn find(attributes: &[u8], kind: u16) -> Result<Option<Vec<u8>>, DecodeError> {
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        if attribute.kind() == kind {
            return Ok(Some(attribute.value().to_vec()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
        DefaultNla::new(kind | NLA_F_NESTED, bytes(attributes))
    }

    fn bytes(attributes: &[DefaultNla]) -> Vec<u8> {
        let mut bytes = vec![0; attributes.buffer_len()];
        attributes.emit(&mut bytes);
        bytes
    }

    fn read(command: u8, attributes: &[DefaultNla]) -> About {
        let header = GenlHeader {
            cmd: command,
            version: VERSION,
        };
        About::parse_with_param(&bytes(attributes), header).expect("a message")
    }

    fn header(index: u32) -> DefaultNla {
        let index = DefaultNla::new(HEADER_DEV_INDEX, index.to_ne_bytes().to_vec());
        let name = DefaultNla::new(2, b"eth0\0".to_vec());
        nested(FEATURES_HEADER, &[index, name])
    }

    fn features(kind: u16, names: &str) -> DefaultNla {
        let bit = |name: &str| {
            let index = DefaultNla::new(1, 7_u32.to_ne_bytes().to_vec());
            let name = DefaultNla::new(BITSET_BIT_NAME, format!("{name}\0").into_bytes());
            nested(BITSET_BITS_BIT, &[index, name])
        };
        let bits: Vec<_> = names.split_whitespace().map(bit).collect();
        let no_mask = DefaultNla::new(1, vec![]);
        let size = DefaultNla::new(2, 64_u32.to_ne_bytes().to_vec());
        nested(kind, &[no_mask, size, nested(BITSET_BITS, &bits)])
    }

    #[test]
    fn what_is_active_is_taken_off() {
        const WANTED: u16 = 3;
        let rows = [
            ("rx-checksum rx-vlan-hw-parse tx-lockless", vec![Tag::Customer]),
            ("rx-vlan-stag-hw-parse", vec![Tag::Service]),
            (
                "rx-vlan-hw-parse rx-vlan-stag-hw-parse",
                vec![Tag::Customer, Tag::Service],
            ),
            ("rx-vlan-filter tx-vlan-hw-insert", vec![]),
            ("", vec![]),
        ];
        for (names, tags) in rows {
            let wanted = features(WANTED, "rx-vlan-hw-parse rx-vlan-stag-hw-parse");
            let answer = [header(5), wanted, features(FEATURES_ACTIVE, names)];
            let about = read(FEATURES_GET, &answer);
            assert_eq!(about.changed(), None, "{names}");
            let expected = Message::Untags {
                index: 5,
                tags: tags.into_iter().collect(),
            };
            assert_eq!(about.says(), Some(expected), "{names}");
        }
    }

    #[test]
    fn an_event_names_its_device_and_no_features() {
        let numbers = DefaultNla::new(4, vec![0xff; 8]);
        let active = nested(FEATURES_ACTIVE, &[numbers]);
        let event = read(FEATURES_NTF, &[header(5), active]);
        assert_eq!(event.changed(), Some(5));
        assert_eq!(event.says(), None);
        // The same group tells of rings, say.
        let other = read(17, &[header(5)]);
        assert_eq!(other.changed(), None);
        assert_eq!(other.says(), None);
    }

    #[test]
    fn a_question_is_about_one_device() {
        let question = About::question(0x0403_0201);
        let mut bytes = vec![0; question.buffer_len()];
        question.emit(&mut bytes);
        let index = 0x0403_0201_u32.to_ne_bytes();
        assert_eq!(bytes[..8], [12, 0, 1, 0x80, 8, 0, 1, 0]);
        assert_eq!(bytes[8..], index);
    }
}
