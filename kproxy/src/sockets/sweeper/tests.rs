//! The sweeper with sweeps that are told what to find.

use std::sync::mpsc::{Sender, channel};

use bytemuck::Zeroable as _;
use kproxy_common::{Backend, BackendIndex, Family};

use super::*;
use crate::plan::{ServicePortName, Step};

/// Against hanging.
const BOUND: Duration = Duration::from_secs(10);
/// Long enough for every sweep that is still to come.
const QUIET: Duration = Duration::from_secs(1);

/// A sweeper and its sweeps: each says that it has begun and waits for what it shall have destroyed.
fn sweeper() -> (Sweeper, Receiver<()>, Sender<usize>) {
    let (begun, begins) = channel();
    let (tell, told) = channel::<usize>();
    let sweep = move || {
        let _ = begun.send(());
        Report {
            namespaces: 2,
            sockets: 5,
            destroyed: told.recv().unwrap_or_default(),
            ..Report::default()
        }
    };
    (Sweeper::start_with(sweep).expect("a thread"), begins, tell)
}

#[test]
fn requests_during_a_sweep_become_one_and_the_last_is_looked_after() {
    let (sweeper, begins, tell) = sweeper();
    begins
        .recv_timeout(BOUND)
        .expect("the first sweep comes by itself");
    (0..5).for_each(|_| sweeper.request());
    (0..10).for_each(|_| tell.send(0).expect("the thread listens"));
    begins.recv_timeout(BOUND).expect("all requests together");
    begins.recv_timeout(BOUND).expect("the second look");
    assert_eq!(begins.recv_timeout(QUIET), Err(RecvTimeoutError::Timeout));

    sweeper.request();
    begins.recv_timeout(BOUND).expect("a later request");
    begins.recv_timeout(BOUND).expect("its second look");
    assert_eq!(begins.recv_timeout(QUIET), Err(RecvTimeoutError::Timeout));
}

/// 7.12: the result is there to be exported.
#[test]
fn it_looks_again_as_long_as_it_finds_something() {
    let (sweeper, begins, tell) = sweeper();
    for destroyed in [1, 2, 1, 0] {
        begins.recv_timeout(BOUND).expect("a sweep");
        tell.send(destroyed).expect("the thread listens");
    }
    assert_eq!(begins.recv_timeout(QUIET), Err(RecvTimeoutError::Timeout));
    let Statistics {
        sweeps,
        destroyed,
        errors,
        duration,
        last_duration,
        last_namespaces,
    } = sweeper.statistics();
    assert_eq!((sweeps, destroyed, errors), (4, 4, 0));
    assert_eq!(last_namespaces, 2);
    assert!(duration >= last_duration);
}

#[test]
fn the_thread_ends_with_the_last_handle() {
    let (sweeper, begins, tell) = sweeper();
    let other = sweeper.clone();
    drop(sweeper);
    other.request();
    drop((other, tell));
    while begins.recv_timeout(BOUND).is_ok() {}
    assert_eq!(begins.recv_timeout(BOUND), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn only_the_end_of_a_udp_backend_is_a_reason() {
    let (index, backend) = (BackendIndex(1), Backend::zeroed());
    let retired = Action::RetireBackend { index, backend };
    let written = Action::WriteBackend { index, backend };
    let rows = [
        // 7.01: kube-proxy asks for a changed slice; here any change counts that takes a backend away.
        (
            "7.01 7.06 7.09 retired",
            retired.clone(),
            Some(Protocol::UDP),
            true,
        ),
        ("7.02 TCP", retired.clone(), Some(Protocol::TCP), false),
        ("7.02 SCTP", retired.clone(), Some(Protocol::SCTP), false),
        ("left behind by an earlier run", retired, None, true),
        ("7.05 changed", written, Some(Protocol::UDP), false),
    ];
    for (row, action, protocol, reason) in rows {
        let service = protocol.map(|protocol| {
            Arc::new(ServicePortName {
                namespace: "test".to_owned(),
                name: "dns".to_owned(),
                port: String::new(),
                protocol,
                family: Family::V4,
            })
        });
        let plan = Plan {
            steps: vec![Step { action, service }],
            problems: Vec::new(),
        };
        assert_eq!(retires_udp(&plan), reason, "{row}");
    }
    assert!(!retires_udp(&Plan::default()));
}
