//! A restart with something that can not be read.

use super::*;
use crate::model::{Problem as ObjectProblem, Reason};

fn listed() -> impl Iterator<Item = Event> {
    Kind::ALL.into_iter().map(|kind| Event::now(News::Listed(kind)))
}

pub(super) fn unread(manifests: usize) -> Event {
    Event::now(News::Unread(manifests))
}

pub(super) fn unreadable_service(name: &str) -> Event {
    let reason = Reason::Shape("invalid type".into());
    let name = ObjectName::new("default", name);
    let problem = ObjectProblem::new(Kind::Service, &name, "spec.ports", reason);
    Event::now(News::Service(Change::Rejected(problem)))
}

/// An agent whose earlier run has served `web` with two backends and `other` without any.
fn restarted_agent() -> (Agent<Fake>, Fake) {
    let (mut agent, kernel) = synced_agent();
    agent.take_in(vec![
        service("web", "10.96.0.1"),
        service("other", "10.96.0.2"),
        slice(&["10.0.0.1", "10.0.0.2"]),
    ]);
    let pinned = kernel.0.borrow().contents.clone();
    (
        new_agent(Applied::adopt(CAPACITY, pinned), kernel.clone()),
        kernel,
    )
}

#[test]
fn what_a_broken_manifest_may_hold_stays_and_the_others_are_served() {
    let (mut agent, kernel) = restarted_agent();
    let readable = [service("new", "10.96.0.3"), unread(1)];
    agent.take_in(readable.into_iter().chain(listed()).collect());
    let all = [row("10.96.0.1", 2), row("10.96.0.2", 0), row("10.96.0.3", 0)];
    assert_eq!(programmed(&kernel), all.into());

    agent.take_in(vec![service("web", "10.96.0.1"), slice(&["10.0.0.1"]), unread(0)]);
    assert_eq!(
        programmed(&kernel),
        [row("10.96.0.1", 1), row("10.96.0.3", 0)].into(),
        "the file was corrected, and has one service no more"
    );
}

#[test]
fn endpoints_that_a_broken_manifest_may_hold_stay() {
    let (mut agent, kernel) = restarted_agent();
    let readable = [service("web", "10.96.0.1"), slice(&["10.0.0.3"]), unread(1)];
    agent.take_in(readable.into_iter().chain(listed()).collect());
    let backends = |kernel: &Fake| programmed(kernel)["10.96.0.1"];
    assert_eq!(backends(&kernel), 3);
    agent.take_in(vec![slice(&["10.0.0.1"])]);
    assert_eq!(backends(&kernel), 2, "what was named is known: it goes");
    agent.take_in(vec![slice(&["10.0.0.3"])]);
    assert_eq!(backends(&kernel), 2);
    agent.take_in(vec![unread(0)]);
    assert_eq!(backends(&kernel), 1);
}

#[test]
fn an_object_that_can_not_be_read_keeps_what_is_programmed_for_it() {
    let (mut agent, kernel) = restarted_agent();
    let objects = [
        unreadable_service("other"),
        service("web", "10.96.0.1"),
        slice(&["10.0.0.1", "10.0.0.2"]),
    ];
    agent.take_in(objects.into_iter().chain(listed()).collect());
    let both = [row("10.96.0.1", 2), row("10.96.0.2", 0)];
    assert_eq!(programmed(&kernel), both.clone().into());
    agent.take_in(vec![service("other", "10.96.0.2")]);
    assert_eq!(programmed(&kernel), both.into());
    assert!(agent.applied.settled());
    agent.take_in(vec![unreadable_service("web")]);
    let name = ObjectName::new("default", "other");
    agent.take_in(vec![Event::now(News::Service(Change::Removed(name)))]);
    assert_eq!(programmed(&kernel), [row("10.96.0.1", 2)].into());
}

#[test]
fn an_object_that_was_never_readable_and_goes_takes_what_it_has_along() {
    let (mut agent, kernel) = restarted_agent();
    let objects = [
        unreadable_service("other"),
        service("web", "10.96.0.1"),
        slice(&["10.0.0.1"]),
    ];
    agent.take_in(objects.into_iter().chain(listed()).collect());
    agent.take_in(vec![
        Event::now(News::Listing(Kind::Service)),
        service("web", "10.96.0.1"),
        Event::now(News::Listed(Kind::Service)),
    ]);
    assert_eq!(programmed(&kernel), [row("10.96.0.1", 1)].into());
}

#[test]
fn healing_removes_nothing_either() {
    let (mut agent, kernel) = restarted_agent();
    kernel.0.borrow_mut().refused = Some("new");
    let readable = [service("new", "10.96.0.3"), unread(1)];
    agent.take_in(readable.into_iter().chain(listed()).collect());
    kernel.0.borrow_mut().refused = None;
    let again = agent.wake_at().expect("a next try");
    agent.wake(again);
    let all = [row("10.96.0.1", 2), row("10.96.0.2", 0), row("10.96.0.3", 0)];
    assert_eq!(programmed(&kernel), all.into());
}
