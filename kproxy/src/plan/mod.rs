//! From what is wanted to what the kernel must be told.
//!
//! [`Applied`] mirrors what the maps hold. Told what is wanted, it answers with a [`Plan`]: the map writes that lead
//! there, in an order in which the data plane is right after every single one. Nothing here does I/O, looks at a clock
//! or depends on hash order: the same input gives the same plan.
//!
//! * [`wanted`]: the input, one [`WantedService`] per service port
//! * [`step`](Step): the output, one [`Action`] per map write
//! * [`applied`](Applied): the mirror; `space`, `quarantine`, `ranges`, `addresses`, `frontends`, `node` and
//!   `devices` are its parts
//! * [`maglev`]: the tables by which clients outside are balanced, if a frontend says so
//! * [`contents`](MapContents): what was found in pinned maps, and how large they are
//!
//! The order of a plan is what makes it safe at every prefix: backends, slot runs, source ranges, frontends (the swap),
//! the gates that packets meet first, then removals, then the retirement of backends that are no endpoint any more. The
//! gate of a new address opens behind its frontends: an open one says which ports are to be rejected. Slots, records and
//! sets of ranges that a plan gave up are reused or removed only after a grace period, because a packet may have read the
//! old frontend just before the swap.

mod addresses;
mod adopt;
mod applied;
mod cidrs;
mod contents;
mod devices;
mod draft;
mod fill;
mod frontends;
mod install;
mod kept;
pub mod maglev;
mod node;
mod quarantine;
mod ranges;
mod recall;
mod service;
mod space;
mod stage;
mod staged;
mod step;
#[cfg(test)]
mod tests;
pub mod wanted;

pub use applied::Applied;
pub use contents::{Capacity, MapContents};
pub use fill::Fill;
pub use quarantine::GRACE;
pub use step::{Action, Listener, Plan, Problem, ProblemKind, Step};
pub use wanted::{BackendSet, Endpoint, ServicePortName, WantedFrontend, WantedNode, WantedService};
