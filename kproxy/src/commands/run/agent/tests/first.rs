//! The first services: in parts where nothing is served yet.

use super::*;

const MANY: usize = 2 * PART + 1;

fn roomy() -> Capacity {
    let entries = u32::try_from(2 * MANY).unwrap();
    Capacity {
        addresses: entries,
        frontends: entries,
        ..CAPACITY
    }
}

/// All at once, as the lists of a large cluster bring them.
fn services() -> Vec<Event> {
    let addresses = (1..=MANY).map(|number| (number, format!("10.96.{}.{}", number / 250, number % 250)));
    let services = addresses.map(|(number, address)| service(&format!("service-{number}"), &address));
    services
        .chain(Kind::ALL.into_iter().map(|kind| Event::now(News::Listed(kind))))
        .collect()
}

fn started(refused: Option<&'static str>) -> (Agent<Fake>, Fake) {
    let kernel = Fake::default();
    kernel.0.borrow_mut().refused = refused;
    let mut agent = new_agent(Applied::new(roomy()), kernel.clone());
    agent.take_in(services());
    (agent, kernel)
}

#[test]
fn first_services_are_programmed_in_parts() {
    let (_, kernel) = started(None);
    assert_eq!(kernel.0.borrow().plans, 3);
    assert_eq!(programmed(&kernel).len(), MANY);
}

#[test]
fn what_is_served_already_stays_in_one_plan() {
    let (_, kernel) = started(None);
    let contents = kernel.0.borrow().contents.clone();
    let mut again = new_agent(Applied::adopt(roomy(), contents), kernel.clone());
    kernel.0.borrow_mut().plans = 0;
    let mut events = services();
    // They would be in the first and the last part.
    events.push(service("a", "10.97.0.1"));
    events.push(service("z", "10.97.0.2"));
    again.take_in(events);
    assert_eq!(kernel.0.borrow().plans, 1);
    assert_eq!(programmed(&kernel).len(), MANY + 2);
}

#[test]
fn a_part_that_fails_keeps_no_other_waiting_and_is_tried_again() {
    // Sorts into the first part.
    let (mut agent, kernel) = started(Some("service-1"));
    assert_eq!(programmed(&kernel).len(), MANY - 1);
    kernel.0.borrow_mut().refused = None;
    let again = agent.wake_at().expect("a next try");
    agent.wake(again);
    assert_eq!(programmed(&kernel).len(), MANY);
    assert_eq!(agent.retry.at(), None);
}
