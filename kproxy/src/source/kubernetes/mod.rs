//! The Kubernetes API as a source: lists and watches of the four kinds that kproxy reads.
//!
//! [`connect`] makes the client, [`follow`] keeps one kind in sync, [`decode`] turns answers into news object by
//! object, so that one that can not be read does not hide the others, and [`reach`] tells an operator once when the
//! API server stops or starts answering. While it does not, everything stays as it was.
//!
//! kube's own `watcher` is not used: it decodes a whole page or event as one, so that one broken object or line is
//! either lost or takes its neighbours along.

mod connect;
mod decode;
mod follow;
mod reach;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::Client;
use thiserror::Error;
use tokio::sync::mpsc::Sender;
use tokio::task::{JoinError, JoinSet};

use super::Event;
use follow::{Follower, Selection};
use reach::Reach;

pub use connect::{ConnectError, KubernetesOptions, kubernetes_client};

/// A mistake in kproxy: changes of a kind would be missed from now on.
#[derive(Debug, Error)]
#[error("following the API server ended by itself; what is in the kernel stays in force, start kproxy again")]
pub struct FollowingEnded(#[source] Option<JoinError>);

/// Makes the client. The future sends what the API server has, and what changes, until the receiver is gone.
///
/// # Errors
/// The options lead to no usable client. An API server that does not answer is no error: it is waited for.
pub async fn kubernetes(
    options: KubernetesOptions,
    sender: Sender<Event>,
) -> Result<impl Future<Output = Result<(), FollowingEnded>> + Send, ConnectError> {
    let (client, server) = connect::connect(&options).await?;
    let reach = Arc::new(Reach::new(server));
    Ok(follow_all(client, options.node_name, sender, reach))
}

async fn follow_all(
    client: Client,
    node_name: String,
    sender: Sender<Event>,
    reach: Arc<Reach>,
) -> Result<(), FollowingEnded> {
    let mut followers = JoinSet::new();
    // Semantics 1.02 to 1.04. Services of other proxies (1.01) are wanted too: their ClusterIPs are to be left alone.
    let services = Selection {
        fields: Some("spec.clusterIP!=None".into()),
        ..Selection::default()
    };
    let slices = Selection {
        labels: Some("!service.kubernetes.io/headless".into()),
        ..Selection::default()
    };
    let node = Selection {
        fields: Some(format!("metadata.name={node_name}")),
        ..Selection::default()
    };
    // Servers before 1.33 may not have it.
    let service_cidrs = Selection {
        optional: true,
        ..Selection::default()
    };
    followers.spawn(Follower::<Service>::new(&client, services, &sender, &reach).run());
    followers.spawn(Follower::<EndpointSlice>::new(&client, slices, &sender, &reach).run());
    followers.spawn(Follower::<Node>::new(&client, node, &sender, &reach).run());
    followers.spawn(Follower::<ServiceCIDR>::new(&client, service_cidrs, &sender, &reach).run());
    supervise(followers, &sender).await
}

/// Waits until the receiver is gone. Only then followers may end; dropping the set ends those that wait for news.
async fn supervise(mut followers: JoinSet<()>, sender: &Sender<Event>) -> Result<(), FollowingEnded> {
    tokio::select! {
        biased;
        () = sender.closed() => Ok(()),
        ended = followers.join_next() => Err(FollowingEnded(ended.and_then(Result::err))),
    }
}
