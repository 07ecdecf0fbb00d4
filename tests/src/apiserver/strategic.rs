//! Strategic merge patch: a merge patch that merges some lists item by item, with `$`-directives.
//!
//! The algorithm is that of `k8s.io/apimachinery/pkg/util/strategicpatch`, including its rule that service ports
//! are matched by `port` alone, without the protocol.

use serde_json::{Map, Value};

use super::kinds::Merge;

/// Which lists merge, by dotted path.
pub(crate) type Merges = &'static [(&'static str, Merge)];

/// Lists inside `metadata`, alike for all kinds.
const METADATA: Merges = &[
    ("metadata.finalizers", Merge::Union),
    ("metadata.ownerReferences", Merge::By("uid")),
];

const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Merges `patch` into `target`.
pub(crate) fn merge(target: &mut Value, patch: &Value, merges: Merges) -> Result<(), String> {
    merge_value(target, patch, "", merges)
}

fn merge_value(target: &mut Value, patch: &Value, at: &str, merges: Merges) -> Result<(), String> {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    match patch.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            *target = Value::Object(without_directives(patch));
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some(other) => return Err(format!("unknown $patch directive {other:?} at {at:?}")),
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return Ok(());
    };
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        target.retain(|key, _| kept.iter().any(|kept| kept == key));
    }
    for (key, value) in patch {
        if !key.starts_with('$') {
            merge_field(target, key, value, &child(at, key), merges)?;
        }
    }
    for (key, value) in patch {
        let Some(values) = value.as_array() else { continue };
        if let Some(list) = key.strip_prefix(DELETE_FROM_LIST) {
            with_list(target, list, |items| items.retain(|item| !values.contains(item)));
        } else if let Some(list) = key.strip_prefix(ORDER) {
            let strategy = strategy(&child(at, list), merges);
            with_list(target, list, |items| reorder(items, values, strategy));
        }
    }
    Ok(())
}

fn merge_field(
    target: &mut Map<String, Value>,
    key: &str,
    patch: &Value,
    at: &str,
    merges: Merges,
) -> Result<(), String> {
    if patch.is_null() {
        target.remove(key);
        return Ok(());
    }
    let Some(items) = patch.as_array() else {
        return merge_value(target.entry(key).or_insert(Value::Null), patch, at, merges);
    };
    let Some(strategy) = strategy(at, merges) else {
        target.insert(key.to_owned(), patch.clone());
        return Ok(());
    };
    let list = target.entry(key).or_insert_with(|| Value::Array(Vec::new()));
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    let Value::Array(list) = list else { return Ok(()) };
    match strategy {
        Merge::Union => {
            for item in items {
                if !list.contains(item) {
                    list.push(item.clone());
                }
            }
            Ok(())
        }
        Merge::By(merge_key) => merge_items(list, items, merge_key, at, merges),
    }
}

fn merge_items(
    list: &mut Vec<Value>,
    patch: &[Value],
    merge_key: &str,
    at: &str,
    merges: Merges,
) -> Result<(), String> {
    let directive = |item: &Value| item.get("$patch").and_then(Value::as_str).map(str::to_owned);
    if patch
        .iter()
        .any(|item| directive(item).as_deref() == Some("replace"))
    {
        list.clear();
    }
    for item in patch {
        let directive = directive(item);
        if directive.as_deref() == Some("replace") {
            if item.get(merge_key).is_some() {
                list.push(Value::Object(
                    item.as_object().map(without_directives).unwrap_or_default(),
                ));
            }
            continue;
        }
        let Some(wanted) = item.get(merge_key) else {
            return Err(format!(
                "map: {item} does not contain declared merge key: {merge_key}"
            ));
        };
        let same = |candidate: &Value| candidate.get(merge_key) == Some(wanted);
        if directive.as_deref() == Some("delete") {
            list.retain(|candidate| !same(candidate));
        } else if let Some(found) = list.iter_mut().find(|candidate| same(candidate)) {
            merge_value(found, item, at, merges)?;
        } else {
            let mut added = Value::Null;
            merge_value(&mut added, item, at, merges)?;
            list.push(added);
        }
    }
    Ok(())
}

