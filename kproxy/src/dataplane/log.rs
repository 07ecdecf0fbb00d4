//! The datapath's debug log, forwarded to tracing. Only with the feature `debug-log`; without it the kernel programs
//! hold no log code at all.

use anyhow::Context;
use aya_log::EbpfLogger;
use tokio::io::unix::AsyncFd;

use super::Dataplane;

/// Forwards what the kernel programs log, until the future is dropped. Records go through the `log` crate, which
/// tracing-subscriber forwards to tracing.
///
/// # Errors
///
/// When the kernel object has no log, or the log can not be read any more.
pub fn follow(
    dataplane: &mut Dataplane,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + use<>> {
    let logger =
        EbpfLogger::init(dataplane.object()).context("opening the debug log of the kernel programs")?;
    Ok(async move {
        let mut ready = AsyncFd::new(logger).context("waiting for the debug log of the kernel programs")?;
        loop {
            let mut guard = ready
                .readable_mut()
                .await
                .context("waiting for the debug log of the kernel programs")?;
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
    })
}
