//! `kproxy explain`, `status` and `services` on a living node. Needs root.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod commands;
mod kernel;