/// Items named by the order come in that order; the others keep their places behind their predecessors, which for
/// the small lists here is as good as at the end.
fn reorder(items: &mut [Value], order: &[Value], strategy: Option<Merge>) {
    items.sort_by_key(|item| {
        let position = order.iter().position(|wanted| match strategy {
            Some(Merge::By(merge_key)) => wanted.get(merge_key) == item.get(merge_key),
            Some(Merge::Union) | None => wanted == item,
        });
        position.unwrap_or(usize::MAX)
    });
}

fn strategy(at: &str, merges: Merges) -> Option<Merge> {
    merges
        .iter()
        .chain(METADATA)
        .find_map(|(known, merge)| (*known == at).then_some(*merge))
}

fn with_list(target: &mut Map<String, Value>, key: &str, work: impl FnOnce(&mut Vec<Value>)) {
    if let Some(Value::Array(items)) = target.get_mut(key) {
        work(items);
    }
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    patch
        .iter()
        .filter(|(key, _)| !key.starts_with('$'))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn child(at: &str, key: &str) -> String {
    if at.is_empty() {
        key.to_owned()
    } else {
        format!("{at}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::kinds::by_path;
    use super::merge;

    /// What a service becomes by a patch.
    fn patched(mut object: Value, patch: &Value) -> Value {
        let services = by_path("", "v1", "services").expect("services are served");
        merge(&mut object, patch, services.merges).expect("patch applies");
        object
    }

    #[test]
    fn lists_merge_by_their_key_and_others_are_replaced() {
        let ports =
            || json!({"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}]}});
        let cases = [
            (
                ports(),
                json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}),
                json!({"spec": {"ports": [{"port": 80, "name": "http", "targetPort": 8080}, {"port": 443, "name": "https"}]}}),
            ),
            (
                ports(),
                json!({"spec": {"ports": [{"port": 80, "$patch": "delete"}]}}),
                json!({"spec": {"ports": [{"port": 443, "name": "https"}]}}),
            ),
            (
                ports(),
                json!({"spec": {"ports": [{"$patch": "replace"}, {"port": 53}]}}),
                json!({"spec": {"ports": [{"port": 53}]}}),
            ),
            (
                ports(),
                json!({"spec": {"$setElementOrder/ports": [{"port": 53}, {"port": 443}, {"port": 80}], "ports": [{"port": 53}]}}),
                json!({"spec": {"ports": [{"port": 53}, {"port": 443, "name": "https"}, {"port": 80, "name": "http"}]}}),
            ),
            (
                json!({"spec": {"externalIPs": ["1.1.1.1"]}}),
                json!({"spec": {"externalIPs": ["2.2.2.2"]}}),
                json!({"spec": {"externalIPs": ["2.2.2.2"]}}),
            ),
            (
                json!({"metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x"]}}),
                json!({"metadata": {"labels": {"a": null, "c": "3"}, "finalizers": ["y"], "$deleteFromPrimitiveList/finalizers": ["x"]}}),
                json!({"metadata": {"labels": {"b": "2", "c": "3"}, "finalizers": ["y"]}}),
            ),
            (
                json!({"spec": {"selector": {"a": "1"}}}),
                json!({"spec": {"selector": {"$patch": "replace", "b": "2"}}}),
                json!({"spec": {"selector": {"b": "2"}}}),
            ),
            (
                json!({"spec": {"a": 1, "b": 2}}),
                json!({"spec": {"$retainKeys": ["a"], "a": 3}}),
                json!({"spec": {"a": 3}}),
            ),
        ];

        for (object, patch, expected) in cases {
            assert_eq!(patched(object, &patch), expected, "{patch}");
        }
    }
}
