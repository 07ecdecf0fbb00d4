//! What the command line asks for.
//!
//! * [`run`](run::run): the agent
//! * [`set_up`](set_up::set_up): its privileged preparation
//! * [`write`](write::write): its configuration with all defaults
//! * [`cleanup`](cleanup::cleanup): leaves a node as if no proxy had ever been there
//! * [`explain`](explain::explain): what would happen to a packet, and why
//! * [`status`](status::status), [`services`](services::services): what is on this node; [`look`] is what they share
//! * [`check`](check::check): what this node's kernel has of what kproxy needs or likes
//! * [`logging`]: where the log goes

pub mod check;
pub mod cleanup;
pub mod explain;
pub mod logging;
pub mod look;
pub mod run;
pub mod services;
pub mod set_up;
pub mod status;
pub mod write;
