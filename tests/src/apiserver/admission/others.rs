//! Kinds that tests need, but little about their rules: nodes, namespaces, pods, events, configuration.

use k8s_openapi::api::core::v1::{ConfigMap, Event as CoreEvent, Namespace, Node, Pod, ServiceAccount};
use k8s_openapi::api::events::v1::Event;

use super::super::status::Cause;
use super::super::store::Contents;
use super::Strategy;

impl Strategy for Node {
    fn prepare(&mut self, old: Option<&Self>, _contents: &Contents) -> Vec<Cause> {
        let cidrs = |node: &Self| {
            node.spec
                .as_ref()
                .and_then(|spec| spec.pod_cidrs.clone())
                .unwrap_or_default()
        };
        let spec = self.spec.get_or_insert_default();
        // The two fields mirror each other.
        if let Some(first) = spec.pod_cidr.clone() {
            spec.pod_cidrs.get_or_insert_with(|| vec![first]);
        } else {
            spec.pod_cidr = spec.pod_cidrs.as_ref().and_then(|cidrs| cidrs.first().cloned());
        }
        let before = old.map(cidrs).unwrap_or_default();
        if !before.is_empty() && before != cidrs(self) {
            let detail = "node updates may not change podCIDR except from \"\" to valid";
            return vec![Cause::forbidden("spec.podCIDRs", detail)];
        }
        Vec::new()
    }
}

impl Strategy for Namespace {
    fn prepare(&mut self, _old: Option<&Self>, _contents: &Contents) -> Vec<Cause> {
        let name = self.metadata.name.clone().unwrap_or_default();
        let labels = self.metadata.labels.get_or_insert_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), name);
        self.status
            .get_or_insert_default()
            .phase
            .get_or_insert_with(|| "Active".to_owned());
        Vec::new()
    }
}

impl Strategy for Pod {
    fn prepare(&mut self, _old: Option<&Self>, _contents: &Contents) -> Vec<Cause> {
        self.status
            .get_or_insert_default()
            .phase
            .get_or_insert_with(|| "Pending".to_owned());
        Vec::new()
    }
}

impl Strategy for Event {
    fn prepare(&mut self, _old: Option<&Self>, _contents: &Contents) -> Vec<Cause> {
        Vec::new()
    }
}

impl Strategy for CoreEvent {
    fn prepare(&mut self, _old: Option<&Self>, _contents: &Contents) -> Vec<Cause> {
        let regarding = self.involved_object.namespace.as_deref().unwrap_or("default");
        let namespace = self.metadata.namespace.as_deref().unwrap_or("default");
        if regarding == namespace {
            return Vec::new();
        }
        vec![Cause::invalid(
            "involvedObject.namespace",
            &regarding,
            "does not match event.namespace",
        )]
    }
}

impl Strategy for ConfigMap {
    fn prepare(&mut self, _old: Option<&Self>, _contents: &Contents) -> Vec<Cause> {
        Vec::new()
    }
}

impl Strategy for ServiceAccount {
    fn prepare(&mut self, _old: Option<&Self>, _contents: &Contents) -> Vec<Cause> {
        Vec::new()
    }
}
