//! The sweeper with sweeps that are told what to find.

use kproxy_common::{Address, Family, Port};

use super::*;

/// Against hanging.
const BOUND: Duration = Duration::from_secs(10);
/// Long enough for every sweep that is still to come.
const QUIET: Duration = Duration::from_secs(1);

/// A sweeper and its sweeps: each says that it has begun and waits for what it shall have destroyed.
fn sweeper() -> (Sweeper, Receiver<()>, Sender<usize>) {
    let (begun, begins) = channel();
    let (tell, told) = channel::<usize>();
    let sweep = move |_: &BTreeSet<Endpoint>| {
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

/// The second look is for what was inside `connect` at the first, so it looks for the same; a third would end over and over
/// what the socket door does not see.
#[test]
fn service_addresses_are_looked_for_twice() {
    let address = |number: u16| Endpoint {
        address: Address::unspecified(Family::V4),
        port: Port::new(number),
    };
    let (tell, told) = channel();
    let sweep = move |served: &BTreeSet<Endpoint>| {
        let ports: Vec<_> = served.iter().map(|endpoint| endpoint.port.number()).collect();
        let destroyed = ports.len();
        let _ = tell.send(ports);
        Report {
            destroyed,
            ..Report::default()
        }
    };
    let sweeper = Sweeper::start_with(sweep).expect("a thread");
    while told.recv_timeout(QUIET).is_ok() {}

    sweeper.send([address(1)].into());
    let first: Vec<_> = std::iter::from_fn(|| told.recv_timeout(QUIET).ok()).collect();
    sweeper.send([address(2)].into());
    let second: Vec<_> = std::iter::from_fn(|| told.recv_timeout(QUIET).ok()).collect();

    let twice = |number: u16| vec![vec![number], vec![number], Vec::new()];
    assert_eq!((first, second), (twice(1), twice(2)));
}
