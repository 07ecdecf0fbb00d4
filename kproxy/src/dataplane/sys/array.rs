//! Arrays made with `BPF_F_MMAPABLE`, through shared memory. Kernel 5.5.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use aya::maps::{MapData, MapType};
use aya_obj::generated::BPF_F_MMAPABLE;
use bytemuck::Pod;

/// The values of an array map as the kernel programs see them.
///
/// Values are read and written word by word, so only words are atomic: a program may see a value half written.
#[derive(Debug)]
pub(in super::super) struct Array<V> {
    memory: NonNull<AtomicU32>,
    /// Length of the mapping in bytes.
    length: usize,
    entries: u32,
    types: PhantomData<V>,
}

// SAFETY: the memory belongs to this value, is not tied to a thread, and is only accessed through atomics.
unsafe impl<V: Send> Send for Array<V> {}

impl<V: Pod> Array<V> {
    /// Words per value: the kernel rounds the size of a value up to eight bytes (`array_map_alloc`).
    const STRIDE: usize = size_of::<V>().next_multiple_of(8) / 4;

    /// Maps an array; fails if it is not one that can be mapped or its values have another size.
    pub(in super::super) fn new(map: &MapData) -> io::Result<Self> {
        const { assert!(size_of::<V>().is_multiple_of(4), "values are made of words") };
        let info = map.info().map_err(io::Error::other)?;
        let fits = info.map_type().map_err(io::Error::other)? == MapType::Array
            && info.map_flags() & BPF_F_MMAPABLE != 0
            && info.value_size() as usize == size_of::<V>();
        if !fits {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not an mmap-able array of this layout",
            ));
        }
        let entries = info.max_entries();
        let length = entries as usize * Self::STRIDE * 4;
        // SAFETY: a new shared mapping at an address of the kernel's choice touches no memory of ours. The descriptor
        // is open for as long as `map` is borrowed.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.fd().as_fd().as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or_else(|| io::Error::other("mmap gave address 0"))?;
        Ok(Self {
            memory,
            length,
            entries,
            types: PhantomData,
        })
    }

    /// How many values there are.
    pub(in super::super) fn len(&self) -> u32 {
        self.entries
    }

    /// The value at an index; `None` past the end.
    pub(in super::super) fn load(&self, index: u32) -> Option<V> {
        let words = self.words(index)?;
        let mut value = V::zeroed();
        let bytes = bytemuck::bytes_of_mut(&mut value).chunks_exact_mut(4);
        for (bytes, word) in bytes.zip(words) {
            bytes.copy_from_slice(&word.load(Ordering::Acquire).to_ne_bytes());
        }
        Some(value)
    }

    /// Writes the value at an index, first word first; false past the end.
    #[must_use]
    pub(in super::super) fn store(&self, index: u32, value: V) -> bool {
        let Some(words) = self.words(index) else {
            return false;
        };
        for (bytes, word) in bytemuck::bytes_of(&value).as_chunks().0.iter().zip(words) {
            word.store(u32::from_ne_bytes(*bytes), Ordering::Release);
        }
        true
    }

    fn words(&self, index: u32) -> Option<&[AtomicU32]> {
        if index >= self.entries {
            return None;
        }
        // SAFETY: the mapping holds `entries` values of `STRIDE` words each and `index` is below `entries`.
        let first = unsafe { self.memory.add(index as usize * Self::STRIDE) };
        // SAFETY: `STRIDE` words from there are inside the mapping, which is page-aligned, initialised by the kernel,
        // and stays until `self` is dropped. Kernel programs access it at the same time, which atomics allow.
        Some(unsafe { std::slice::from_raw_parts(first.as_ptr(), Self::STRIDE) })
    }
}

impl<V> Drop for Array<V> {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; references into it do not outlive `self`.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.length) };
    }
}
