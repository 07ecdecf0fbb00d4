//! Clients outside: a cluster with agents that read manifests, real packets, and what the door makes of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod changes;
mod several;
mod stage;
mod walks;
