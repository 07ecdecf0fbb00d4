//! Addresses that can not be had.

use std::net::TcpListener;

use axum::Router;
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
