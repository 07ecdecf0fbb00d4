//! Addresses that can not be had.

use std::net::{IpAddr, TcpListener};

use axum::Router;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use tokio::task::JoinSet;

use super::super::fetch::{fetch, get};
use super::super::listen::{self, Server};
use super::*;

/// An address that somebody else has.
fn taken() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(anywhere()).expect("an address");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

#[tokio::test]
async fn one_that_is_taken_keeps_nothing_else_from_working() {
    let (_listener, address) = taken();
    let status = status(NEVER_LATE);
    let servers = servers(
        Options {
            healthz: Some(address),
            ..options()
        },
        &status,
    )
    .await;
    assert_eq!(servers.healthz, None, "9.12");
    let metrics = servers.metrics.expect("a server");
    assert_eq!(get(metrics, "/healthz").await.code, 200, "9.12");
}

#[tokio::test]
async fn one_that_becomes_free_is_taken() {
    let (listener, address) = taken();
    let mut tasks = JoinSet::new();
    let server = Server {
        what: "a test",
        address,
        router: Router::new(),
        fatal: None,
        pause: Duration::from_millis(5),
    };
    let opened = listen::start(server, &Events::none(), &mut tasks).await;
    assert_eq!(opened.expect("no error"), None, "9.12");
    drop(listener);
    while fetch(address, "GET", "/").await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(get(address, "/").await.code, 404, "9.12, 9.18");
}

#[tokio::test]
async fn one_that_must_be_had_is_an_error() {
    let (_listener, address) = taken();
    let rows = [
        (
            "9.12",
            Options {
                healthz: Some(address),
                ..options()
            },
        ),
        (
            "9.18",
            Options {
                metrics: address,
                ..options()
            },
        ),
    ];
    for (row, options) in rows {
        let options = Options {
            hard_fail: true,
            ..options
        };
        let error = start(options, &status(NEVER_LATE), Arc::new(Fixed)).await;
        let error = format!("{:#}", error.expect_err(row));
        assert!(error.contains(&address.to_string()), "{row}: {error}");
        assert!(error.contains("bindAddressHardFail"), "{row}: {error}");
    }
}

/// The port of a server that was told to listen at an unspecified address.
async fn port_at(unspecified: &str, tasks: &mut JoinSet<()>) -> u16 {
    let server = Server {
        what: "a test",
        address: SocketAddr::new(unspecified.parse().expect("an address"), 0),
        router: Router::new(),
        fatal: Some(Notice::failed_to_start("here", "")),
        pause: Duration::ZERO,
    };
    let opened = listen::start(server, &Events::none(), tasks).await;
    opened.expect("no error").expect("an address").port()
}

/// The kubelet asks at the node's address, whatever its family.
#[tokio::test]
async fn the_unspecified_address_is_every_address_of_both_families() {
    for unspecified in ["::", "0.0.0.0"] {
        let mut tasks = JoinSet::new();
        let port = port_at(unspecified, &mut tasks).await;
        for loopback in ["127.0.0.1", "::1"] {
            let to = SocketAddr::new(loopback.parse().expect("an address"), port);
            assert_eq!(get(to, "/").await.code, 404, "{loopback} of {unspecified}");
        }
    }
}

/// Has the kernel answer this thread as one does that was started with `ipv6.disable=1`.
fn forget_ipv6() {
    let v6 = u64::try_from(libc::AF_INET6).expect("a family");
    let domain = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, v6);
    let rule = SeccompRule::new(vec![domain.expect("a condition")]).expect("a rule");
    let errno = u32::try_from(libc::EAFNOSUPPORT).expect("an error");
    let filter = SeccompFilter::new(
        [(libc::SYS_socket, vec![rule])].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        std::env::consts::ARCH.try_into().expect("an architecture"),
    );
    let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    seccompiler::apply_filter(&program).expect("a filter of this thread");
}

#[test]
fn a_kernel_without_ipv6_has_the_addresses_of_ipv4() {
    let without_ipv6 = || {
        forget_ipv6();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            for unspecified in ["::", "0.0.0.0"] {
                let mut tasks = JoinSet::new();
                let port = port_at(unspecified, &mut tasks).await;
                let to = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port);
                assert_eq!(get(to, "/").await.code, 404, "{unspecified}");
            }
        });
    };
    // A filter can not be taken back.
    std::thread::spawn(without_ipv6).join().expect("the test");
}

#[tokio::test]
async fn without_an_address_there_is_no_health_server() {
    let options = Options {
        healthz: None,
        ..options()
    };
    let servers = servers(options, &status(NEVER_LATE)).await;
    assert_eq!(servers.healthz, None, "9.13");
    assert!(servers.metrics.is_some(), "9.13");
}

#[tokio::test]
async fn dropping_the_servers_ends_them() {
    let servers = servers(options(), &status(NEVER_LATE)).await;
    let address = servers.metrics.expect("a server");
    get(address, "/healthz").await;
    drop(servers);
    while fetch(address, "GET", "/healthz").await.is_ok() {
        tokio::task::yield_now().await;
    }
}
