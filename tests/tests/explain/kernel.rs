//! Answers from pinned maps, with the loaded programs where packets come in, are those that the manifests give on paper.

use std::collections::BTreeMap;

use kproxy::cli::RunArgs;
use kproxy::config::{self, LocalDetector};
use kproxy::dataplane::{Dataplane, MapFill, Pinned};
use kproxy::explain::{Answer, LiveExplainer, Paper, Question, Verdict, Via, live};
use kproxy::model::{parse_address, parse_cidr};
use kproxy_tests::acceptance::kernel::network::NO_CONTEXT;
use kproxy_tests::acceptance::kernel::place::Place;
use kproxy_tests::acceptance::kernel::programs::Programs;
use kproxy_tests::acceptance::simulation::Hook;
use kproxy_tests::cluster::ip::batch;
use kproxy_tests::host::Frame;
use kproxy_tests::host::frame::{Tcp, Transport};

/// Every kind of frontend and policy, endpoints on both sides, a service without any, affinity, source ranges.
const MANIFESTS: &str = include_str!("manifests.yaml");

struct Node {
    dataplane: Dataplane,
    paper: Paper,
    place: Place,
    _folder: tempfile::TempDir,
}

impl Node {
    /// A node in a network of its own, which ends with this thread: what comes in by an uplink depends on its routes.
    fn new() -> Self {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let lines = [
            "link set lo up",
            "link add eth0 type veth peer name eth1",
            "link set eth1 up",
            "link set eth0 up",
            "address add 192.0.2.1/24 dev eth0",
            "address add 2001:db8::1/64 dev eth0 nodad",
            "route add default via 192.0.2.254",
            "route add default via 2001:db8::fe",
        ];
        batch(None, &lines.map(str::to_owned)).unwrap();
        for switch in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{switch}"), "1").unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("all.yaml"), MANIFESTS).unwrap();
        let arguments = RunArgs {
            hostname_override: Some("here".into()),
            ..RunArgs::default()
        };
        let addresses = ["192.0.2.1", "192.0.2.9", "2001:db8::1"];
        let paper = Paper {
            manifests: folder.path().to_owned(),
            node_addresses: addresses
                .iter()
                .map(|text| parse_address(text).unwrap())
                .collect(),
            config: config::Config {
                detector: detector(),
                ..config::load(&arguments).unwrap().config
            },
        };
        let worked = paper.work_out().unwrap();
        assert_eq!(worked.problems, Vec::<String>::new());
        let mut place = Place::new().unwrap();
        place.options.settings.loopback_node_ports = worked.settings.loopback_node_ports;
        let (mut dataplane, _) = Dataplane::open(&place.options).unwrap();
        for plan in &worked.plans {
            dataplane.apply(plan).unwrap();
        }
        Self {
            dataplane,
            paper,
            place,
            _folder: folder,
        }
    }

    fn pinned(&self) -> Pinned {
        Pinned::open(&self.place.options.pin_dir).unwrap()
    }

    fn live(&self) -> LiveExplainer {
        live(&self.pinned(), detector()).unwrap()
    }

    /// What every map holds, and every counter: what a question must not change.
    fn traces(&self) -> (Vec<MapFill>, BTreeMap<String, u64>) {
        let contents = self.dataplane.contents().unwrap();
        let counters = self.dataplane.counters().unwrap().into_iter();
        let counters =
            counters.map(|(door, counter, count)| (format!("{} {}", door.name(), counter.name()), count));
        (self.pinned().fill(&contents).unwrap(), counters.collect())
    }
}

fn detector() -> LocalDetector {
    LocalDetector::of_cidrs(&[parse_cidr("10.1.0.0/16").unwrap()])
}

fn question(from: &str, to: &str, via: Via) -> Question {
    Question::new(from.parse().unwrap(), to.parse().unwrap(), Some(via)).unwrap()
}

/// All but what chance decides.
fn without_chance(mut answer: Answer) -> Answer {
    answer.chosen = None;
    answer.steps.clear();
    if answer.candidates.len() > 1 {
        answer.source = kproxy::explain::SourceAddress::Kept;
    }
    answer
}

