//! Server and client against each other on loopback.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    Mode, Options, Outcome, Report, Server,
    client::{self, duration},
    load::{self, Event},
};

fn loopbacks() -> [SocketAddr; 2] {
    [(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()]
}

fn server() -> Server {
    Server::start("web-1", &loopbacks(), &loopbacks()).unwrap()
}

fn ask(options: &Options) -> Vec<Report> {
    let mut reports = Vec::new();
    client::run(options, |report| reports.push(report));
    reports
}

#[test]
fn both_sides_see_each_other() {
    let server = server();
    let addresses = server.addresses();
    let tcp = addresses.tcp.iter().map(|&to| Options::to(to));
    let udp = addresses
        .udp
        .iter()
        .flat_map(|&to| [Mode::Connect, Mode::Sendto].map(|mode| Options::to(to).udp(mode)));
    for options in tcp
        .chain(udp)
        .flat_map(|options| [options.clone(), options.keep()])
    {
        for report in ask(&options.count(3)) {
            let answer = report
                .answer
                .unwrap_or_else(|| panic!("{:?} to {}", report.error, report.to));
            assert_eq!(report.result, Outcome::Ok);
            assert_eq!(report.peer, Some(report.to));
            assert_eq!(answer.pod, "web-1");
            assert_eq!(answer.local, report.to);
            assert_eq!(answer.peer.port(), report.source.unwrap().port());
        }
    }
}

#[test]
fn a_kept_socket_keeps_its_port_for_every_destination() {
    let (one, two) = (server(), server());
    let udp = |server: &Server| server.addresses().udp[0];
    let options = Options::to(udp(&one))
        .and_to(udp(&two))
        .udp(Mode::Sendto)
        .count(4)
        .keep();

    let reports = ask(&options);

    let peers: Vec<_> = reports.iter().filter_map(|report| report.peer).collect();
    assert_eq!(peers, [udp(&one), udp(&two), udp(&one), udp(&two)]);
    let mut ports: Vec<_> = reports
        .iter()
        .map(|report| report.answer.as_ref().unwrap().peer.port())
        .collect();
    ports.dedup();
    assert_eq!(ports.len(), 1);
}

#[test]
fn a_source_port_is_used_again_and_again() {
    let server = server();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut options = Options::to(server.addresses().tcp[0]).source_port(free).count(3);
    options.reset = true;
    for report in ask(&options) {
        assert_eq!(
            report.answer.map(|answer| answer.peer.port()),
            Some(free),
            "{:?}",
            report.error
        );
    }
}

#[test]
fn closed_ports_refuse_and_silence_times_out() {
    let closed = server().addresses().clone();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    for (options, wanted) in [
        (Options::to(closed.tcp[0]), Outcome::Refused),
        (Options::to(closed.udp[0]).udp(Mode::Connect), Outcome::Refused),
        (Options::to(closed.udp[0]).udp(Mode::Sendto), Outcome::Refused),
        (Options::to(closed.udp[1]).udp(Mode::Sendto), Outcome::Refused),
        (
            Options::to(silent)
                .udp(Mode::Connect)
                .timeout(Duration::from_millis(30)),
            Outcome::Timeout,
        ),
    ] {
        assert_eq!(ask(&options)[0].result, wanted, "{options:?}");
    }
}

#[test]
fn load_counts_answers_and_tells_failures() {
    let server = server();
    let closed = Server::start("closed", &loopbacks()[..1], &[])
        .unwrap()
        .addresses()
        .tcp[0];
    let interval = Duration::from_millis(2);
    let options = Options::to(server.addresses().tcp[0])
        .and_to(closed)
        .interval(interval);
    let stop = AtomicBool::new(false);
    let failures = Mutex::new(0_u64);

    let totals = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(150));
            stop.store(true, Ordering::Relaxed);
        });
        load::run(&options, 2, &stop, |event| {
            if matches!(event, Event::Failure(_)) {
                *failures.lock().unwrap() += 1;
            }
        })
    });

    assert!(totals.requests > 4, "{totals:?}");
    assert_eq!(totals.pods.get("web-1"), totals.results.get(&Outcome::Ok));
    assert_eq!(totals.failed(), *failures.lock().unwrap());
    assert!(totals.failed() > 0);
}

#[test]
fn a_socket_that_failed_is_left_for_a_new_one_when_asked_for() {
    let nobody = {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    let options = Options::to(nobody).udp(Mode::Connect).count(4).keep();
    for (options, renewed) in [(options.clone(), false), (options.renew(), true)] {
        let reports = ask(&options);
        assert!(reports.iter().all(|report| report.result == Outcome::Refused));
        let sources: BTreeSet<_> = reports.iter().filter_map(|report| report.source).collect();
        assert_eq!(sources.len() > 1, renewed, "{sources:?}");
    }
}

#[test]
fn arguments_say_the_same_as_the_options() {
    use clap::{Args, FromArgMatches};
    let mut options = Options::to(loopbacks()[1])
        .and_to(loopbacks()[0])
        .udp(Mode::Sendto)
        .count(7)
        .renew()
        .source_port(99)
        .timeout(Duration::from_millis(70))
        .interval(Duration::from_secs(2));
    options.reset = true;
    let command = Options::augment_args(clap::Command::new("client").no_binary_name(true));
    let parsed = Options::from_arg_matches(&command.get_matches_from(options.arguments())).unwrap();
    assert_eq!(format!("{parsed:?}"), format!("{options:?}"));
}

#[test]
fn durations_have_a_unit() {
    assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
    for wrong in ["", "5", "ms", "-1s", "1.5s", "2m"] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
}
