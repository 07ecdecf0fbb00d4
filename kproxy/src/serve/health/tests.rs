//! What happened, second by second, and what is made of it.

use Family::{V4, V6};

use super::*;

const PERIOD: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
enum Did {
    Update(Family),
    Queue(Family),
    Node(bool),
}
use Did::{Node, Queue, Update};

/// Both clocks some seconds after a fixed moment.
fn at(start: Moment, seconds: u64) -> Moment {
    let passed = Duration::from_secs(seconds);
    Moment {
        instant: start.instant + passed,
        wall: start.wall + passed,
    }
}

fn report(did: &[(u64, Did)], after: u64, needs_node: bool) -> (Report, Moment) {
    let start = Moment::now();
    let mut health = Health::new(PERIOD, needs_node);
    for (seconds, did) in did {
        match *did {
            Update(family) => health.updated(family, at(start, *seconds)),
            Queue(family) => health.queued(family, at(start, *seconds)),
            Node(eligible) => health.node(eligible),
        }
    }
    (health.report(at(start, after)), start)
}

#[test]
fn lateness() {
    type Row<'a> = (&'a str, &'a [(u64, Did)], u64, bool, &'a [(Family, bool)]);
    let rows: &[Row<'_>] = &[
        ("9.05 never started: nothing listed", &[], 900, true, &[]),
        ("9.05 queued without a loop", &[(0, Queue(V4))], 900, true, &[]),
        (
            "9.05 entered, never synced, nothing queued",
            &[(0, Update(V4))],
            900,
            true,
            &[(V4, true)],
        ),
        (
            "9.05 entered, never synced, queued for too long",
            &[(0, Update(V4)), (10, Queue(V4))],
            70,
            false,
            &[(V4, false)],
        ),
        (
            "9.04 just not too long",
            &[(0, Update(V4)), (10, Queue(V4))],
            69,
            true,
            &[(V4, true)],
        ),
        (
            "9.04 idle",
            &[(0, Update(V4)), (1, Queue(V4)), (2, Update(V4))],
            86_400,
            true,
            &[(V4, true)],
        ),
        (
            "9.04 the oldest counts",
            &[(0, Update(V4)), (1, Queue(V4)), (59, Queue(V4))],
            61,
            false,
            &[(V4, false)],
        ),
        (
            "9.04 what was queued before the update does not",
            &[(0, Update(V4)), (1, Queue(V4)), (2, Update(V4)), (59, Queue(V4))],
            61,
            true,
            &[(V4, true)],
        ),
        (
            "9.06 the other family does not help",
            &[
                (0, Update(V4)),
                (0, Update(V6)),
                (1, Queue(V4)),
                (1, Queue(V6)),
                (2, Update(V6)),
                (60, Update(V6)),
            ],
            61,
            false,
            &[(V4, false), (V6, true)],
        ),
        (
            "9.06 until the late one syncs",
            &[(0, Update(V4)), (0, Update(V6)), (1, Queue(V4)), (62, Update(V4))],
            63,
            true,
            &[(V4, true), (V6, true)],
        ),
    ];
    for (row, did, after, healthy, families) in rows {
        let (report, _) = report(did, *after, true);
        let listed: Vec<_> = report
            .families
            .iter()
            .map(|(family, report)| (*family, report.healthy))
            .collect();
        assert_eq!((report.healthy, &*listed), (*healthy, *families), "{row}");
    }
}

#[test]
fn the_newest_update_of_any_family_is_the_last() {
    let did = [(0, Update(V4)), (5, Update(V6)), (3, Queue(V4))];
    let (report, start) = report(&did, 100, true);
    assert_eq!(report.last_updated, Some(at(start, 5).wall), "9.03");
    assert_eq!(report.families[&V4].last_updated, start.wall, "9.02");
    assert_eq!(report.now, at(start, 100).wall, "9.02");
}

#[test]
fn eligibility_is_the_nodes_last_word() {
    type Row<'a> = (&'a str, &'a [(u64, Did)], bool, bool);
    let rows: &[Row<'_>] = &[
        ("9.09 unknown", &[], true, false),
        ("9.09 nobody has Node objects", &[], false, true),
        ("9.09 eligible", &[(0, Node(true))], true, true),
        ("9.09 not", &[(0, Node(false))], true, false),
        ("9.09 not, by a manifest", &[(0, Node(false))], false, false),
        ("9.09 again", &[(0, Node(false)), (1, Node(true))], true, true),
    ];
    for (row, did, needs_node, eligible) in rows {
        let (report, _) = report(did, 2, *needs_node);
        assert_eq!(report.node_eligible, *eligible, "{row}");
        assert!(report.healthy, "{row}: 9.09 the proxy's health is another matter");
    }
}
