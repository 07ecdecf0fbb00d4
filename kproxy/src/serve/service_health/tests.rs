//! Health-check node ports over real sockets.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use super::super::events::Events;
use super::super::fetch::{Answer, fetch, get};
use super::super::reporter::Reporter;
use super::super::tests::{ALWAYS_LATE, NEVER_LATE, queue, status};
use super::*;

/// Only there: these tests share the machine with others.
fn here() -> Addresses {
    Addresses {
        v4: ListenAt::Only(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
        v6: ListenAt::Only(vec![IpAddr::V6(Ipv6Addr::LOCALHOST)]),
    }
}

struct Stage {
    status: Status,
    health: ServiceHealth,
}

impl Stage {
    fn new(addresses: Addresses, period: Duration) -> Self {
        let status = status(period);
        // Whose loop was entered.
        let _ = Reporter::new(status.clone());
        let health = ServiceHealth::new(addresses, "here", status.clone());
        Self { status, health }
    }

    async fn set(&mut self, wanted: &[(&str, Family, u16, u32)]) {
        let wanted = wanted.iter().map(|(name, family, port, local_endpoints)| {
            let check = HealthCheck {
                port: *port,
                local_endpoints: *local_endpoints,
            };
            ((ObjectName::new("default", name), *family), check)
        });
        self.health.set(&wanted.collect()).await;
    }

    fn open(&self) -> usize {
        self.health.open.len()
    }
}

fn at(family: Family, port: u16) -> SocketAddr {
    match family {
        Family::V4 => (Ipv4Addr::LOCALHOST, port).into(),
        Family::V6 => (Ipv6Addr::LOCALHOST, port).into(),
    }
}

async fn v4(port: u16) -> Answer {
    get(at(Family::V4, port), "/").await
}

async fn is_closed(family: Family, port: u16) -> bool {
    let error = fetch(at(family, port), "GET", "/").await;
    error.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A port that nobody has: below those that the kernel gives to clients, and another one at each call.
fn free_port() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(64);
    let mut ports = std::iter::repeat_with(|| {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        10_000 + u16::try_from(start.wrapping_add(call) % 20_000).expect("below 20000")
    });
    let is_free = |port: &u16| {
        let families = [Family::V4, Family::V6];
        families
            .iter()
            .all(|family| TcpListener::bind(at(*family, *port)).is_ok())
    };
    ports.find(is_free).expect("a port")
}

#[tokio::test]
async fn headers_body_and_codes_by_count() {
    let mut stage = Stage::new(here(), NEVER_LATE);
    let port = free_port();
    for (local_endpoints, code) in [(0, 503), (1, 200), (7, 200), (0, 503)] {
        stage.set(&[("web", Family::V4, port, local_endpoints)]).await;
        let answer = v4(port).await;
        assert_eq!(answer.code, code, "3.53, 3.57 {local_endpoints}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "3.54");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "3.54");
        let weight = answer.header("x-load-balancing-endpoint-weight");
        assert_eq!(weight, Some(&*local_endpoints.to_string()), "3.54 also on 503");
        let expected = json!({
            "service": {"namespace": "default", "name": "web"},
            "localEndpoints": local_endpoints,
            "serviceProxyHealthy": true,
        });
        assert_eq!(answer.json(), expected, "3.55");
    }
}

#[tokio::test]
async fn any_path_and_method_is_answered_alike() {
    let mut stage = Stage::new(here(), NEVER_LATE);
    let port = free_port();
    stage.set(&[("web", Family::V4, port, 1)]).await;
    let expected = v4(port).await.body;
    for path in ["/healthz", "/livez", "/any/where?at=all", "/metrics"] {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            let answer = fetch(at(Family::V4, port), method, path)
                .await
                .expect("an answer");
            assert_eq!(
                (answer.code, &answer.body),
                (200, &expected),
                "3.52 {method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn a_proxy_that_is_late_is_no_place_to_send_to() {
    let mut stage = Stage::new(here(), ALWAYS_LATE);
    let port = free_port();
    stage.set(&[("web", Family::V4, port, 3)]).await;
    assert!(!stage.status.health().node_eligible);
    assert_eq!(
        v4(port).await.code,
        200,
        "3.53 the node's eligibility does not matter"
    );
    queue(&stage.status, Family::V6);
    let answer = v4(port).await;
    assert_eq!(answer.code, 503, "3.53");
    assert_eq!(answer.json()["serviceProxyHealthy"], false, "3.55");
    assert_eq!(
        answer.header("x-load-balancing-endpoint-weight"),
        Some("3"),
        "3.54"
    );
}

#[tokio::test]
async fn each_family_has_a_server_of_its_own() {
    let mut stage = Stage::new(Addresses::default(), NEVER_LATE);
    let port = free_port();
    stage
        .set(&[("web", Family::V4, port, 1), ("web", Family::V6, port, 0)])
        .await;
    assert_eq!(stage.open(), 2, "3.49 the same port in both families");
    assert_eq!(v4(port).await.code, 200, "3.49");
    assert_eq!(
        get(at(Family::V6, port), "/").await.code,
        503,
        "3.49, 3.56 counts by family"
    );
    stage.set(&[("web", Family::V6, port, 0)]).await;
    assert!(
        is_closed(Family::V4, port).await,
        "3.49 an IPv6 socket serves IPv6 only"
    );
    assert_eq!(get(at(Family::V6, port), "/").await.code, 503, "3.49");
}

#[tokio::test]
async fn only_the_addresses_that_were_given_listen() {
    let second = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let rows = [
        ("3.49, 3.51 one", vec![second], [false, true]),
        (
            "3.49 two",
            vec![IpAddr::V4(Ipv4Addr::LOCALHOST), second],
            [true, true],
        ),
        ("3.50 none match", vec![], [false, false]),
    ];
    for (row, addresses, expected) in rows {
        let v4 = ListenAt::Only(addresses);
        let addresses = Addresses { v4, ..here() };
        let mut stage = Stage::new(addresses, NEVER_LATE);
        let port = free_port();
        stage.set(&[("web", Family::V4, port, 1)]).await;
        let first = !is_closed(Family::V4, port).await;
        let second = fetch(SocketAddr::new(second, port), "GET", "/").await.is_ok();
        assert_eq!([first, second], expected, "{row}");
    }
}

#[tokio::test]
async fn ports_follow_what_is_wanted() {
    let mut stage = Stage::new(here(), NEVER_LATE);
    let (first, second) = (free_port(), free_port());
    stage.set(&[("web", Family::V4, first, 1)]).await;
    stage.set(&[("web", Family::V4, second, 1)]).await;
    assert!(is_closed(Family::V4, first).await, "3.58 the old one");
    assert_eq!(v4(second).await.code, 200, "3.58 the new one");
    stage.set(&[("other", Family::V4, second, 2)]).await;
    let name = &v4(second).await.json()["service"]["name"];
    assert_eq!(name, "other", "3.58 a port goes from one Service to another");
    stage.set(&[]).await;
    assert!(is_closed(Family::V4, second).await, "3.58");
}

#[tokio::test]
async fn two_services_can_swap_their_ports() {
    let mut stage = Stage::new(here(), NEVER_LATE);
    let (first, second) = (free_port(), free_port());
    stage
        .set(&[("a", Family::V4, first, 1), ("b", Family::V4, second, 1)])
        .await;
    stage
        .set(&[("a", Family::V4, second, 1), ("b", Family::V4, first, 1)])
        .await;
    for (name, port) in [("a", second), ("b", first)] {
        assert_eq!(v4(port).await.json()["service"]["name"], name, "3.58");
    }
}

#[tokio::test]
async fn a_client_that_stays_connected_does_not_keep_a_port_open() {
    let mut stage = Stage::new(here(), NEVER_LATE);
    let port = free_port();
    stage.set(&[("web", Family::V4, port, 1)]).await;
    let _idle = tokio::net::TcpStream::connect(at(Family::V4, port))
        .await
        .expect("a connection");
    v4(port).await;
    stage.set(&[]).await;
    assert!(is_closed(Family::V4, port).await, "3.58");
}

#[tokio::test]
async fn a_port_that_is_taken_closes_the_others_and_is_tried_again() {
    let second = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let v4_addresses = ListenAt::Only(vec![IpAddr::V4(Ipv4Addr::LOCALHOST), second]);
    let addresses = Addresses {
        v4: v4_addresses,
        ..here()
    };
    let mut stage = Stage::new(addresses, NEVER_LATE);
    let port = free_port();
    let taken = TcpListener::bind(SocketAddr::new(second, port)).expect("a port");
    let wanted = [("web", Family::V4, port, 1)];
    stage.set(&wanted).await;
    assert_eq!(stage.open(), 0, "3.59");
    assert!(
        is_closed(Family::V4, port).await,
        "3.59 the address that could be had is given up"
    );
    assert_eq!(stage.health.told.len(), 1, "3.59");
    drop(taken);
    stage.set(&wanted).await;
    assert_eq!(v4(port).await.code, 200, "3.59 at the next set");
    assert!(stage.health.told.is_empty(), "and a later failure is told again");
}

#[tokio::test]
async fn what_the_agent_wants_is_followed() {
    let status = Status::new(NEVER_LATE, true, Events::none()).expect("metrics");
    let reporter = Reporter::new(status.clone());
    let health = ServiceHealth::new(here(), "here", status.clone());
    let following = tokio::spawn(health.follow(status.health_checks()));
    let port = free_port();
    let check = HealthCheck {
        port,
        local_endpoints: 1,
    };
    let wanted: Wanted = [((ObjectName::new("default", "web"), Family::V4), check)].into();
    reporter.health_checks(wanted);
    while is_closed(Family::V4, port).await {
        tokio::task::yield_now().await;
    }
    drop((reporter, status));
    following.abort();
    following.await.ok();
    while !is_closed(Family::V4, port).await {
        tokio::task::yield_now().await;
    }
}
