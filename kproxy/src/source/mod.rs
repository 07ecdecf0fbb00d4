//! Where cluster objects come from: the Kubernetes API, or a directory of manifests.
//!
//! A source is opened, which says what is wrong with its options, and then is a future that sends [`Event`]s into a bounded channel until the receiver is gone. It parses objects
//! (see [`crate::model`]) and remembers as little as it can; what the objects add up to is the index's business.

mod event;
mod kind;
mod kubernetes;
mod manifests;

pub use event::{Change, Event, News};
pub use kubernetes::{ConnectError, FollowingEnded, KubernetesOptions, kubernetes, kubernetes_client};
pub use manifests::{ManifestsError, Snapshot, manifests, read_manifests};
