//! `kproxy explain` on nodes on paper: the tables of the semantics, and the shape of answers. Needs no privileges.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod answers;
mod endpoints;
mod external;
mod frontends;
mod policies;
mod world;
