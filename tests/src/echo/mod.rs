//! The echo service that plays both sides of every test: a server that says who it is and whom it sees, and a client
//! that says what it was answered and whom it believes to talk to.
//!
//! * [`message`]: the JSON lines that both sides print and exchange
//! * [`server`]: TCP, UDP and SCTP on several ports of both families
//! * [`client`]: one request after another, each reported
//! * [`load`]: many clients at once until told to stop, with totals
//!
//! Blocking sockets and threads on purpose: what a test observes is then exactly one system call of the client, and
//! the cgroup hooks see plain programs. The same code runs in-process and, inside a pod, as the binary `echo`.

pub mod client;
pub mod load;
pub mod message;
pub mod server;

#[cfg(test)]
mod tests;

pub use client::{Mode, Options, Protocol};
pub use load::Totals;
pub use message::{Answer, Outcome, Report, clock};
pub use server::Server;
