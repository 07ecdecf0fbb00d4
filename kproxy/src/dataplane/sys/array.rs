//! Arrays made with `BPF_F_MMAPABLE`, through shared memory. Kernel 5.5.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use aya::maps::{MapData, MapType};
use aya_obj::generated::BPF_F_MMAPABLE;
use bytemuck::Pod;

/// Bytes that are mapped at a time. The kernel maps every page at once (`remap_vmalloc_range`) and counts it as memory of
/// this process, so that whole arrays would be the largest part of an agent's. A change touches a few windows, and moving
/// one costs a microsecond.
const WINDOW: usize = 64 << 10;

/// The values of an array map as the kernel programs see them, through a window that moves to where it is needed.
///
/// Values are read and written word by word, so only words are atomic: a program may see a value half written.
#[derive(Debug)]
pub(in super::super) struct Array<V> {
    map: OwnedFd,
    entries: u32,
    window: RefCell<Option<Window>>,
    types: PhantomData<V>,
}

impl<V: Pod> Array<V> {
    /// Words per value: the kernel rounds the size of a value up to eight bytes (`array_map_alloc`).
    const STRIDE: usize = size_of::<V>().next_multiple_of(8) / 4;
    /// Values in a window.
    const VALUES: usize = WINDOW / (Self::STRIDE * 4);

    /// Fails if the map is not an array that can be mapped or its values have another size.
    pub(in super::super) fn new(map: &MapData) -> io::Result<Self> {
        const {
            assert!(size_of::<V>().is_multiple_of(4), "values are made of words");
            assert!(
                WINDOW.is_multiple_of(Self::STRIDE * 4),
                "no value is in two windows"
            );
        };
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
        let array = Self {
            map: map.fd().as_fd().try_clone_to_owned()?,
            entries: info.max_entries(),
            window: RefCell::new(None),
            types: PhantomData,
        };
        // What can not be mapped at all is found here, and not in the middle of a plan.
        array.window.replace(Some(array.open(0)?));
        Ok(array)
    }

    /// How many values there are.
    pub(in super::super) fn len(&self) -> u32 {
        self.entries
    }

    /// The value at an index; `None` past the end, or if the kernel has no memory for a window.
    pub(in super::super) fn load(&self, index: u32) -> Option<V> {
        self.with(index, |words| {
            let mut value = V::zeroed();
            let bytes = bytemuck::bytes_of_mut(&mut value).chunks_exact_mut(4);
            for (bytes, word) in bytes.zip(words) {
                bytes.copy_from_slice(&word.load(Ordering::Acquire).to_ne_bytes());
            }
            value
        })
    }

    /// Writes the value at an index, first word first; false past the end, or if the kernel has no memory for a window.
    #[must_use]
    pub(in super::super) fn store(&self, index: u32, value: V) -> bool {
        let stored = self.with(index, |words| {
            for (bytes, word) in bytemuck::bytes_of(&value).as_chunks().0.iter().zip(words) {
                word.store(u32::from_ne_bytes(*bytes), Ordering::Release);
            }
        });
        stored.is_some()
    }

    /// Does something with the words of a value, through a window over it.
    fn with<T>(&self, index: u32, act: impl FnOnce(&[AtomicU32]) -> T) -> Option<T> {
        if index >= self.entries {
            return None;
        }
        let (number, place) = (index as usize / Self::VALUES, index as usize % Self::VALUES);
        let mut window = self.window.borrow_mut();
        if window.as_ref().is_none_or(|window| window.number != number) {
            *window = Some(self.open(number).ok()?);
        }
        let words = window.as_ref()?.words();
        let start = place * Self::STRIDE;
        Some(act(words.get(start..start + Self::STRIDE)?))
    }

    /// Maps one window; the last one ends with the array's last page.
    fn open(&self, number: usize) -> io::Result<Window> {
        let offset = number * WINDOW;
        let end = self.entries as usize * Self::STRIDE * 4;
        let length = WINDOW.min(end.saturating_sub(offset));
        let place = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: a new shared mapping at an address of the kernel's choice touches no memory of ours. The descriptor is
        // our own.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                self.map.as_raw_fd(),
                place,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or_else(|| io::Error::other("mmap gave address 0"))?;
        Ok(Window {
            memory,
            length,
            number,
        })
    }
}

/// A mapped part of an array.
#[derive(Debug)]
struct Window {
    memory: NonNull<AtomicU32>,
    /// In bytes.
    length: usize,
    /// Which one, counted from the array's start.
    number: usize,
}

// SAFETY: the memory belongs to this value, is not tied to a thread, and is only accessed through atomics.
unsafe impl Send for Window {}

impl Window {
    fn words(&self) -> &[AtomicU32] {
        // SAFETY: the mapping has this length, is page-aligned, initialised by the kernel, and stays until `self` is
        // dropped. Kernel programs access it at the same time, which atomics allow.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.length / 4) }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `open`; references into it do not outlive `self`.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.length) };
    }
}
