//! Clients outside: every combination of what a request may meet, and what only they meet.
//!
//! Rows that end in *story* and a letter are what users of other implementations complain about, as the project's collection
//! numbers them: B ports, D stale datagrams, F policies, G sizes, I checksums, K addresses and retransmissions.

mod combinations;
mod flows;
mod limits;
mod maglev;
mod requests;
mod rules;
mod stories;

use super::super::row::{Row, Via};
use super::super::state::Protocol;
use super::{Case, for_each};

pub use flows::silent;

pub(super) fn rows() -> Vec<Row> {
    [
        combinations::rows(),
        requests::rows(),
        flows::rows(),
        limits::rows(),
        maglev::rows(),
        stories::rows(),
    ]
    .concat()
}

/// A row for every family and these protocols, at the uplink.
fn uplink(protocols: &[Protocol], make: impl Fn(Case) -> Row) -> Vec<Row> {
    for_each(&[Via::Uplink], protocols, make)
}
