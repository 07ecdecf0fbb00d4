//! The agent against an API server, with real pods: nothing that a service's owner does may cost a request.

mod changes;
mod cost;
mod disruptions;
mod observe;
mod quiet;
mod stage;
mod udp;
