//! Netlink (rtnetlink(7)): a listing of what exists, then every change, within microseconds of it.
//!
//! Events and listings use two sockets. Events are subscribed to before the listing is asked for, so nothing falls
//! between the two; an event that the listing already contains is harmless, because every event states a device's
//! whole condition and later ones follow.
//!
//! When its queue is full the kernel drops events and says so once (`ENOBUFS`), but goes on dropping until the queue
//! was read to its end. So that socket is given up: a new one starts with an empty queue, then everything is listed.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has hundreds of messages and attributes, and more with every kernel; a handful matters here"
)]

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use rtnetlink::MulticastGroup::{Ipv4Ifaddr, Ipv4Route, Ipv6Ifaddr, Ipv6Route, Link};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{AsyncSocket, SocketAddr};
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::features::{Drivers, Features};
use super::listing::Lister;
use super::message::{Message, parse, touches_default_route};
use super::offloads::{Changes, Offloads};
use super::patterns::Rules;
use super::table::{Change, Table};
use super::{Addresses, Event, untagging};

/// What the kernel may queue while we are busy, in bytes; it grants no more than `net.core.rmem_max`.
pub(super) const EVENT_QUEUE: usize = 4 << 20;

type Events = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// Follows this network namespace's devices and addresses until the receiver of events is dropped. Addresses are known
/// before [`Event::Listed`] is told.
///
/// # Errors
///
/// When a netlink socket can not be opened or breaks, or a listing is refused.
pub async fn follow(
    rules: Rules,
    sender: Sender<Event>,
    addresses: watch::Sender<Option<Addresses>>,
) -> Result<()> {
    let mut table = Table::new(rules);
    let drivers = Drivers::find();
    let offloads = Offloads::find();
    loop {
        // Dropping the set ends the sockets' tasks.
        let mut tasks = JoinSet::new();
        let mut events = subscribe(&mut tasks)?;
        let mut features = drivers.subscribe(&mut tasks)?;
        let mut offload_changes = offloads.subscribe(&mut tasks)?;
        let lister = Lister::open(&mut tasks)?;
        let mut listing = lister.everything().await?;
        listing.extend(drivers.list(&mut tasks).await);
        let asked = listed_deciding(&listing);
        listing.extend(offloads.ask(asked).await);
        let changes = table.replace(listing);
        tell_addresses(&table, &addresses);
        if !send(&sender, changes).await || sender.send(Event::Listed).await.is_err() {
            return Ok(());
        }
        match follow_events(
            &mut table,
            (&mut events, &mut features, &mut offload_changes),
            (&lister, offloads),
            &sender,
            &addresses,
        )
        .await?
        {
            End::NobodyListens => return Ok(()),
            End::EventsLost => {
                tracing::info!("the kernel dropped events about network devices; listing all of them again");
            }
        }
    }
}

/// Why events are followed no longer.
enum End {
    NobodyListens,
    EventsLost,
}

async fn follow_events(
    table: &mut Table,
    (events, features, offload_changes): (&mut Events, &mut Features, &mut Changes),
    (lister, offloads): (&Lister, Offloads),
    sender: &Sender<Event>,
    addresses: &watch::Sender<Option<Addresses>>,
) -> Result<End> {
    loop {
        let told = tokio::select! {
            event = events.next() => read(event, lister).await?,
            told = features.next() => told?,
            told = offload_changes.next() => told?,
        };
        let messages = match told {
            Told::News(message) => {
                let mut messages = offloads.ask(table.asks_for(&message)).await;
                messages.push(message);
                messages
            }
            Told::Features(index) if table.depends_on(index) => offloads.ask([index].into()).await,
            Told::Features(_) | Told::Nothing => continue,
            Told::Lost => return Ok(End::EventsLost),
        };
        for message in messages {
            let changes = table.apply(message);
            // Before the doors: whoever opens them may be busy for a while.
            tell_addresses(table, addresses);
            if !send(sender, changes).await {
                return Ok(End::NobodyListens);
            }
        }
    }
}

/// Of which devices of a listing the drivers must be asked what they do with VLANs' tags.
fn listed_deciding(listing: &[Message]) -> BTreeSet<u32> {
    let links = listing.iter().filter_map(|message| match message {
        Message::Link(link) => Some(link),
        _ => None,
    });
    untagging::deciding(&links.collect::<Vec<_>>())
}

/// What a socket for events has told.
pub(super) enum Told {
    News(Message),
    /// That a driver does something else with this device's packets than before.
    Features(u32),
    /// Nothing that matters here.
    Nothing,
    /// That there was more.
    Lost,
}

async fn read(
    event: Option<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    lister: &Lister,
) -> Result<Told> {
    let Some((message, _)) = event else {
        bail!("the netlink socket that tells about network devices was closed")
    };
    Ok(match message.payload {
        NetlinkPayload::InnerMessage(message) if touches_default_route(&message) => {
            Told::News(Message::DefaultRoutes(lister.default_routes().await?))
        }
        NetlinkPayload::InnerMessage(message) => parse(&message).map_or(Told::Nothing, Told::News),
        NetlinkPayload::Overrun(_) => Told::Lost,
        _ => Told::Nothing,
    })
}

fn subscribe(tasks: &mut JoinSet<()>) -> Result<Events> {
    let groups = [Link, Ipv4Ifaddr, Ipv6Ifaddr, Ipv4Route, Ipv6Route];
    let (mut connection, _, events) = rtnetlink::new_multicast_connection(&groups)
        .context("subscribe to network device events by netlink")?;
    if let Err(error) = connection.socket_mut().socket_mut().set_rx_buf_sz(EVENT_QUEUE) {
        tracing::debug!(%error, "the queue for network device events keeps its default size");
    }
    tasks.spawn(connection);
    Ok(events)
}

/// Only when there are others than before.
fn tell_addresses(table: &Table, addresses: &watch::Sender<Option<Addresses>>) {
    let now = Some(table.addresses());
    addresses.send_if_modified(|known| {
        let changed = *known != now;
        *known = now;
        changed
    });
}

/// False when nobody listens any more.
async fn send(sender: &Sender<Event>, changes: Vec<Change>) -> bool {
    for change in changes {
        if sender.send(Event::Changed(change)).await.is_err() {
            return false;
        }
    }
    true
}
