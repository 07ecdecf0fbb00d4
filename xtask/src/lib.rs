//! Build support shared by kproxy's build script and the `cargo xtask` commands.
//!
//! Without the feature `commands` this is only [`kernel_object`], which needs nothing but `anyhow`: every build of
//! kproxy waits for it.

pub mod kernel_object;
