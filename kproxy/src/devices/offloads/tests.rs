//! The kernel's answers about a cable, in a network namespace that ends with the test's thread. Needs root.

use std::process::Command;
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::devices::classify::Tag;

fn run(program: &str, arguments: &str) {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("run {program}: {error}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {words}");
}

/// The next device that is told to have changed.
async fn changed(changes: &mut Changes) -> u32 {
    let told = async {
        loop {
            match changes.next().await.expect("a socket") {
                Told::Features(index) => return index,
                Told::Nothing => {}
                Told::News(_) | Told::Lost => panic!("nothing of that kind"),
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await;
    told.expect("a change is told")
}

async fn follow_a_cable() {
    run("ip", "link add name near type veth peer name far");
    let index = if_nametoindex("near").expect("an interface index");
    let offloads = Offloads::find();
    let mut tasks = JoinSet::new();
    let mut changes = offloads.subscribe(&mut tasks).expect("a socket");
    let untags = |tags: &[Tag]| {
        let tags = tags.iter().copied().collect();
        vec![Message::Untags { index, tags }]
    };
    let ask = || offloads.ask([index].into());
    assert_eq!(
        ask().await,
        untags(&[Tag::Customer, Tag::Service]),
        "as it is made"
    );
    let rows = [
        ("rxvlan off", untags(&[Tag::Service])),
        ("rx-vlan-stag-hw-parse off", untags(&[])),
        ("rxvlan on", untags(&[Tag::Customer])),
    ];
    for (feature, expected) in rows {
        run("ethtool", &format!("-K near {feature}"));
        assert_eq!(changed(&mut changes).await, index, "{feature}");
        assert_eq!(ask().await, expected, "{feature}");
    }
    run("ip", "link del near");
    assert_eq!(ask().await, [], "it is gone");
}

#[test]
fn a_driver_says_which_tags_it_takes_off() {
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace (needs root)");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(follow_a_cable());
    });
    thread.join().expect("the test passes");
}
