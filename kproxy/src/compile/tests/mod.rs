//! Objects in, what the data plane shall do out. Endpoints are written on one line each:
//! last byte of the address, node, then any of `ready serving terminating node:NAME zone:NAME`.

#![expect(
    clippy::needless_pass_by_value,
    reason = "rows of tables are literals that nobody needs afterwards"
)]

mod frontends;
mod health;
mod ranges;
mod selection;

use kproxy_common::FrontendFlags;
use serde_json::{Value, json};

use super::*;
use crate::model::samples;

fn place() -> Place {
    Place {
        node: "here".into(),
        zone: Some("a".into()),
        ..Place::default()
    }
}

fn endpoint(line: &str) -> Value {
    let mut words = line.split(' ');
    let (Some(byte), Some(node)) = (words.next(), words.next()) else {
        panic!("{line:?}")
    };
    let words: Vec<&str> = words.collect();
    let hints = |sort: &str| -> Vec<Value> {
        words
            .iter()
            .filter_map(|word| word.strip_prefix(sort))
            .map(|name| json!({ "name": name }))
            .collect()
    };
    json!({
        "addresses": [format!("10.0.0.{byte}")],
        "nodeName": node,
        "conditions": {
            "ready": words.contains(&"ready"),
            "serving": words.contains(&"serving"),
            "terminating": words.contains(&"terminating"),
        },
        "hints": {"forNodes": hints("node:"), "forZones": hints("zone:")},
    })
}

fn slice(name: &str, lines: &[&str]) -> Slice {
    let endpoints: Vec<Value> = lines.iter().map(|line| endpoint(line)).collect();
    samples::slice(json!({"metadata": {"name": name}, "endpoints": endpoints}))
}

fn compile_one(spec: Value, slices: &[Slice], place: &Place) -> WantedService {
    let service = samples::service(spec);
    compile(&service, &service.ports[0], Family::V4, slices, place)
}

/// Addresses' last bytes with ports when they are not 8080.
fn set(endpoints: &[crate::plan::Endpoint]) -> String {
    let names = endpoints.iter().map(|endpoint| {
        let text = endpoint.to_string();
        text.trim_start_matches("10.0.0.")
            .trim_end_matches(":8080")
            .to_owned()
    });
    names.collect::<Vec<_>>().join(" ")
}

/// The flags that say what an empty set does.
fn drops(wanted: &WantedService) -> bool {
    let drop = FrontendFlags::DROP_INSIDE | FrontendFlags::DROP_OUTSIDE;
    let flags = wanted.frontends.values().next().unwrap().flags;
    assert!(
        flags.contains(drop) || !flags.intersects(drop),
        "a ClusterIP treats everybody the same: 3.12"
    );
    flags.contains(drop)
}
