//! Iterators: a program that is called for each element of a map, and a file from which its words are read. Kernel 5.8,
//! for socket storage 5.10.

use std::fs::File;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_cmd};
use bytemuck::{AnyBitPattern, NoUninit};

use super::{address, bpf, number, own};

/// A program on the elements of a map, which writes any number of `V`.
#[derive(Debug)]
pub(in super::super) struct MapIterator<V> {
    link: OwnedFd,
    types: PhantomData<fn() -> V>,
}

impl<V: AnyBitPattern> MapIterator<V> {
    /// Puts a loaded program on a map.
    pub(in super::super) fn new(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<Self> {
        let map = number(map);
        let mut attributes = Create {
            program: number(program),
            target: 0,
            attach_type: bpf_attach_type::BPF_TRACE_ITER as u32,
            flags: 0,
            info: address(&raw const map),
            info_length: 4,
            padding: 0,
        };
        // SAFETY: `Create` is the `link_create` part of the union for iterators; its pointer is to the map's descriptor,
        // the `map` part of `union bpf_iter_link_info`, of the length given, which lives until after the call.
        let descriptor = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut attributes) }?;
        Ok(Self {
            link: own(descriptor)?,
            types: PhantomData,
        })
    }

    /// Calls the program for every element that is there now, and answers what it wrote.
    pub(in super::super) fn read(&self) -> io::Result<Vec<V>> {
        let mut attributes = Iterate {
            link: number(self.link.as_fd()),
            flags: 0,
        };
        // SAFETY: `Iterate` is the `iter_create` part of the union and holds no pointers.
        let descriptor = unsafe { bpf(bpf_cmd::BPF_ITER_CREATE, &mut attributes) }?;
        let mut file = File::from(own(descriptor)?);
        let mut bytes = Vec::new();
        loop {
            match file.read_to_end(&mut bytes) {
                Ok(_) => break,
                // After a million elements about which there was nothing to write (`bpf_seq_read`).
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let values = bytes.chunks_exact(size_of::<V>());
        Ok(values.map(bytemuck::pod_read_unaligned).collect())
    }
}

/// `bpf_attr.link_create` with `iter_info`
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Create {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    info: u64,
    info_length: u32,
    padding: u32,
}

/// `bpf_attr.iter_create`
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Iterate {
    link: u32,
    flags: u32,
}
