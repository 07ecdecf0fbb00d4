//! Messages of the family `netdev` (`include/uapi/linux/netdev.h`).

use netlink_packet_core::{DecodeError, Emitable, NlasIterator, ParseableParametrized, parse_u32, parse_u64};
use netlink_packet_generic::{GenlFamily, GenlHeader};

use crate::devices::generic::Family;
use crate::devices::message::Message;

/// Its name.
pub(super) const FAMILY: &str = "netdev";
/// The multicast group that devices are told to.
pub(super) const GROUP: &str = "mgmt";

const VERSION: u8 = 1;
const DEV_GET: u8 = 1;
const DEV_ADD_NTF: u8 = 2;
const DEV_DEL_NTF: u8 = 3;
const DEV_CHANGE_NTF: u8 = 4;
const IFINDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;
const ACT_NDO_XMIT: u64 = 1 << 2;

/// A message about a device's driver, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    command: u8,
    index: Option<u32>,
    features: Option<u64>,
}

impl About {
    /// The question about all devices.
    pub(super) const QUESTION: Self = Self {
        command: DEV_GET,
        index: None,
        features: None,
    };

    /// What it says, if that matters.
    pub(super) fn says(self) -> Option<Message> {
        let index = self.index?;
        let sends = match self.command {
            DEV_GET | DEV_ADD_NTF | DEV_CHANGE_NTF => self.features? & ACT_NDO_XMIT != 0,
            DEV_DEL_NTF => false,
            _ => return None,
        };
        Some(Message::Xdp { index, sends })
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

/// Only [`About::QUESTION`] is sent, which has no attributes.
impl Emitable for About {
    fn buffer_len(&self) -> usize {
        0
    }

    fn emit(&self, _buffer: &mut [u8]) {}
}

impl ParseableParametrized<[u8], GenlHeader> for About {
    fn parse_with_param(attributes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let mut about = Self {
            command: header.cmd,
            index: None,
            features: None,
        };
        for attribute in NlasIterator::new(attributes) {
            let attribute = attribute?;
            match attribute.kind() {
                IFINDEX => about.index = Some(parse_u32(attribute.value())?),
                XDP_FEATURES => about.features = Some(parse_u64(attribute.value())?),
                _ => {}
            }
        }
        Ok(about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux 6.18 says of a veth whose other end has a program, and of one whose other end has none.
    #[test]
    fn a_driver_sends_what_is_redirected_to_it_or_not() {
        for (command, features, says) in [
            (DEV_GET, 0x67, Some(true)),
            (DEV_CHANGE_NTF, 0x23, Some(false)),
            (DEV_ADD_NTF, 0, Some(false)),
            (DEV_DEL_NTF, 0x67, Some(false)),
            // A page pool's.
            (6, 0x67, None),
        ] {
            let mut attributes = vec![8, 0, 1, 0, 5, 0, 0, 0, 12, 0, 3, 0, features];
            attributes.extend([0; 7]);
            let header = GenlHeader {
                cmd: command,
                version: VERSION,
            };
            let about = About::parse_with_param(&attributes, header).expect("a message");
            let expected = says.map(|sends| Message::Xdp { index: 5, sends });
            assert_eq!(about.says(), expected, "{command} {features:#x}");
        }
    }
}
