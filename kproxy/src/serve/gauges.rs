//! What is read from the kernel when somebody asks for metrics.

use anyhow::Result;
use kproxy_common::{Counter, Door, PortSearch, SnatKey};

use crate::plan::Fill;

/// The data plane's numbers. Asked in a thread that may wait, never in the task that owns the data plane.
pub trait Gauges: Send + Sync + 'static {
    /// Every outcome at every door since the maps were made.
    ///
    /// # Errors
    /// The map can not be read.
    fn outcomes(&self) -> Result<Vec<(Door, Counter, u64)>>;

    /// How full the tables are that kernel programs fill. They are counted entry by entry, so this takes a while.
    ///
    /// # Errors
    /// A map can not be read.
    fn tables(&self) -> Result<Vec<Fill>>;

    /// The searches for source ports of this node, one for each address and backend that clients share.
    ///
    /// # Errors
    /// The map can not be read.
    fn port_searches(&self) -> Result<Vec<(SnatKey, PortSearch)>>;
}
