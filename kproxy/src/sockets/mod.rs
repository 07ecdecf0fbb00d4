//! Connected UDP sockets whose backend is gone are told so, in every network namespace of the node.
//!
//! A packet or an unconnected socket meets the data plane each time, which compares generations. A connected socket met
//! it once, in `connect`, and would send to the address it got then for ever: a DNS resolver with one socket would wait
//! for a pod that does not exist any more. The kernel can end such a socket from outside (`SOCK_DESTROY`): its process
//! gets ECONNABORTED, connects anew and is given another backend. A TCP connection is left alone, as kube-proxy does.
//!
//! The same end is for sockets of the node itself that connected when their service had no backends: they are connected
//! to the service address, which leads nowhere. A pod's packets meet the pod door.
//!
//! Which sockets went through a service to a backend that is gone, the data plane knows
//! ([`StalePeers`](crate::dataplane::StalePeers)). Where they are, and their end, is a matter of network namespaces.
//!
//! * [`namespaces`]: where the node's network namespaces are found
//! * [`diag`]: `sock_diag(7)`, typed: which sockets there are, and the end of one
//! * [`reasons`]: why a socket is ended
//! * [`mod@sweep`]: one look at all of them
//! * [`sweeper`]: when to look; a thread of its own, so that nobody waits for it

pub mod diag;
pub mod namespaces;
pub mod reasons;
pub mod sweep;
pub mod sweeper;

pub use namespaces::Sources;
pub use sweep::{Report, sweep};
pub use sweeper::{Statistics, Sweeper};
