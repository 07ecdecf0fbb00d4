//! Asks the kernel for everything that exists now.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has hundreds of messages and attributes, and more with every kernel; a handful matters here"
)]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::route::{RouteAttribute, RouteFlags, RouteMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::task::JoinSet;

use super::message::{Message, default_route_devices, parse};

/// Documentation addresses (RFC 5737, RFC 3849): a route to them that has no prefix is the default route.
const SOMEWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// How often a listing is repeated because devices came or went while it was made.
const ATTEMPTS: usize = 5;

/// A netlink socket for questions.
pub(super) struct Lister(Handle);

impl Lister {
    /// Opens the socket; its task ends with the set.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the socket.
    pub(super) fn open(tasks: &mut JoinSet<()>) -> Result<Self> {
        let (mut connection, handle, _) = rtnetlink::new_connection().context("open a netlink socket")?;
        // Only the last message tells of a change that came too late for the others.
        connection.set_forward_done(true);
        tasks.spawn(connection);
        Ok(Self(handle))
    }

    /// All devices, their addresses, and the default routes.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a listing.
    pub(super) async fn everything(&self) -> Result<Vec<Message>> {
        let links = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let mut listing = self
            .list(links)
            .await
            .context("list the network devices by netlink")?;
        let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        listing.extend(
            self.list(addresses)
                .await
                .context("list the network addresses by netlink")?,
        );
        listing.push(Message::DefaultRoutes(self.default_routes().await?));
        Ok(listing)
    }

    /// The devices by which the default routes leave. A lookup for each family instead of a listing: a node that
    /// speaks BGP may have a million routes.
    ///
    /// # Errors
    ///
    /// When the socket is closed. A family without default route is no error.
    pub(super) async fn default_routes(&self) -> Result<BTreeSet<u32>> {
        let mut devices = BTreeSet::new();
        for destination in SOMEWHERE {
            let mut responses = self.request(route_to(destination), NLM_F_REQUEST)?;
            while let Some(response) = responses.next().await {
                if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) = response.payload {
                    devices.extend(default_route_devices(&route));
                }
            }
        }
        Ok(devices)
    }

    async fn list(&self, question: RouteNetlinkMessage) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        for _ in 0..ATTEMPTS {
            let (answer, interrupted) = self.list_once(question.clone()).await?;
            messages = answer;
            if !interrupted {
                return Ok(messages);
            }
        }
        // What changed meanwhile arrives as events.
        tracing::debug!("the listing changed each time while it was read; the last one is used");
        Ok(messages)
    }

    async fn list_once(&self, question: RouteNetlinkMessage) -> Result<(Vec<Message>, bool)> {
        let mut responses = self.request(question, NLM_F_REQUEST | NLM_F_DUMP)?;
        let mut messages = Vec::new();
        let mut interrupted = false;
        while let Some(response) = responses.next().await {
            interrupted |= response.header.flags & NLM_F_DUMP_INTR != 0;
            match response.payload {
                NetlinkPayload::InnerMessage(message) => messages.extend(parse(&message)),
                NetlinkPayload::Done(_) => return Ok((messages, interrupted)),
                NetlinkPayload::Error(error) => bail!("the kernel answers: {error}"),
                _ => {}
            }
        }
        bail!("the netlink socket was closed")
    }

    fn request(
        &self,
        question: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<impl futures::Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + use<>> {
        let mut message = NetlinkMessage::from(question);
        message.header.flags = flags;
        self.0.clone().request(message).context("send a netlink request")
    }
}

fn route_to(destination: IpAddr) -> RouteNetlinkMessage {
    let mut route = RouteMessage::default();
    (
        route.header.address_family,
        route.header.destination_prefix_length,
    ) = match destination {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    // The route itself and not what becomes of it for this destination.
    route.header.flags = RouteFlags::FibMatch;
    route
        .attributes
        .push(RouteAttribute::Destination(destination.into()));
    RouteNetlinkMessage::GetRoute(route)
}
