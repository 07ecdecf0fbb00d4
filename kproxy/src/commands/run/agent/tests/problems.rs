//! What can not be planned, as long as it lasts.

use super::*;

/// An agent that has room for the backends of one service.
fn small_agent() -> Agent<Fake> {
    let capacity = Capacity {
        backends: 2,
        ..CAPACITY
    };
    let mut agent = new_agent(Applied::new(capacity), Fake::default());
    let listed = Kind::ALL.into_iter().map(|kind| Event::now(News::Listed(kind)));
    agent.take_in(listed.collect());
    agent
}

#[test]
fn a_problem_goes_with_its_service_also_if_that_never_had_room() {
    let mut agent = small_agent();
    agent.take_in(vec![
        service("web", "10.96.0.1"),
        slice(&["10.0.0.1", "10.0.0.2"]),
    ]);
    assert_eq!(agent.known.count(), 1);
    let name = ObjectName::new("default", "web");
    agent.take_in(vec![Event::now(News::Service(Change::Removed(name)))]);
    assert_eq!(agent.known.count(), 0, "the service is gone");
    agent.take_in(vec![service("web", "10.96.0.1")]);
    assert_eq!(agent.known.count(), 1, "and is back");
}

#[test]
fn a_problem_goes_when_the_service_is_as_it_was_again() {
    let mut agent = small_agent();
    agent.take_in(vec![service("web", "10.96.0.1"), slice(&["10.0.0.1"])]);
    assert_eq!(agent.known.count(), 0);
    agent.take_in(vec![slice(&["10.0.0.1", "10.0.0.2"])]);
    assert_eq!(agent.known.count(), 1, "no room for the second one");
    agent.take_in(vec![slice(&["10.0.0.1"])]);
    assert_eq!(agent.known.count(), 0);
}
