//! Roles and who has them. Whoever writes them may give away more than they have: only the administrator writes.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};

use super::super::status::Cause;
use super::super::store::Contents;
use super::Strategy;

impl Strategy for ClusterRole {
    fn prepare(&mut self, _old: Option<&Self>, _contents: &Contents) -> Vec<Cause> {
        let rules = self.rules.iter().flatten().enumerate();
        rules
            .filter(|(_, rule)| rule.verbs.is_empty())
            .map(|(index, _)| {
                Cause::required(
                    format!("rules[{index}].verbs"),
                    "verbs must contain at least one value",
                )
            })
            .collect()
    }
}

impl Strategy for ClusterRoleBinding {
    fn prepare(&mut self, old: Option<&Self>, _contents: &Contents) -> Vec<Cause> {
        if old.is_some_and(|old| old.role_ref != self.role_ref) {
            return vec![Cause::invalid("roleRef", &self.role_ref, "cannot change roleRef")];
        }
        Vec::new()
    }
}
