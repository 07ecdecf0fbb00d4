//! BPF links: a program on a hook. Kernel 5.7 for cgroups, 5.9 for XDP, 6.6 for TCX.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use aya_obj::generated::{BPF_F_BEFORE, bpf_attach_type, bpf_cmd, bpf_link_type};
use bytemuck::{NoUninit, Pod, Zeroable};

use super::pin::{self, Kind};
use super::{address, bpf, number, own};

/// What a link can hang on.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Target<'a> {
    /// A cgroup v2 directory, opened.
    Cgroup(BorrowedFd<'a>),
    /// A network device of this network namespace by its interface index, before every other TCX program.
    DeviceFirst(u32),
    /// A network device by its interface index, before anything has been made of a packet, in the mode of these flags.
    Early(u32, u32),
}

/// What the kernel says about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Hook {
    /// A cgroup by its inode number, 0 if it was removed.
    Cgroup { inode: u64, attach_type: u32 },
    /// A device by its interface index, 0 if it is gone.
    Device { index: u32, attach_type: u32 },
    /// XDP of a device by its interface index, 0 if it is gone.
    Early { index: u32 },
    /// Some other kind of link.
    Other,
}

/// A link. Without a pin it is detached when the last handle is closed.
#[derive(Debug)]
pub(in super::super) struct Link(OwnedFd);

impl Link {
    /// Attaches a loaded program.
    pub(in super::super) fn attach(
        program: BorrowedFd<'_>,
        target: Target<'_>,
        attach_type: bpf_attach_type,
    ) -> io::Result<Self> {
        let (target, flags) = match target {
            Target::Cgroup(directory) => (number(directory), 0),
            Target::DeviceFirst(index) => (index, BPF_F_BEFORE),
            Target::Early(index, mode) => (index, mode),
        };
        let mut attributes = Create {
            program: number(program),
            target,
            attach_type: attach_type as u32,
            flags,
            relative: [0; 4],
        };
        // SAFETY: `Create` is the `link_create` part of the union and holds no pointers.
        let descriptor = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut attributes) }?;
        own(descriptor).map(Self)
    }

    /// The link pinned at a path; `None` if there is nothing or something else. Fails as [`pin::open`].
    pub(in super::super) fn pinned(path: &Path) -> io::Result<Option<Self>> {
        Ok(pin::open(path, Kind::Link)?.map(Self))
    }

    /// Pins the link, so that it outlives this process.
    pub(in super::super) fn pin(&self, path: &Path) -> io::Result<()> {
        pin::pin(self.0.as_fd(), path)
    }

    /// Puts another program in the place of the present one. No packet and no call meets neither.
    pub(in super::super) fn update(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let mut attributes = Update {
            link: number(self.0.as_fd()),
            program: number(program),
            flags: 0,
            old_program: 0,
        };
        // SAFETY: `Update` is the `link_update` part of the union and holds no pointers.
        unsafe { bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attributes) }?;
        Ok(())
    }

    /// Takes the program off its hook at once, whoever else holds the link.
    pub(in super::super) fn detach(&self) -> io::Result<()> {
        let mut attributes = number(self.0.as_fd());
        // SAFETY: the `link_detach` part of the union is one descriptor.
        unsafe { bpf(bpf_cmd::BPF_LINK_DETACH, &mut attributes) }?;
        Ok(())
    }

    /// Where the link hangs.
    pub(in super::super) fn hook(&self) -> io::Result<Hook> {
        let Info {
            kind,
            details: [first, second, third, _],
            ..
        } = self.info()?;
        Ok(if kind == bpf_link_type::BPF_LINK_TYPE_CGROUP as u32 {
            Hook::Cgroup {
                inode: bytemuck::cast([first, second]),
                attach_type: third,
            }
        } else if kind == bpf_link_type::BPF_LINK_TYPE_TCX as u32 {
            Hook::Device {
                index: first,
                attach_type: second,
            }
        } else if kind == bpf_link_type::BPF_LINK_TYPE_XDP as u32 {
            Hook::Early { index: first }
        } else {
            Hook::Other
        })
    }

    fn info(&self) -> io::Result<Info> {
        let mut info = Info::zeroed();
        let mut attributes = GetInfo {
            descriptor: number(self.0.as_fd()),
            length: u32::try_from(size_of::<Info>()).map_err(io::Error::other)?,
            info: address(&raw mut info),
        };
        // SAFETY: `GetInfo` is the `info` part of the union; its pointer and length are those of `info`, which lives
        // until after the call and takes any bytes. The kernel writes no more than `length`.
        unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes) }?;
        Ok(info)
    }
}

/// `bpf_attr.link_create`
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Create {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    /// Before or after whom, and the expected revision; zero for "whoever is there".
    relative: [u32; 4],
}

/// `bpf_attr.link_update`
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Update {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// `bpf_attr.info`
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct GetInfo {
    descriptor: u32,
    length: u32,
    info: u64,
}

/// `struct bpf_link_info`, of whose union only the cgroup, TCX and XDP parts are read.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Info {
    kind: u32,
    id: u32,
    program: u32,
    padding: u32,
    details: [u32; 4],
}
