//! `kproxy explain`, `status` and `services` on a living node. Needs root.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

mod commands;
mod kernel;
