//! Fragments (RFC 791 section 3.2, RFC 8200 section 4.5): only the first one has ports, and the later ones share its fate.
//!
//! A first fragment is judged and translated as a whole packet is, and what became of it is recorded under what all
//! fragments of its datagram have in common. A later one looks that up and goes by the same flow; it never begins
//! one, so it reaches nothing that its sender might not have reached with the ports of a first fragment.
//!
//! A later one that comes too early can not be held here. It is put back at the end of the queue by which it came, for
//! a short time that is counted from when the first of them was seen, and so often as each CPU has set aside for it.

use bytemuck::{Pod, Zeroable};
use kproxy_common::{AddressRole, Fate, Flow, Fragment, FragmentKey, Nanoseconds};

use crate::lookup::{self, Vacancy};
use crate::parse::{NoTuple, Segment};
use crate::scratch::Scratch;
use crate::tables::{Existing, Tables};
use crate::verdict::{Action, Verdict};

/// How long the fate of a first fragment is known: longer than its datagram is on its way, and shorter than it takes
/// most senders to come by the same identification again.
const LIFETIME: Nanoseconds = Nanoseconds::from_seconds(5);
/// How long a later fragment waits for the first one.
const PATIENCE: Nanoseconds = Nanoseconds(2_000_000);
/// How often a CPU puts fragments back in one window of time: enough for one datagram to wait so long where nothing else is
/// queued, and a fragment goes round in about a microsecond ...
const REQUEUES: u64 = 2_048;
/// ... which is as long as this power of two in nanoseconds: 16.8 ms.
const WINDOW: u32 = 24;

/// How often a CPU has put fragments back lately: what a flood of orphans costs is bounded by it.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Requeues {
    window: u64,
    spent: u64,
}

impl Requeues {
    /// Whether there is one more.
    #[inline(always)]
    fn take(&mut self, now: Nanoseconds) -> bool {
        let window = now.0 >> WINDOW;
        if window != self.window {
            *self = Self { window, spent: 0 };
        }
        let left = self.spent < REQUEUES;
        if left {
            self.spent += 1;
        }
        left
    }
}

/// What is known of a later fragment's first one. One scalar, since kernel functions return no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// It was translated, and its ports are in the segment.
    Translated,
    /// It was left alone.
    LeftAlone,
    /// It was dropped.
    Dropped,
    /// It may still come.
    Awaited,
    /// It has not come.
    Lost,
}

/// Gives a later fragment that enters the ports of its first one, or says what becomes of it.
#[inline(always)]
pub fn follow<T: Tables>(tables: &T, scratch: &mut Scratch, role: AddressRole) -> Result<(), Verdict> {
    match find_first(tables, scratch, true) {
        First::Translated => Ok(()),
        First::LeftAlone if is_of_service(role) => Err(Verdict::NoTuple(NoTuple::Fragment)),
        First::LeftAlone => Err(Verdict::Bystander),
        First::Dropped => Err(Verdict::DropFragment),
        First::Awaited => Err(Verdict::Requeue),
        First::Lost if is_nobodys(tables, role, scratch) => Err(Verdict::DropFragment),
        First::Lost => Err(Verdict::FragmentLost),
    }
}

/// The same for one that leaves. Whatever leaves in fragments was cut by this machine or a pod, and leaves in order; what
/// nothing is known of is a bystander.
#[inline(always)]
pub fn follow_out<T: Tables>(tables: &T, scratch: &mut Scratch) -> Result<(), Verdict> {
    match find_first(tables, scratch, false) {
        First::Translated => Ok(()),
        First::Dropped => Err(Verdict::DropFragment),
        First::LeftAlone | First::Awaited | First::Lost => Err(Verdict::Bystander),
    }
}

