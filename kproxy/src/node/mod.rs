//! What kproxy needs from the machine it runs on, looked at before anything is changed.
//!
//! * [`privileges`]: the capabilities of this process
//! * [`mounts`]: cgroup v2 and the BPF file system
//! * [`features`]: what the kernel can do
//! * [`families`]: which address families it has
//! * [`ephemeral`]: which ports it gives to connections of its own
//! * [`forwarding`]: whether it passes packets on
//! * [`name`]: which Node object this is
//! * [`memory`]: how large tables may be by default
//!
//! And what kproxy sets on it, once, before it starts:
//!
//! * [`conntrack`]: the kernel's connection tracking
//! * [`oom`]: how willingly the kernel ends this process
//! * [`former_proxy`]: removal of what kube-proxy has left
//!
//! Every check ends in one message that names what is missing and what to do about it.

pub mod conntrack;
pub mod ephemeral;
pub mod families;
pub mod features;
pub mod former_proxy;
pub mod forwarding;
pub mod memory;
pub mod mounts;
pub mod name;
pub mod oom;
pub mod privileges;
