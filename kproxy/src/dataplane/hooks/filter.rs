//! The netlink of tc filters that run a BPF program (`include/uapi/linux/pkt_cls.h`, `pkt_sched.h`).

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has hundreds of messages and attributes, and more with every kernel; a handful matters here"
)]

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_sys::protocols::NETLINK_ROUTE;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};

use super::Direction;
use crate::netlink::Conversation;

/// Every protocol, in network order as filters want it.
const ETH_P_ALL: u16 = 0x0003_u16.to_be();

/// The handle of a queueing discipline for ingress: there is one place for them.
const DISCIPLINE: TcHandle = TcHandle {
    major: u16::MAX,
    minor: 0,
};

/// Where a filter is on its hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The lower, the earlier.
    pub(super) priority: u16,
    /// Its number among those of its priority.
    pub(super) handle: u32,
}

/// A filter of a hook, of whatever kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) place: Place,
    /// Only those that run a BPF program have one.
    pub(super) name: Option<String>,
}

/// A conversation about filters.
#[derive(Debug)]
pub(super) struct Filters(Conversation);

impl Direction {
    pub(super) const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    const fn parent(self) -> TcHandle {
        TcHandle {
            major: u16::MAX,
            minor: match self {
                Self::Ingress => TcHandle::MIN_INGRESS,
                Self::Egress => TcHandle::MIN_EGRESS,
            },
        }
    }
}

impl Filters {
    pub(super) fn open() -> io::Result<Self> {
        Conversation::open(NETLINK_ROUTE).map(Self)
    }

    /// Puts a BPF program on a hook, in the place of the filter that is there. Packets meet one or the other
    /// (`cls_bpf_change`).
    pub(super) fn put(
        &mut self,
        index: u32,
        direction: Direction,
        place: Place,
        name: &str,
        program: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let mut message = at(index, direction, place)?;
        message.attributes = vec![
            TcAttribute::Kind(TcFilterBpf::KIND.to_owned()),
            TcAttribute::Options(vec![
                TcOption::Bpf(TcFilterBpfOption::ProgFd(program.as_raw_fd().cast_unsigned())),
                TcOption::Bpf(TcFilterBpfOption::ProgName(name.to_owned())),
                // What the program answers is what becomes of the packet.
                TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
            ]),
        ];
        self.tell(RouteNetlinkMessage::NewTrafficFilter(message), NLM_F_CREATE)
    }

    pub(super) fn remove(&mut self, index: u32, direction: Direction, place: Place) -> io::Result<()> {
        let message = at(index, direction, place)?;
        self.tell(RouteNetlinkMessage::DelTrafficFilter(message), 0)
    }

    /// The filters of a hook; none if there is no such device or no hook.
    pub(super) fn list(&mut self, index: u32, direction: Direction) -> io::Result<Vec<Filter>> {
        let mut message = TcMessage::with_index(number(index)?);
        message.header.parent = direction.parent();
        let mut filters = Vec::new();
        let question = RouteNetlinkMessage::GetTrafficFilter(message);
        self.0.ask(question, NLM_F_DUMP, |answer| {
            // What can not be read is somebody else's, with options that are newer than this program.
            if let Ok(RouteNetlinkMessage::NewTrafficFilter(message)) = answer {
                filters.extend(filter(&message));
            }
        })?;
        Ok(filters)
    }

    /// Adds a queueing discipline for ingress; EEXIST if the device has one of whatever kind.
    pub(super) fn add_discipline(&mut self, index: u32, kind: &str) -> io::Result<()> {
        let message = discipline(index, kind)?;
        self.tell(
            RouteNetlinkMessage::NewQueueDiscipline(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    pub(super) fn remove_discipline(&mut self, index: u32, kind: &str) -> io::Result<()> {
        let message = discipline(index, kind)?;
        self.tell(RouteNetlinkMessage::DelQueueDiscipline(message), 0)
    }

    /// The kinds of all queueing disciplines for ingress by the interface indexes of their devices.
    pub(super) fn disciplines(&mut self) -> io::Result<BTreeMap<u32, String>> {
        let mut disciplines = BTreeMap::new();
        let question = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        self.0.ask(question, NLM_F_DUMP, |answer| {
            // What can not be read is none for ingress: those have no options.
            let Ok(RouteNetlinkMessage::NewQueueDiscipline(message)) = answer else {
                return;
            };
            let is_for_ingress = message.header.parent == TcHandle::CLSACT;
            let index = u32::try_from(message.header.index);
            if let (true, Ok(index), Some(kind)) = (is_for_ingress, index, kind(&message)) {
                disciplines.insert(index, kind.to_owned());
            }
        })?;
        Ok(disciplines)
    }

    fn tell(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let answered = drop::<io::Result<RouteNetlinkMessage>>;
        self.0.ask(message, flags | NLM_F_ACK, answered)
    }
}

fn at(index: u32, direction: Direction, place: Place) -> io::Result<TcMessage> {
    let mut message = TcMessage::with_index(number(index)?);
    message.header.parent = direction.parent();
    message.header.handle = place.handle.into();
    message.header.info = u32::from(place.priority) << 16 | u32::from(ETH_P_ALL);
    Ok(message)
}

fn discipline(index: u32, kind: &str) -> io::Result<TcMessage> {
    let mut message = TcMessage::with_index(number(index)?);
    message.header.parent = TcHandle::CLSACT;
    message.header.handle = DISCIPLINE;
    message.attributes = vec![TcAttribute::Kind(kind.to_owned())];
    Ok(message)
}

fn number(index: u32) -> io::Result<i32> {
    i32::try_from(index).map_err(io::Error::other)
}

fn kind(message: &TcMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind.as_str()),
        _ => None,
    })
}

fn filter(message: &TcMessage) -> Option<Filter> {
    let handle = message.header.handle.into();
    // The head of a priority, which a listing tells first.
    if handle == 0 {
        return None;
    }
    let options = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options),
        _ => None,
    });
    let name = options.into_iter().flatten().find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => Some(name.clone()),
        _ => None,
    });
    let [high, low, ..] = message.header.info.to_be_bytes();
    Some(Filter {
        place: Place {
            priority: u16::from_be_bytes([high, low]),
            handle,
        },
        name,
    })
}
