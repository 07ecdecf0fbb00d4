//! Who is who: which addresses are the node's and its pods', and so which door a sender uses and what kind of client
//! it is.

use std::collections::BTreeSet;

use kproxy_common::Address;

use super::answer::ClientKind;
use super::question::Via;
use crate::config::LocalDetector;

/// What is known of the addresses around a node.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The node's own.
    pub node: BTreeSet<Address>,
    /// Those of endpoints on this node.
    pub pods: BTreeSet<Address>,
    /// How local traffic is told apart.
    pub detector: LocalDetector,
}

impl Surroundings {
    /// The door that a sender uses who does not say.
    pub(super) fn usual_door(&self, sender: Address, device: Option<&str>) -> Via {
        if self.is_node(sender) {
            Via::Socket
        } else if self.pods.contains(&sender) || self.detector.recognises(sender, device) {
            Via::Pod
        } else {
            Via::Uplink
        }
    }

    /// What a sender is to traffic policies. A process of this node that is not the node's own is a pod's.
    pub(super) fn client(&self, sender: Address, via: Via, device: Option<&str>) -> ClientKind {
        if self.is_node(sender) {
            return ClientKind::Node;
        }
        match via {
            Via::Socket | Via::Pod => ClientKind::Pod,
            Via::Uplink if self.detector.recognises(sender, device) => ClientKind::Pod,
            Via::Uplink => ClientKind::External,
        }
    }

    fn is_node(&self, sender: Address) -> bool {
        sender.is_loopback() || self.node.contains(&sender)
    }
}
