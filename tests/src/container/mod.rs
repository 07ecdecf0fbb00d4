//! Containers as Kubernetes runs them, as far as a kproxy has to get along with them: a root file system that holds one
//! program, mounts, capabilities, no new privileges. Network and process ids are the node's.
//!
//! * [`Container`] says what is wanted
//! * [`kubelet`] makes that of a daemon set in an API server
//! * [`enter`] changes a process into it, by the program `contain`
//! * [`image`] is where the program comes from
//!
//! Not here, because it takes a container runtime: seccomp and `AppArmor` profiles.

pub mod enter;
pub mod image;
pub mod kubelet;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a container consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The program, which must need nothing but itself; it is the only thing in the image.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// What it sees of the node.
    pub mounts: Vec<Mount>,
    /// Whether it may change nothing outside of its mounts.
    pub read_only_root: bool,
    /// Whether programs it starts get no privileges that it has not.
    pub no_new_privileges: bool,
    /// Names of its capabilities, without `CAP_`; it can not get others.
    pub capabilities: BTreeSet<String>,
}

/// A directory of the node in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// On the node.
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
    /// Whether nothing can be changed through it.
    pub read_only: bool,
    /// Whether what the node mounts inside of it later is there as well (`HostToContainer`).
    pub follows: bool,
}

/// Where the program is in every image of ours.
pub const PROGRAM: &str = "/kproxy";
