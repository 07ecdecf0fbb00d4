//! Bounds against hanging, longer where the machine is slow: `KPROXY_TEST_PATIENCE=N` multiplies them by N.

use std::time::Duration;

/// A bound as long as this machine needs it.
///
/// # Panics
/// When the variable is no number.
#[must_use]
pub fn patience(bound: Duration) -> Duration {
    bound * factor()
}

#[expect(
    clippy::expect_used,
    reason = "whoever sets the variable wants to know at once"
)]
fn factor() -> u32 {
    let factor = std::env::var("KPROXY_TEST_PATIENCE").ok();
    factor.map_or(1, |number| {
        number.parse().expect("KPROXY_TEST_PATIENCE is a number")
    })
}
