//! A point in time on both clocks.

use std::time::Instant;

use k8s_openapi::jiff::Timestamp;

/// Now, for intervals and for people. Whatever decides takes it as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// On the clock that never jumps.
    pub instant: Instant,
    /// On the clock of the wall.
    pub wall: Timestamp,
}

impl Moment {
    /// What both clocks say.
    #[must_use]
    pub fn now() -> Self {
        Self {
            instant: Instant::now(),
            wall: Timestamp::now(),
        }
    }
}
