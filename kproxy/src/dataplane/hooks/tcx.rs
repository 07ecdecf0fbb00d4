//! TCX links, pinned under the names of program and device. Kernel 6.6.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use aya::programs::tc::TcAttachType;
use aya::programs::{ProgramError, SchedClassifier};
use aya_obj::generated::bpf_attach_type;

use super::{Direction, Spot};
use crate::dataplane::attach::spot_of;
use crate::dataplane::error::OpenError;
use crate::dataplane::links::{self, Failure};
use crate::dataplane::pins::{Pins, children, remove_link};
use crate::dataplane::sys::link::{Hook, Link, Target};

/// Before 6.6 the kernel does not know what it is asked.
pub(super) fn is_supported() -> io::Result<bool> {
    // Every network namespace has this device.
    match SchedClassifier::query_tcx("lo", TcAttachType::Ingress) {
        Ok(_) => Ok(true),
        Err(ProgramError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EINVAL) => {
            Ok(false)
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The directory of the pins.
#[derive(Debug)]
pub(in crate::dataplane) struct Tcx(PathBuf);

impl Tcx {
    pub(super) fn new(pins: &Pins) -> Self {
        Self(pins.links())
    }

    pub(super) fn attach(&self, spot: &Spot, program: BorrowedFd<'_>) -> Result<(), Failure> {
        let attach_type = match spot.direction {
            Direction::Ingress => bpf_attach_type::BPF_TCX_INGRESS,
            Direction::Egress => bpf_attach_type::BPF_TCX_EGRESS,
        };
        let expected = Hook::Device {
            index: spot.index,
            attach_type: attach_type as u32,
        };
        let target = Target::DeviceFirst(spot.index);
        links::put(&self.pin(spot), program, target, attach_type, expected)
    }

    pub(super) fn detach(&self, spot: &Spot) -> Result<(), OpenError> {
        remove_link(&self.pin(spot)).map(drop)
    }

    pub(super) fn occupied(&self) -> Result<BTreeSet<Spot>, OpenError> {
        let mut occupied = BTreeSet::new();
        for path in children(&self.0)? {
            let Some(spot) = spot_of(&path) else { continue };
            let link = Link::pinned(&path).map_err(|source| OpenError::Pin {
                doing: "opening the link",
                path: path.clone(),
                source,
            })?;
            // What is no link has a name of ours by chance.
            if link.is_some() {
                occupied.insert(spot);
            }
        }
        Ok(occupied)
    }

    fn pin(&self, spot: &Spot) -> PathBuf {
        self.0.join(format!("{}-{}", spot.program, spot.index))
    }
}
