//! The datapath's debug log, forwarded to tracing. Only with the feature `debug-log`; without it the kernel programs
//! hold no log code at all.

use std::time::Duration;

use anyhow::Context;
use aya_log::EbpfLogger;
use tokio::time::{MissedTickBehavior, interval};

use super::Dataplane;

/// How long a record may lie in the ring buffer.
const LATENCY: Duration = Duration::from_millis(50);

/// Forwards what the kernel programs log, until the future is dropped. Records go through the `log` crate, which
/// tracing-subscriber forwards to tracing.
///
/// # Errors
///
/// When the kernel object was built without its log.
pub fn follow(dataplane: &mut Dataplane) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
    let mut logger =
        EbpfLogger::init(dataplane.object()).context("opening the debug log of the kernel programs")?;
    Ok(async move {
        let mut ticks = interval(LATENCY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            logger.flush();
        }
    })
}
