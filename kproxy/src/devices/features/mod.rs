//! What drivers do for XDP: generic netlink's family `netdev` (`Documentation/netlink/specs/netdev.yaml`). Minimum kernel
//! version 6.3; of an older one nothing is known, and nobody relies on any driver.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has more messages with every kernel; a handful matters here"
)]

mod message;

use std::io;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::nlas::{GenlCtrlAttrs, McastGrpAttrs};
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{AsyncSocket as _, SocketAddr};
use rtnetlink::proto;
use tokio::task::JoinSet;

use super::follow::{EVENT_QUEUE, Told};
use super::message::Message;
use crate::netlink::Conversation;
use message::{About, FAMILY, GROUP};

type Netlink = NetlinkMessage<GenlMessage<About>>;
type Events = UnboundedReceiver<(Netlink, SocketAddr)>;

/// The family of this kernel, if it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drivers(Option<Numbers>);

/// What the kernel calls the family.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    family: u16,
    group: u32,
}

/// Events.
pub(super) struct Features(Option<Events>);

impl Drivers {
    /// Asks for the family, and says once if there is none.
    pub(super) fn find() -> Self {
        match numbers() {
            Ok(Some(numbers)) => Self(Some(numbers)),
            Ok(None) => {
                tracing::debug!(
                    "this kernel does not tell what drivers do for XDP (6.3), which sends by no other device"
                );
                Self(None)
            }
            Err(error) => {
                tracing::debug!(%error, "what drivers do for XDP is not known, which sends by no other device");
                Self(None)
            }
        }
    }

    /// Opens a socket for events; its task ends with the set.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the socket.
    pub(super) fn subscribe(self, tasks: &mut JoinSet<()>) -> Result<Features> {
        let Some(Numbers { family: _, group }) = self.0 else {
            return Ok(Features(None));
        };
        let events = events(group, tasks).context("subscribe to what drivers do for XDP by netlink")?;
        Ok(Features(Some(events)))
    }

    /// What all drivers do now. Where the kernel does not say, nobody relies on any.
    pub(super) async fn list(self, tasks: &mut JoinSet<()>) -> Vec<Message> {
        self.ask(tasks).await.unwrap_or_else(|error| {
            tracing::warn!("{error:#}: XDP sends by no other device");
            Vec::new()
        })
    }

    async fn ask(self, tasks: &mut JoinSet<()>) -> Result<Vec<Message>> {
        let Some(Numbers { family, group: _ }) = self.0 else {
            return Ok(Vec::new());
        };
        let (connection, handle, _) =
            proto::new_connection(NETLINK_GENERIC).context("open a generic netlink socket")?;
        tasks.spawn(connection);
        let mut question = GenlMessage::from_payload(About::QUESTION);
        question.set_resolved_family_id(family);
        let mut question = Netlink::from(question);
        question.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut answers = handle
            .request(question, SocketAddr::new(0, 0))
            .context("ask what drivers do for XDP")?;
        let mut messages = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => messages.extend(message.payload.says()),
                NetlinkPayload::Error(error) => {
                    bail!("the kernel answers to what drivers do for XDP: {error}")
                }
                _ => {}
            }
        }
        Ok(messages)
    }
}

impl Features {
    /// The next event; none is lost if this is given up. Waits for ever where there is no such family.
    ///
    /// # Errors
    ///
    /// When there are no more.
    pub(super) async fn next(&mut self) -> Result<Told> {
        let Some(events) = &mut self.0 else {
            return std::future::pending().await;
        };
        let Some((event, _)) = events.next().await else {
            bail!("the netlink socket that tells what drivers do for XDP was closed")
        };
        Ok(match event.payload {
            NetlinkPayload::InnerMessage(message) => message.payload.says().map_or(Told::Nothing, Told::News),
            NetlinkPayload::Overrun(_) => Told::Lost,
            _ => Told::Nothing,
        })
    }
}

fn events(group: u32, tasks: &mut JoinSet<()>) -> io::Result<Events> {
    let (mut connection, _, events) = proto::new_connection(NETLINK_GENERIC)?;
    let socket = connection.socket_mut().socket_mut();
    if let Err(error) = socket.set_rx_buf_sz(EVENT_QUEUE) {
        tracing::debug!(%error, "the queue for events about drivers keeps its default size");
    }
    socket.bind_auto()?;
    socket.add_membership(group)?;
    tasks.spawn(connection);
    Ok(events)
}

/// Asks the kernel what it calls the family.
fn numbers() -> io::Result<Option<Numbers>> {
    let question = GenlMessage::from_payload(GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(FAMILY.to_owned())],
    });
    let mut attributes = Vec::new();
    let mut unreadable = None;
    let asked = Conversation::open(NETLINK_GENERIC)?.ask(question, NLM_F_ACK, |answer| match answer {
        Ok(GenlMessage::<GenlCtrl> { payload, .. }) => attributes.extend(payload.nlas),
        Err(error) => unreadable = Some(error),
    });
    match (asked, unreadable) {
        (Err(error), _) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
        (Err(error), _) | (Ok(()), Some(error)) => return Err(error),
        (Ok(()), None) => {}
    }
    let family = attributes.iter().find_map(|attribute| match attribute {
        GenlCtrlAttrs::FamilyId(family) => Some(*family),
        _ => None,
    });
    let mut groups = attributes.iter().flat_map(|attribute| match attribute {
        GenlCtrlAttrs::McastGroups(groups) => groups.as_slice(),
        _ => &[],
    });
    let group = groups.find_map(|group| {
        let is_ours = |one: &McastGrpAttrs| matches!(one, McastGrpAttrs::Name(name) if name == GROUP);
        group
            .iter()
            .any(is_ours)
            .then_some(group)?
            .iter()
            .find_map(|one| match one {
                McastGrpAttrs::Id(group) => Some(*group),
                McastGrpAttrs::Name(_) => None,
            })
    });
    Ok(family.zip(group).map(|(family, group)| Numbers { family, group }))
}
