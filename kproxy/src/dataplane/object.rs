//! The kernel object, as kproxy's build script made it.

/// The ELF file with every kernel program and map. Aligned, because aya reads the headers in place.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("KPROXY_OBJECT"));
