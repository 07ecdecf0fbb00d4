//! Apply an object, look at the answer.

#![expect(
    clippy::needless_pass_by_value,
    reason = "rows of tables are literals that nobody needs afterwards"
)]

mod conflicts;
mod events;
mod node;
mod objects;
mod parts;
mod random;

use serde_json::{Value, json};

use super::*;
use crate::model::{Parsed, samples};
use crate::source::{Change, Event, News};

/// An index whose lists are complete and empty.
fn synced() -> Index {
    synced_with(Rules::default())
}

fn synced_with(rules: Rules) -> Index {
    let mut index = Index::with_rules("here", rules);
    for kind in Kind::ALL {
        index.apply(Event::now(News::Listing(kind)));
        index.apply(Event::now(News::Listed(kind)));
    }
    assert!(index.synced());
    index
}

fn put_service(index: &mut Index, name: &str, spec: Value) {
    put_object(index, name, json!({ "spec": spec }));
}

/// The same with everything that the object has beside its spec.
fn put_object(index: &mut Index, name: &str, fields: Value) {
    let mut object = json!({"metadata": {"name": name}});
    json_patch::merge(&mut object, &fields);
    let parsed = samples::parse_service_object(object).unwrap();
    index.apply(Event::now(News::Service(Change::Applied(parsed))));
}

fn put_aged_service(index: &mut Index, name: &str, created: i64) {
    put_object(
        index,
        name,
        json!({"metadata": {"creationTimestamp": age(created)}}),
    );
}

fn age(created: i64) -> String {
    Timestamp::from_second(created).unwrap().to_string()
}

fn remove_service(index: &mut Index, name: &str) {
    index.apply(Event::now(News::Service(Change::Removed(ObjectName::new(
        "default", name,
    )))));
}

fn put_slice(index: &mut Index, fields: Value) {
    let parsed = samples::parse_slice(fields).unwrap();
    index.apply(Event::now(News::Slice(Change::Applied(parsed))));
}

fn remove_slice(index: &mut Index, name: &str) {
    index.apply(Event::now(News::Slice(Change::Removed(ObjectName::new(
        "default", name,
    )))));
}

fn endpoints(addresses: &[&str]) -> Value {
    addresses
        .iter()
        .map(|address| json!({"addresses": [address]}))
        .collect()
}

/// The changes as lines: `+web: 10.0.0.1:8080` or `-web`.
fn changes(index: &mut Index) -> Vec<String> {
    let lines = index.take_changes().into_iter().map(|(name, wanted)| {
        let port = if name.port.is_empty() {
            name.name.to_string()
        } else {
            format!("{}:{}", name.name, name.port)
        };
        match wanted {
            None => format!("-{port}"),
            Some(wanted) => {
                let backends: Vec<_> = wanted.cluster.iter().map(ToString::to_string).collect();
                format!("+{port}: {}", backends.join(" ")).trim_end().to_owned()
            }
        }
    });
    lines.collect()
}

/// The frontends of the changes: `+web: 10.96.0.1:80/TCP 0.0.0.0:30080/TCP`.
fn frontends(index: &mut Index) -> Vec<String> {
    let lines = index.take_changes().into_iter().map(|(name, wanted)| {
        let Some(wanted) = wanted else {
            return format!("-{}", name.name);
        };
        let keys = wanted.frontends.keys();
        let keys = keys.map(|key| format!(" {}:{}/{}", key.address, key.port, key.protocol));
        format!("+{}:{}", name.name, keys.collect::<String>())
    });
    lines.collect()
}

fn problems(index: &mut Index) -> Vec<String> {
    index.take_problems().iter().map(ToString::to_string).collect()
}
