//! What the command line asks for.
//!
//! * [`run`](run::run): the agent
//! * [`set_up`](set_up::set_up): its privileged preparation
//! * [`write`](write::write): its configuration with all defaults
//! * [`cleanup`](cleanup::cleanup): leaves a node as if no proxy had ever been there
//! * [`logging`]: where the log goes

pub mod cleanup;
pub mod logging;
pub mod run;
pub mod set_up;
pub mod write;