/// Records what became of a first fragment. One that comes again, or another one that claims to be it, counts from now
/// on: either of them was judged by itself.
#[inline(never)]
pub fn note<T: Tables>(tables: &T, segment: &Segment, datagram: &mut FragmentKey, verdict: Verdict) {
    *datagram = segment.datagram();
    let fate = match verdict.action() {
        Action::Continue if matches!(verdict, Verdict::New | Verdict::Established | Verdict::Reply) => {
            Fate::TRANSLATED
        }
        Action::Continue | Action::Requeue => Fate::LEFT_ALONE,
        Action::TurnAround | Action::Forward => Fate::TRANSLATED,
        Action::Refuse(_) | Action::Drop => Fate::DROPPED,
    };
    let first = Fragment {
        seen: tables.precise_now(),
        source_port: segment.tuple.source_port,
        destination_port: segment.tuple.destination_port,
        fate,
        padding: 0,
        check: datagram.check(),
        padding2: 0,
    };
    tables.insert_fragment(datagram, &first, Existing::Replace);
}

/// Whether the checksum of a fragment can not be corrected: SCTP's changes with the ports by what depends on the length
/// of the whole packet, which no fragment tells.
#[must_use]
#[inline(always)]
pub fn is_beyond_correction(segment: &Segment, flow: &Flow) -> bool {
    let tuple = &segment.tuple;
    segment.is_first_fragment()
        && segment.is_sctp()
        && (flow.source_port, flow.destination_port) != (tuple.source_port, tuple.destination_port)
}

/// What leaves and belongs to no flow: nobody's business, unless it is the rest of a datagram whose first fragment was
/// translated.
#[must_use]
#[inline(always)]
pub fn forgotten(segment: &Segment) -> Verdict {
    if segment.is_later_fragment() {
        Verdict::DropFragment
    } else {
        Verdict::Bystander
    }
}

/// What becomes of a packet that can not go on: no error message is about a later fragment (RFC 1122 section 3.2.2).
#[must_use]
#[inline(always)]
pub fn unanswered(segment: &Segment, verdict: Verdict) -> Verdict {
    if segment.is_later_fragment() && matches!(verdict, Verdict::TooBig | Verdict::TimeExceeded) {
        Verdict::DropFragment
    } else {
        verdict
    }
}

#[inline(always)]
fn is_of_service(role: AddressRole) -> bool {
    role.intersects(AddressRole::SERVICE.union(AddressRole::CLUSTER_IP))
}

/// Whether nobody is behind the destination but a service. A function of its own, for the sake of the stack.
#[inline(never)]
fn is_nobodys<T: Tables>(tables: &T, role: AddressRole, scratch: &Scratch) -> bool {
    match lookup::vacancy(tables, role, &scratch.segment.tuple.destination) {
        Vacancy::ClusterIp | Vacancy::Unallocated => true,
        Vacancy::Node | Vacancy::Other => false,
    }
}

/// Looks for what became of a later fragment's first one.
#[inline(never)]
fn find_first<T: Tables>(tables: &T, scratch: &mut Scratch, may_wait: bool) -> First {
    let Scratch {
        network,
        segment,
        work,
        requeues,
        message: _,
    } = scratch;
    *segment = Segment::of_later_fragment(network);
    let key = &mut work.datagram;
    *key = segment.datagram();
    let now = tables.precise_now();
    let known = tables.fragment(key).filter(|first| first.check == key.check());
    let (since, is_noted) = match known {
        Some(first) if now.since(first.seen) <= LIFETIME => match first.fate {
            Fate::AWAITED => (first.seen, true),
            Fate::TRANSLATED => {
                segment.tuple.source_port = first.source_port;
                segment.tuple.destination_port = first.destination_port;
                return First::Translated;
            }
            Fate::DROPPED => return First::Dropped,
            _ => return First::LeftAlone,
        },
        // What there is belongs to an earlier datagram with the same identification.
        Some(_) | None => (now, false),
    };
    if !may_wait || now.since(since) > PATIENCE || !requeues.take(now) {
        return First::Lost;
    }
    if !is_noted {
        if known.is_some() {
            tables.remove_fragment(key);
        }
        await_first(tables, key, now);
    }
    First::Awaited
}

/// Notes since when the first fragment is awaited, unless another CPU has just seen it.
#[inline(always)]
fn await_first<T: Tables>(tables: &T, key: &FragmentKey, now: Nanoseconds) {
    let awaited = Fragment {
        seen: now,
        fate: Fate::AWAITED,
        check: key.check(),
        ..Fragment::zeroed()
    };
    tables.insert_fragment(key, &awaited, Existing::Keep);
}
