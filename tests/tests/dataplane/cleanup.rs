//! Cleaning up when the kernel does not say what is there, and among things that are not kproxy's.

use std::path::PathBuf;
use std::process::Command;

use aya::maps::{HashMap, MapData};
use kproxy::dataplane::{Dataplane, RemovedReport};
use kproxy_common::maps;

use super::place::Place;

#[test]
fn what_can_not_be_opened_is_not_said_to_be_gone() {
    let place = Place::new();
    drop(place.open());
    // A pin of somebody else's cannot be opened without CAP_DAC_OVERRIDE, not even by root.
    let links = place.version().join("links");
    for pin in [links.join("connect4"), place.map(maps::FLOWS)] {
        std::os::unix::fs::chown(&pin, Some(65_534), None).unwrap();
        let output = Command::new("setpriv")
            .args(["--bounding-set", "-dac_override,-dac_read_search"])
            .arg(kproxy())
            .arg("cleanup")
            .arg("--pin-dir")
            .arg(&place.options.pin_dir)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{text}");
        assert!(
            text.contains(&pin.display().to_string()) && text.contains("Permission denied"),
            "{text}"
        );
        assert!(pin.exists());
        std::os::unix::fs::chown(&pin, Some(0), None).unwrap();
    }
}

/// The agent, beside the folder of this test.
fn kproxy() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("kproxy")
}

#[test]
fn what_is_not_a_link_stays_among_the_links() {
    let place = Place::new();
    drop(place.open());
    let links = place.version().join("links");
    let map = HashMap::<MapData, u32, u64>::create(16, 0).unwrap();
    map.pin(links.join("pod_ingress-1")).unwrap();
    std::fs::create_dir(links.join("directory")).unwrap();
    let link = place.link("connect4");
    link.pin(place.map("link")).unwrap();
    drop(place.open());
    assert_eq!(place.links().len(), 8 + 2);
    let report = Dataplane::remove_all(&place.options.pin_dir).unwrap();
    assert_eq!(
        report,
        RemovedReport {
            links: 8,
            maps: maps::ALL.len()
        }
    );
    assert_eq!(place.links(), ["directory", "pod_ingress-1"]);
    assert!(place.map("link").exists());
}
