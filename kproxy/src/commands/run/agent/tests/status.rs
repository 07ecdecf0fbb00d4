//! What probes see of the agent. In these tests whatever waits is late at once.

use kproxy_common::Family;

use super::*;
use crate::serve::{FamilyReport, Report};

fn healthy(report: &Report) -> Vec<(Family, bool)> {
    let families = report.families.iter();
    families
        .map(|(family, FamilyReport { healthy, .. })| (*family, *healthy))
        .collect()
}

const FINE: [(Family, bool); 2] = [(Family::V4, true), (Family::V6, true)];

fn listed() -> Vec<Event> {
    Kind::ALL
        .into_iter()
        .map(|kind| Event::now(News::Listed(kind)))
        .collect()
}

#[test]
fn waiting_for_the_sources_is_healthy() {
    let (mut agent, _, status) = watched_agent();
    agent.take_in(vec![service("web", "10.96.0.1")]);
    assert_eq!(healthy(&status.health()), FINE, "9.05");
}

#[test]
fn what_is_not_in_force_is_unhealthy_until_it_is() {
    let (mut agent, kernel, status) = watched_agent();
    agent.take_in(listed());
    let entered = status.health().last_updated;
    kernel.0.borrow_mut().refused = Some("bad");
    agent.take_in(vec![service("bad", "10.96.0.1")]);
    assert_eq!(
        healthy(&status.health()),
        [(Family::V4, false), (Family::V6, true)],
        "9.06 only the family that waits is late"
    );
    agent.take_in(vec![service("web", "10.96.0.3"), slice(&["10.0.0.1"])]);
    assert!(!status.health().healthy, "9.07 what others get does not help");
    assert_eq!(status.health().last_updated, entered, "9.03");

    let again = agent.wake_at().expect("a next try");
    agent.wake(again);
    assert!(!status.health().healthy, "9.07 nor does another failure");
    kernel.0.borrow_mut().refused = None;
    let again = agent.wake_at().expect("another try");
    agent.wake(again);
    assert_eq!(healthy(&status.health()), FINE, "9.04");
    assert!(status.health().last_updated > entered, "9.03");
}

#[test]
fn a_change_that_changes_nothing_here_is_no_update_and_keeps_nobody_waiting() {
    let (mut agent, _, status) = watched_agent();
    agent.take_in(listed());
    let before = status.health().last_updated;
    agent.take_in(vec![slice(&["10.0.0.1"])]);
    assert_eq!(healthy(&status.health()), FINE, "9.04");
    assert_eq!(status.health().last_updated, before, "9.03");
}

#[test]
fn the_node_is_eligible_by_its_object() {
    let (mut agent, _, status) = watched_agent();
    assert!(!status.health().node_eligible, "9.09 unknown");
    let node = |fields| {
        let parsed = crate::model::Parsed {
            name: ObjectName::new("", "here"),
            object: Some(samples::node(fields)),
            problems: vec![],
        };
        Event::now(News::Node(Change::Applied(parsed)))
    };
    agent.take_in(vec![node(json!({}))]);
    assert!(
        status.health().node_eligible,
        "9.09, also before anything is listed"
    );
    let taints =
        json!({"spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}});
    agent.take_in(vec![node(taints)]);
    assert!(!status.health().node_eligible, "9.09");
    agent.take_in(vec![node(json!({}))]);
    agent.take_in(vec![Event::now(News::removed(
        Kind::Node,
        ObjectName::new("", "here"),
    ))]);
    assert!(status.health().node_eligible, "9.10");
}
