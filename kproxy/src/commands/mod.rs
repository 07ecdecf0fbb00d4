//! What the command line asks for.
//!
//! * [`run`](run::run): the agent
//! * [`cleanup`](cleanup::cleanup): leaves a node as if kproxy had never been there
//! * [`logging`]: where the log goes

pub mod cleanup;
pub mod logging;
pub mod run;
