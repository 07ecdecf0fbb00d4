//! What kproxy needs from the machine it runs on, looked at before anything is changed.
//!
//! * [`privileges`]: the capabilities of this process
//! * [`mounts`]: cgroup v2 and the BPF file system
//! * [`features`]: what the kernel can do
//! * [`name`]: which Node object this is
//! * [`memory`]: how large tables may be by default
//!
//! Every check ends in one message that names what is missing and what to do about it.

pub mod features;
pub mod memory;
pub mod mounts;
pub mod name;
pub mod privileges;
