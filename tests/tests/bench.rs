//! The benchmark at its smallest: every contender delivers, and what is written can be read. No figure is looked at.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use kproxy_tests::cluster::process::binary;
use serde_json::Value;

/// What every contender, or program, is measured by.
const MEASURED: [(&str, &[&str]); 7] = [
    ("connections", INSIDE),
    ("request-p50", INSIDE),
    ("packets", OUTSIDE),
    ("throughput", OUTSIDE),
    ("change", CONTROL),
    ("everything", CONTROL),
    ("packet-cost", &["XDP: established", "established", "new flow"]),
];
const INSIDE: &[&str] = &[
    "direct",
    "iptables",
    "kproxy pod door",
    "kproxy socket",
    "nftables",
];
const OUTSIDE: &[&str] = &["direct", "iptables", "kproxy TC", "kproxy XDP", "nftables"];
const CONTROL: &[&str] = &["iptables", "kproxy", "nftables"];

#[test]
fn every_contender_delivers() {
    let folder = tempfile::tempdir().unwrap();
    let program = binary("bench", "KPROXY_BENCH", "kproxy-tests").unwrap();

    let output = Command::new(program)
        .args(["--smoke", "--output"])
        .arg(folder.path())
        .output()
        .unwrap();

    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let text = fs::read_to_string(folder.path().join("results.json")).unwrap();
    let results: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(results["left_out"], Value::Array(Vec::new()), "{words}");
    for (metric, names) in MEASURED {
        let measured = results["measured"].as_array().unwrap().iter();
        let found: BTreeSet<_> = measured
            .filter(|it| it["metric"] == metric && it["median"].as_f64() > Some(0.0))
            .filter_map(|it| it["name"].as_str())
            .collect();
        let missing: Vec<_> = names.iter().filter(|name| !found.contains(**name)).collect();
        assert!(missing.is_empty(), "{metric}: no {missing:?} in {found:?}");
    }
    let bounds = results["bounds"].as_array().unwrap();
    assert!(
        bounds.iter().all(|it| it["verdict"] == "not-measured"),
        "{bounds:?}"
    );
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<svg"));
    assert!(
        !page.contains("src=") && !page.contains("href="),
        "it fetches something"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("holds?"));
}
