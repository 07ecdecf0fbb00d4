//! How many entries a hash map has. The kernel keeps no such number for readers, so they are listed. Kernel 5.6.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use aya::maps::{MapData, MapType};
use aya_obj::generated::bpf_cmd;

use super::hash::Batch;
use super::{address, bpf};

/// How many entries one call lists.
const BATCH: usize = 4_096;

/// Counts the entries of a hash map. One that comes or goes meanwhile may or may not be counted.
pub(in super::super) fn count(map: &MapData) -> io::Result<u64> {
    let info = map.info().map_err(io::Error::other)?;
    if !matches!(
        info.map_type().map_err(io::Error::other)?,
        MapType::Hash | MapType::LruHash
    ) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a hash map"));
    }
    let (key_size, value_size) = (info.key_size() as usize, info.value_size() as usize);
    // Larger than the position in a hash map, which is the number of a bucket.
    let mut positions = (0_u64, 0_u64);
    let mut size = BATCH;
    let mut first = true;
    let mut entries = 0;
    // Nobody looks at them; the kernel copies them out all the same.
    let (mut keys, mut values) = (vec![0_u8; size * key_size], vec![0_u8; size * value_size]);
    loop {
        let mut batch = Batch {
            from: if first { 0 } else { address(&raw const positions.0) },
            to: address(&raw mut positions.1),
            keys: address(keys.as_mut_ptr()),
            values: address(values.as_mut_ptr()),
            count: u32::try_from(size).unwrap_or(u32::MAX),
            map: map.fd().as_fd().as_raw_fd().cast_unsigned(),
            element_flags: 0,
            flags: 0,
        };
        // SAFETY: `Batch` is the `batch` part of the union. `keys` and `values` have room for `count` keys and values of
        // the sizes that the kernel has just named, which a map never changes; the positions have room for a hash map's;
        // all live until after the call.
        match unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut batch) } {
            Ok(_) => entries += u64::from(batch.count),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                return Ok(entries + u64::from(batch.count));
            }
            // One bucket holds more entries than there is room for.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && size < 1 << 24 => {
                size *= 2;
                keys.resize(size * key_size, 0);
                values.resize(size * value_size, 0);
                continue;
            }
            Err(error) => return Err(error),
        }
        positions.0 = positions.1;
        first = false;
    }
}
