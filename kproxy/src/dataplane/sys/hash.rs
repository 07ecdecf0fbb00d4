//! Hash maps and tries by batches. Kernel 5.6; tries 5.13.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd};

use aya::maps::{MapData, MapType};
use aya_obj::generated::bpf_cmd;
use bytemuck::{NoUninit, Pod};

use super::{address, bpf};

/// How many entries one call moves.
const BATCH: usize = 4096;

/// An entry exists already: leave it as it is.
const NO_EXIST: u64 = 1;

/// A hash map or trie with keys `K` and values `V`; the sizes have been compared with the kernel's.
#[derive(Debug)]
pub(in super::super) struct Hash<K, V> {
    map: MapData,
    types: PhantomData<fn() -> (K, V)>,
}

/// What happened to a batch that stopped midway.
#[derive(Debug)]
pub(in super::super) struct Stopped {
    /// How many entries were done before.
    pub(in super::super) done: usize,
    /// Why the next one was not.
    pub(in super::super) error: io::Error,
}

impl<K: Pod, V: Pod> Hash<K, V> {
    /// Takes over a map; fails if it is neither a hash map nor a trie, or its keys or values have another size.
    pub(in super::super) fn new(map: MapData) -> io::Result<Self> {
        let info = map.info().map_err(io::Error::other)?;
        let kind = info.map_type().map_err(io::Error::other)?;
        let fits = matches!(kind, MapType::Hash | MapType::LruHash | MapType::LpmTrie)
            && info.key_size() as usize == size_of::<K>()
            && info.value_size() as usize == size_of::<V>();
        if !fits {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not a hash map or trie of this layout",
            ));
        }
        Ok(Self {
            map,
            types: PhantomData,
        })
    }

    /// The value of a key.
    pub(in super::super) fn get(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = V::zeroed();
        let mut element = Element {
            map: self.map.fd().as_fd().as_raw_fd().cast_unsigned(),
            padding: 0,
            key: address(std::ptr::from_ref(key)),
            value: address(&raw mut value),
            flags: 0,
        };
        // SAFETY: `Element` is the `map_fd`, `key`, `value` part of the union. Key and value have the map's sizes
        // (compared in `new`) and live until after the call; the value takes any bytes.
        match unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut element) } {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            result => result.map(|_| Some(value)),
        }
    }

    /// Writes entries in this order.
    pub(in super::super) fn put(&self, keys: &[K], values: &[V]) -> Result<(), Stopped> {
        assert_eq!(keys.len(), values.len(), "as many values as keys");
        let mut done = 0;
        for (keys, values) in keys.chunks(BATCH).zip(values.chunks(BATCH)) {
            let mut batch = self.batch(keys.len());
            batch.keys = address(keys.as_ptr());
            batch.values = address(values.as_ptr());
            // SAFETY: `Batch` is the `batch` part of the union. `keys` and `values` hold `count` keys and values of the
            // map's sizes (compared in `new`, lengths above), live until after the call and are only read.
            let result = unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_BATCH, &mut batch) };
            result.map_err(|error| Stopped {
                done: done + batch.count as usize,
                error,
            })?;
            done += keys.len();
        }
        Ok(())
    }

    /// Writes an entry unless the key is there already.
    pub(in super::super) fn put_missing(&self, key: &K, value: &V) -> io::Result<()> {
        // Batches take no such flag (`generic_map_update_batch`).
        let mut element = Element {
            map: self.map.fd().as_fd().as_raw_fd().cast_unsigned(),
            padding: 0,
            key: address(std::ptr::from_ref(key)),
            value: address(std::ptr::from_ref(value)),
            flags: NO_EXIST,
        };
        // SAFETY: `Element` is the `map_fd`, `key`, `value` part of the union. Key and value have the map's sizes
        // (compared in `new`), live until after the call and are only read.
        match unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut element) } {
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Removes entries; one that is not there counts as removed.
    pub(in super::super) fn remove(&self, keys: &[K]) -> Result<(), Stopped> {
        let mut done = 0;
        while done < keys.len() {
            let chunk = &keys[done..keys.len().min(done + BATCH)];
            let mut batch = self.batch(chunk.len());
            batch.keys = address(chunk.as_ptr());
            // SAFETY: as in `put`, without values.
            match unsafe { bpf(bpf_cmd::BPF_MAP_DELETE_BATCH, &mut batch) } {
                Ok(_) => done += chunk.len(),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => done += batch.count as usize + 1,
                Err(error) => {
                    return Err(Stopped {
                        done: done + batch.count as usize,
                        error,
                    });
                }
            }
        }
        Ok(())
    }

    /// All entries, in no order. One that comes or goes meanwhile may or may not be among them.
    pub(in super::super) fn entries(&self) -> io::Result<Vec<(K, V)>> {
        let mut entries = Vec::new();
        // Larger than the position of any kind of map: 4 bytes for hashes, a key for others.
        let mut positions = ([0_u64; 8], [0_u64; 8]);
        let mut size = BATCH;
        let mut first = true;
        loop {
            let mut keys = vec![K::zeroed(); size];
            let mut values = vec![V::zeroed(); size];
            let mut batch = self.batch(size);
            batch.from = if first { 0 } else { address(&raw const positions.0) };
            batch.to = address(&raw mut positions.1);
            batch.keys = address(keys.as_mut_ptr());
            batch.values = address(values.as_mut_ptr());
            // SAFETY: `Batch` is the `batch` part of the union. `keys` and `values` have room for `count` keys and values
            // of the map's sizes and take any bytes; the positions have room for any map's; all live until after the
            // call.
            let result = unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut batch) };
            let end = match result {
                Ok(_) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                // One bucket holds more entries than there is room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && size < 1 << 24 => {
                    size *= 2;
                    continue;
                }
                Err(error) => return Err(error),
            };
            entries.extend(keys.into_iter().zip(values).take(batch.count as usize));
            if end {
                return Ok(entries);
            }
            positions.0 = positions.1;
            first = false;
        }
    }

    fn batch(&self, count: usize) -> Batch {
        Batch {
            from: 0,
            to: 0,
            keys: 0,
            values: 0,
            // At most `BATCH` doubled a few times.
            count: u32::try_from(count).unwrap_or(u32::MAX),
            map: self.map.fd().as_fd().as_raw_fd().cast_unsigned(),
            element_flags: 0,
            flags: 0,
        }
    }
}

/// `bpf_attr.batch`
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
pub(super) struct Batch {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) keys: u64,
    pub(super) values: u64,
    /// After the call: how many were done.
    pub(super) count: u32,
    pub(super) map: u32,
    pub(super) element_flags: u64,
    pub(super) flags: u64,
}

/// `bpf_attr.{map_fd, key, value, flags}`
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}
