//! kproxy as a cluster runs it: the manifests of `deploy/` in an API server, and on a node what they describe, with that
//! account, those rights, capabilities and mounts, and nothing else.

mod cleanup;
mod image;
mod privileges;
mod probes;
mod rights;
mod sockets;
mod stage;
