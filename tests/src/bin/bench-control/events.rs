//! A cluster's objects from the bytes of the API server to what the index understands.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kproxy::index::Index;
use kproxy::model::{Kind, Parsed};
use kproxy::source::{Change, Event, News};
use kproxy_tests::bench::Cluster;

/// An index that has just seen everything.
pub(crate) fn index(cluster: &Cluster) -> anyhow::Result<Index> {
    let mut index = Index::new(&Cluster::node());
    for kind in Kind::ALL {
        index.apply(Event::now(News::Listing(kind)));
    }
    for [service, slice] in cluster.objects() {
        index.apply(Event::now(parse_service(service.to_string().as_bytes())?));
        index.apply(Event::now(parse_slice(slice.to_string().as_bytes())?));
    }
    for kind in Kind::ALL {
        index.apply(Event::now(News::Listed(kind)));
    }
    Ok(index)
}

fn parse_service(bytes: &[u8]) -> anyhow::Result<News> {
    let service: Service = serde_json::from_slice(bytes)?;
    Ok(News::Service(Change::Applied(Parsed::try_from(service)?)))
}

/// A slice.
pub(crate) fn parse_slice(bytes: &[u8]) -> anyhow::Result<News> {
    let slice: EndpointSlice = serde_json::from_slice(bytes)?;
    Ok(News::Slice(Change::Applied(Parsed::try_from(slice)?)))
}
