//! What a user may do: role-based access control by cluster roles and their bindings, and a record of what was done.
//!
//! The rules are those of `plugin/pkg/auth/authorizer/rbac` in Kubernetes; roles of a single namespace are not served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Subject};
use serde::de::DeserializeOwned;

use super::identity::{ADMINISTRATORS, User};
use super::status::Status;
use super::store::Contents;

/// Something one may do with a kind of object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// API group of the kind, empty for the core group.
    pub group: String,
    /// Plural name of the kind, with `/status` or `/token` where that was asked for.
    pub resource: String,
    /// `list`, `watch`, `create` and so on.
    pub verb: String,
}

/// What a request wants.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) permission: Permission,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

/// What each user has used of what it may do.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// A lock: requests write while a test reads.
    by_user: Mutex<BTreeMap<String, BTreeSet<Permission>>>,
}

impl Record {
    /// What a user has done so far.
    pub(crate) fn of(&self, user: &str) -> BTreeSet<Permission> {
        self.lock().get(user).cloned().unwrap_or_default()
    }

    fn add(&self, user: &str, permission: Permission) {
        self.lock().entry(user.to_owned()).or_default().insert(permission);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<Permission>>> {
        self.by_user
            .lock()
            .expect("nothing panics while it holds the record")
    }
}

/// Refuses what the user may not do, and records what it may and does.
pub(crate) fn authorize(
    contents: &Contents,
    record: &Record,
    user: &User,
    wish: Wish<'_>,
) -> Result<(), Status> {
    if user.groups.iter().any(|group| group == ADMINISTRATORS) {
        return Ok(());
    }
    if !rules_of(contents, user).any(|rule| allows(&rule, &wish)) {
        return Err(refusal(user, &wish));
    }
    record.add(&user.name, wish.permission);
    Ok(())
}

fn rules_of(contents: &Contents, user: &User) -> impl Iterator<Item = PolicyRule> {
    let roles: BTreeSet<_> = all::<ClusterRoleBinding>(contents, "clusterrolebindings")
        .filter(|binding| {
            let mut subjects = binding.subjects.iter().flatten();
            subjects.any(|subject| is(subject, user))
        })
        .map(|binding| binding.role_ref.name)
        .collect();
    all::<ClusterRole>(contents, "clusterroles")
        .filter(move |role| {
            role.metadata
                .name
                .as_ref()
                .is_some_and(|name| roles.contains(name))
        })
        .flat_map(|role| role.rules.unwrap_or_default())
}

fn all<T: DeserializeOwned>(contents: &Contents, resource: &'static str) -> impl Iterator<Item = T> {
    contents
        .list(resource, None)
        .filter_map(|(_, object)| serde_json::from_value(object.value.clone()).ok())
}

fn is(subject: &Subject, user: &User) -> bool {
    let name = &subject.name;
    match subject.kind.as_str() {
        "User" => *name == user.name,
        "Group" => user.groups.contains(name),
        "ServiceAccount" => {
            let namespace = subject.namespace.as_deref().unwrap_or_default();
            user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => false,
    }
}

fn allows(rule: &PolicyRule, wish: &Wish<'_>) -> bool {
    let Permission {
        group,
        resource,
        verb,
    } = &wish.permission;
    let has = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let names = list(&rule.resource_names);
    has(&rule.verbs, verb)
        && has(&list(&rule.api_groups), group)
        && has(&list(&rule.resources), resource)
        && (names.is_empty()
            || wish
                .name
                .is_some_and(|name| names.iter().any(|known| known == name)))
}

/// The words of `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters`.
fn refusal(user: &User, wish: &Wish<'_>) -> Status {
    let Permission {
        group,
        resource,
        verb,
    } = &wish.permission;
    let full = match group.as_str() {
        "" => resource.clone(),
        group => format!("{resource}.{group}"),
    };
    let name = wish.name.map(|name| format!(" {name:?}")).unwrap_or_default();
    let place = match wish.namespace {
        Some(namespace) => format!("in the namespace {namespace:?}"),
        None => "at the cluster scope".to_owned(),
    };
    let user = &user.name;
    let message = format!(
        "{full}{name} is forbidden: User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {place}"
    );
    Status::new(403, "Forbidden", message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Permission, PolicyRule, Wish, allows};

    #[test]
    fn a_rule_allows_what_it_names_and_nothing_else() {
        let services = json!({"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]});
        let one =
            json!({"apiGroups": [""], "resources": ["services"], "verbs": ["get"], "resourceNames": ["web"]});
        let everything = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
        let rows: [(&Value, [&str; 3], Option<&str>, bool); 9] = [
            (&services, ["", "services", "list"], None, true),
            (&services, ["", "services", "create"], None, false),
            (&services, ["", "services/status", "list"], None, false),
            (&services, ["", "nodes", "list"], None, false),
            (&services, ["apps", "services", "list"], None, false),
            (&one, ["", "services", "get"], Some("web"), true),
            (&one, ["", "services", "get"], Some("dns"), false),
            (&one, ["", "services", "get"], None, false),
            (&everything, ["apps", "daemonsets", "patch"], Some("kproxy"), true),
        ];
        for (rule, [group, resource, verb], name, expected) in rows {
            let parsed: PolicyRule = serde_json::from_value(rule.clone()).expect("a rule");
            let [group, resource, verb] = [group, resource, verb].map(str::to_owned);
            let permission = Permission {
                group,
                resource,
                verb,
            };
            let text = format!("{rule}: {permission:?} {name:?}");
            let wish = Wish {
                permission,
                namespace: None,
                name,
            };
            assert_eq!(allows(&parsed, &wish), expected, "{text}");
        }
    }
}
