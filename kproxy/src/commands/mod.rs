//! What the command line asks for.
//!
//! * [`logging`]: where the log goes

pub mod logging;
