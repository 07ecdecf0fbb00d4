//! Daemon sets: nothing starts their pods here, but what could not be stored elsewhere is not stored here.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::super::status::Cause;
use super::super::store::Contents;
use super::Strategy;

impl Strategy for DaemonSet {
    fn prepare(&mut self, old: Option<&Self>, _contents: &Contents) -> Vec<Cause> {
        self.status.get_or_insert_default();
        let Some(spec) = &self.spec else {
            return vec![Cause::required("spec", "")];
        };
        let mut causes = Vec::new();
        let metadata = spec.template.metadata.clone().unwrap_or_default();
        if !selects(&spec.selector, &metadata.labels.unwrap_or_default()) {
            causes.push(Cause::invalid(
                "spec.template.metadata.labels",
                &spec.selector.match_labels,
                "`selector` does not match template `labels`",
            ));
        }
        let before = old
            .and_then(|old| old.spec.as_ref())
            .map(|before| &before.selector);
        if before.is_some_and(|before| *before != spec.selector) {
            causes.push(Cause::invalid(
                "spec.selector",
                &spec.selector,
                "field is immutable",
            ));
        }
        let pod = spec.template.spec.clone().unwrap_or_default();
        if pod.containers.is_empty() {
            causes.push(Cause::required("spec.template.spec.containers", ""));
        }
        for (index, container) in pod.containers.iter().enumerate() {
            for (at, mount) in container.volume_mounts.iter().flatten().enumerate() {
                let known = pod
                    .volumes
                    .iter()
                    .flatten()
                    .any(|volume| volume.name == mount.name);
                if !known {
                    causes.push(Cause::not_found(
                        format!("spec.template.spec.containers[{index}].volumeMounts[{at}].name"),
                        &mount.name,
                    ));
                }
            }
        }
        causes
    }
}

/// An empty selector would select every pod there is; a real server refuses it for that.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let wanted = selector.match_labels.clone().unwrap_or_default();
    !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