#[test]
fn live_answers_are_those_on_paper_and_leave_no_trace() {
    let node = Node::new();
    let (live, paper) = (node.live(), node.paper.work_out().unwrap().explainer());
    let before = node.traces();
    let targets = [
        "10.96.0.1:80/TCP",
        "10.96.0.1:53/UDP",
        "10.96.0.1:132/SCTP",
        "10.96.0.1:81/TCP",
        "10.96.0.1:80/UDP",
        "10.96.0.2:80/TCP",
        "10.96.0.3:80/TCP",
        "10.96.0.4:80/TCP",
        "10.96.0.5:80/TCP",
        "10.96.0.99:80/TCP",
        "192.0.2.1:30080/TCP",
        "192.0.2.1:30081/TCP",
        "192.0.2.9:30080/TCP",
        "127.0.0.1:30080/TCP",
        "203.0.113.1:80/TCP",
        "203.0.113.1:443/TCP",
        "203.0.113.2:80/TCP",
        "198.51.100.1:80/TCP",
    ];
    let senders = [
        "10.1.0.100",
        "10.1.0.6",
        "10.1.0.100:4711",
        "192.0.2.1",
        "198.51.100.7",
    ];
    let mut verdicts = BTreeMap::<String, u32>::new();
    let mut compare = |from: &str, to: &str, via| {
        let question = question(from, to, via);
        let (seen, expected) = (
            live.explain(&question).unwrap(),
            paper.explain(&question).unwrap(),
        );
        assert!(
            seen.chosen
                .as_ref()
                .is_none_or(|chosen| seen.candidates.contains(chosen)),
            "{from} > {to} by {via}: {seen}"
        );
        assert!(!seen.to_string().contains("something else"), "{seen}");
        *verdicts.entry(seen.verdict.to_string()).or_default() += 1;
        assert_eq!(
            without_chance(seen),
            without_chance(expected),
            "{from} > {to} by {via}"
        );
    };
    for via in [Via::Pod, Via::Socket, Via::Uplink] {
        for from in senders {
            for to in targets {
                compare(from, to, via);
            }
        }
        for to in [
            "[fd00:96::1]:80/TCP",
            "[fd00:96::1]:81/UDP",
            "[2001:db8::1]:30080/TCP",
            "[::1]:30080/TCP",
        ] {
            compare("fd00:1::100", to, via);
            compare("2001:db8::1", to, via);
        }
    }
    // The questions have met every outcome.
    assert_eq!(
        verdicts.keys().map(String::as_str).collect::<Vec<_>>(),
        ["drop", "forward", "pass", "reject"]
    );
    assert_eq!(node.traces(), before);
}

#[test]
fn open_connections_and_affinity_count() {
    let node = Node::new();
    let programs = Programs::load(&node.place).unwrap();
    let (client, plain, keeping) = ("10.1.0.100:4711", "10.96.0.1:80", "10.96.0.4:80");
    for to in [plain, keeping] {
        let frame = Frame::new(
            client.parse().unwrap(),
            to.parse().unwrap(),
            Transport::Tcp(Tcp::Syn),
        );
        let bytes = frame.bytes().unwrap();
        programs.run(Hook::Ingress, &bytes, &NO_CONTEXT).unwrap();
    }
    let before = node.traces();
    let live = node.live();
    for _ in 0..20 {
        let known = live
            .explain(&question(client, "10.96.0.1:80/TCP", Via::Pod))
            .unwrap();
        assert!(known.reason.starts_with("established: "), "{known}");
        assert_eq!(
            (known.verdict, known.candidates.len()),
            (Verdict::Forward, 1),
            "{known}"
        );
        assert_eq!(known.service.as_deref(), Some("test/web:http"));
        let other = live
            .explain(&question("10.1.0.100:4712", "10.96.0.1:80/TCP", Via::Pod))
            .unwrap();
        assert_eq!(other.candidates.len(), 2, "another connection: {other}");
        let kept = live
            .explain(&question("10.1.0.100:4712", "10.96.0.4:80/TCP", Via::Pod))
            .unwrap();
        assert!(kept.reason.starts_with("affinity: "), "6.01: {kept}");
        assert_eq!(
            kept.candidates,
            kept.chosen.into_iter().collect::<Vec<_>>(),
            "6.01"
        );
        let stranger = live
            .explain(&question("10.1.0.101", "10.96.0.4:80/TCP", Via::Pod))
            .unwrap();
        assert_eq!(stranger.candidates.len(), 2, "6.01 another client: {stranger}");
    }
    assert_eq!(node.traces(), before);
}

#[test]
fn a_place_without_kproxy_is_named() {
    let place = Place::new().unwrap();
    let error = Pinned::open(&place.options.pin_dir)
        .expect_err("nothing pinned")
        .to_string();
    assert!(
        error.contains("does not exist") && error.contains("--pin-dir"),
        "{error}"
    );
}
