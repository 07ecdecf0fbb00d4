//! The device follower against the kernel, in network namespaces that end with the test's thread. Needs root.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kproxy::devices::{Addresses, Change, Event, Rules, follow};
use kproxy_common::Address;
use nix::sched::{CloneFlags, unshare};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::watch;

/// Runs `ip` in the namespace of this thread, one command a line.
fn ip(commands: &str) {
    for line in commands.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let output = Command::new("ip")
            .args(line.split_whitespace())
            .output()
            .expect("run ip");
        assert!(
            output.status.success(),
            "ip {line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

struct Followed {
    events: Receiver<Event>,
    addresses: watch::Receiver<Option<Addresses>>,
}

impl Followed {
    async fn next(&mut self) -> String {
        match tokio::time::timeout(Duration::from_secs(30), self.events.recv()).await {
            Ok(Some(Event::Changed(Change::Attached { device, door }))) => {
                format!("+ {} {door:?}", device.name)
            }
            Ok(Some(Event::Changed(Change::Detached { device, door }))) => {
                format!("- {} {door:?}", device.name)
            }
            Ok(Some(Event::Listed)) => "listed".into(),
            Ok(None) => "the follower ended".into(),
            Err(_) => "nothing happened".into(),
        }
    }

    /// Runs a command and waits until exactly these addresses are bound.
    async fn expect_bound(&mut self, commands: &str, expected: &str) {
        let expected: BTreeSet<Address> = expected.split(' ').map(address).collect();
        ip(commands);
        let bound = self
            .addresses
            .wait_for(|here| here.as_ref().is_some_and(|here| here.bound == expected));
        let bound = tokio::time::timeout(Duration::from_secs(30), bound).await;
        let bound = bound.map(|here| here.expect("the follower runs").clone());
        let bound = bound.map(|here| here.map(|here| here.bound));
        assert_eq!(bound, Ok(Some(expected)), "after {commands}");
    }

    async fn expect(&mut self, commands: &str, expected: &[&str]) {
        ip(commands);
        for expected in expected {
            assert_eq!(self.next().await, *expected, "after {commands}");
        }
    }
}

/// A second namespace that lives as long as the child that holds it.
struct Elsewhere(Child);

impl Elsewhere {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command
            .args(["--net", "sh", "-c", "echo; exec sleep 60"])
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("run unshare");
        let mut line = [0];
        child
            .stdout
            .take()
            .expect("stdout")
            .read_exact(&mut line)
            .expect("namespace is ready");
        Self(child)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn in_a_namespace(test: impl AsyncFnOnce(u32) + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace (needs root)");
        let elsewhere = Elsewhere::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(test(elsewhere.0.id()));
    });
    thread.join().expect("the test passes");
}

async fn start(rules: Rules) -> Followed {
    let (sender, receiver) = channel(64);
    let (address_sender, addresses) = watch::channel(None);
    tokio::spawn(follow(rules, sender, address_sender));
    // Let the follower run to the end of its listing.
    tokio::task::yield_now().await;
    Followed {
        events: receiver,
        addresses,
    }
}

#[test]
fn doors_open_and_close_with_their_devices() {
    in_a_namespace(async |elsewhere| {
        ip(&format!(
            "link add old type veth peer name eth0 netns {elsewhere}\nlink set old up"
        ));
        let mut followed = start(Rules::default()).await;
        assert_eq!(followed.next().await, "+ old Pod");
        assert_eq!(followed.next().await, "listed");

        // The way most CNIs do it, then the way that moves one end later, then into a bridge.
        let there = format!("link add there type veth peer name there0 netns {elsewhere}\nlink set there up");
        followed.expect(&there, &["+ there Pod"]).await;
        let moved = format!("link add moved type veth peer name moved0\nlink set moved0 netns {elsewhere}");
        followed.expect(&moved, &["+ moved Pod"]).await;
        followed
            .expect("link set old name new\nlink del new", &["- new Pod"])
            .await;
        let again = format!("link add new type veth peer name eth0 netns {elsewhere}\nlink set new up");
        followed.expect(&again, &["+ new Pod"]).await;
        followed
            .expect(
                "link add cni0 type bridge\nlink set moved master cni0\nlink set moved nomaster",
                &[],
            )
            .await;
        followed
            .expect(&format!("link set moved netns {elsewhere}"), &["- moved Pod"])
            .await;

        followed
            .expect(
                "addr add 192.0.2.2/24 dev there",
                &["- there Pod", "+ there Uplink"],
            )
            .await;
        followed
            .expect(
                "addr del 192.0.2.2/24 dev there",
                &["- there Uplink", "+ there Pod"],
            )
            .await;
        followed.expect("addr add 192.0.2.2/32 dev there", &[]).await;
        followed
            .expect("route add default dev there", &["- there Pod", "+ there Uplink"])
            .await;
        followed
            .expect(
                "link add tap0 type veth peer name tap1\nlink set tap0 up\naddr add 10.9.9.9/24 dev cni0",
                &["+ cni0 Uplink"],
            )
            .await;
    });
}

fn address(text: &str) -> Address {
    text.parse::<IpAddr>().expect("an address").into()
}

#[test]
fn addresses_are_followed_in_both_families() {
    in_a_namespace(async |_| {
        ip("link set lo up\nlink add one type veth peer name two\naddr add 192.0.2.1/24 dev one");
        ip("link set one addrgenmode none\nlink set two addrgenmode none\nlink set one up\nlink set two up");
        let mut followed = start(Rules::default()).await;
        let first = "127.0.0.1 ::1 192.0.2.1";
        followed.expect_bound("addr show", first).await;
        let rows = [
            (
                "3.22 a secondary address",
                "addr add 192.0.2.7/24 dev one",
                "127.0.0.1 ::1 192.0.2.1 192.0.2.7",
            ),
            (
                "IPv6",
                "addr add 2001:db8::1/64 dev two nodad",
                "127.0.0.1 ::1 192.0.2.1 192.0.2.7 2001:db8::1",
            ),
            (
                "the same address elsewhere",
                "addr add 192.0.2.7/32 dev two\naddr del 192.0.2.7/24 dev one",
                "127.0.0.1 ::1 192.0.2.1 192.0.2.7 2001:db8::1",
            ),
            (
                "gone",
                "addr del 192.0.2.7/32 dev two",
                "127.0.0.1 ::1 192.0.2.1 2001:db8::1",
            ),
            ("gone with its device", "link del one", "127.0.0.1 ::1"),
        ];
        for (_, commands, expected) in rows {
            followed.expect_bound(commands, expected).await;
        }
    });
}

#[test]
fn lost_events_are_made_good_by_a_listing() {
    in_a_namespace(async |elsewhere| {
        let mut followed = start(Rules::parse(&["pod*".into()], &[]).expect("rules")).await;
        assert_eq!(followed.next().await, "listed");
        // The runtime has one thread: nothing is read meanwhile, and the queue overflows.
        let mut commands =
            format!("link add pod0 type veth peer name eth0 netns {elsewhere}\nlink add other type bridge\n");
        commands.extend((0..4000).map(|round| {
            format!(
                "link set other mtu {}
",
                1400 + round % 2
            )
        }));
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), commands).expect("write");
        ip(&format!("-batch {}", file.path().display()));
        ip("link del pod0");
        ip(&format!(
            "link add pod1 type veth peer name eth0 netns {elsewhere}"
        ));
        // Had nothing been lost, pod0 would be told first.
        assert_eq!(followed.next().await, "+ pod1 Pod");
        assert_eq!(followed.next().await, "listed");
        followed.expect("link del pod1", &["- pod1 Pod"]).await;
    });
}
