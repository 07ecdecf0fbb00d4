//! Loading the object: maps created or adopted, programs verified.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use aya::programs::{CgroupSockAddr, Iter, ProgramError, SchedClassifier, Xdp};
use aya::{Btf, Ebpf, EbpfLoader};
use kproxy_common::Settings;

use super::attach::SOCKET_DOOR;
use super::attempts::load_program;
use super::doors::DeviceDoor;
use super::error::OpenError;
use super::layout::Decision;
use super::options::Sizes;
use super::pins::Pins;

/// The iterator over `SOCKET_PEERS`.
pub(super) const STALE_PEERS: &str = "stale_peers";

/// The verified programs. Links are not in here: dropping this leaves everything attached.
#[derive(Debug)]
pub(super) struct Programs {
    object: Ebpf,
}

impl Programs {
    /// Loads the object with its maps at their pins, which must have been compared before.
    pub(super) fn load(
        object: &[u8],
        sizes: &Sizes,
        settings: &Settings,
        decisions: &BTreeMap<&'static str, Decision>,
        pins: &Pins,
    ) -> Result<Self, OpenError> {
        let mut loader = EbpfLoader::new();
        loader.override_global("SETTINGS", bytemuck::bytes_of(settings), true);
        for (name, entries) in sizes.by_map() {
            loader.map_max_entries(name, entries);
        }
        for (&name, decision) in decisions {
            let path = match decision {
                Decision::AsIs => pins.map(name),
                Decision::Resize | Decision::Replace => pins.resized_map(name),
            };
            loader.map_pin_path(name, Cow::Owned(path));
        }
        let mut programs = Self {
            object: loader.load(object)?,
        };
        for (name, _) in SOCKET_DOOR {
            let failed = |source| OpenError::Program {
                program: name,
                source,
            };
            let program = programs
                .object
                .program_mut(name)
                .and_then(|it| <&mut CgroupSockAddr>::try_from(it).ok());
            let program = program.ok_or(OpenError::Missing {
                program: name,
                kind: "cgroup_sock_addr",
            })?;
            load_program(|| program.load()).map_err(failed)?;
        }
        // What nearly every node needs, so that what the kernel refuses is known at the start.
        for (name, _) in [DeviceDoor::Pod, DeviceDoor::Uplink]
            .into_iter()
            .flat_map(DeviceDoor::programs)
        {
            programs.classifier(name)?;
        }
        Ok(programs)
    }

    /// Loads the iterator over the records of sockets, which no door needs.
    pub(super) fn load_stale_peers(&mut self) -> Result<BorrowedFd<'_>, OpenError> {
        let program = STALE_PEERS;
        let failed = |source| OpenError::Program { program, source };
        let iterator = self.object.program_mut(program);
        let iterator = iterator.and_then(|it| <&mut Iter>::try_from(it).ok());
        let iterator = iterator.ok_or(OpenError::Missing {
            program,
            kind: "iterator",
        })?;
        let types = Btf::from_sys_fs().map_err(|error| failed(error.into()))?;
        load_program(|| iterator.load("bpf_sk_storage_map", &types)).map_err(failed)?;
        Ok(iterator.fd().map_err(failed)?.as_fd())
    }

    /// The descriptor of a program for devices, which is loaded when it is needed first.
    pub(super) fn classifier(&mut self, name: &'static str) -> Result<BorrowedFd<'_>, OpenError> {
        let failed = |source| OpenError::Program {
            program: name,
            source,
        };
        let program = self.object.program_mut(name);
        let program = program
            .and_then(|it| <&mut SchedClassifier>::try_from(it).ok())
            .ok_or(OpenError::Missing {
                program: name,
                kind: "classifier",
            })?;
        if program.fd().is_err() {
            load_program(|| program.load()).map_err(failed)?;
        }
        Ok(program.fd().map_err(failed)?.as_fd())
    }

    /// The descriptor of an XDP program, which is loaded when it is needed first.
    pub(super) fn early(&mut self, name: &'static str) -> Result<BorrowedFd<'_>, OpenError> {
        let failed = |source| OpenError::Program {
            program: name,
            source,
        };
        let program = self.early_program(name)?;
        if program.fd().is_err() {
            load_program(|| program.load()).map_err(failed)?;
        }
        Ok(program.fd().map_err(failed)?.as_fd())
    }

    /// An XDP program.
    pub(super) fn early_program(&mut self, name: &'static str) -> Result<&mut Xdp, OpenError> {
        let program = self.object.program_mut(name);
        let program = program.and_then(|it| <&mut Xdp>::try_from(it).ok());
        program.ok_or(OpenError::Missing {
            program: name,
            kind: "xdp",
        })
    }

    /// A loaded program's descriptor.
    pub(super) fn descriptor(&self, name: &str) -> io::Result<BorrowedFd<'_>> {
        let program = self
            .object
            .program(name)
            .ok_or_else(|| io::Error::other("no such program"))?;
        let descriptor = program
            .fd()
            .map_err(|error: ProgramError| io::Error::other(error))?;
        Ok(descriptor.as_fd())
    }

    /// The object, for its debug log.
    #[cfg(feature = "debug-log")]
    pub(super) fn object(&mut self) -> &mut Ebpf {
        &mut self.object
    }
}
