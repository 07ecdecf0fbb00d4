//! Extension headers of IPv6 (RFC 8200 section 4): what may stand between its own header and the transport protocol.
//!
//! Headers that only tell something beside the packet are walked over: what a translation changes is not theirs. A few are
//! walked, and no further than so many bytes; a fragment header ends the walk, since what is behind it may be in another
//! fragment, and so does every header behind which addresses or checksums mean something else. Such a header is the packet's
//! protocol then, as are those that hide what follows (authentication, encryption).

use network_types::ip::IpProto;

use crate::packet::Packet;

const HOP_BY_HOP: u8 = IpProto::HopOpt as u8;
const ROUTING: u8 = IpProto::Ipv6Route as u8;
const DESTINATION: u8 = IpProto::Ipv6Opts as u8;

/// How many are walked: each of them where the RFC recommends it (section 4.1), destination options twice.
const MOST: usize = 4;
/// How many bytes they may have together: offsets into a packet are bytes here, also into one that an error quotes.
pub const LONGEST: usize = 56;
/// The option by which a mobile node names its home, which is its address in every checksum (RFC 6275 section 6.3). It has its
/// place here, behind padding.
const HOME_ADDRESS: u8 = 201;

/// What follows the headers that were walked. One scalar, since kernel functions return no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Walked(u32);

impl Walked {
    #[inline(always)]
    const fn new(next_header: u8, length: usize) -> Self {
        Self((length as u32) << 8 | next_header as u32)
    }

    /// What the last one says that follows.
    #[must_use]
    #[inline(always)]
    pub const fn next_header(self) -> u8 {
        self.0 as u8
    }

    /// How many bytes they have.
    #[must_use]
    #[inline(always)]
    pub fn length(self) -> usize {
        // Else the compiler leaves out the cut to a byte, knowing that there is no more, and Linux 6.1, which does not, sees
        // an offset without bounds.
        usize::from((core::hint::black_box(self.0) >> 8) as u8)
    }
}

/// Walks what follows an IPv6 header, which ends at `start` and names `next_header`. Most packets have none of these.
#[inline(always)]
pub fn walk<P: Packet>(packet: &P, start: usize, next_header: u8) -> Walked {
    match next_header {
        HOP_BY_HOP | ROUTING | DESTINATION => walk_headers(packet, start, next_header),
        _ => Walked::new(next_header, 0),
    }
}

#[inline(never)]
fn walk_headers<P: Packet>(packet: &P, start: usize, next_header: u8) -> Walked {
    let (mut next, mut length) = (next_header, 0);
    for number in 0..MOST {
        let Some([following, units, _, left, _, _, option, _]) = packet.fetch::<[u8; 8]>(start + length)
        else {
            break;
        };
        let is_walked = match next {
            HOP_BY_HOP => number == 0,
            ROUTING => left == 0,
            DESTINATION => option != HOME_ADDRESS,
            _ => false,
        };
        let longer = length + (usize::from(units) + 1) * 8;
        if !is_walked || longer > LONGEST {
            break;
        }
        (next, length) = (following, longer);
    }
    Walked::new(next, length)
}
