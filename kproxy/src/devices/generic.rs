//! Generic netlink, whose families tell of devices what rtnetlink does not. The kernel numbers them as it likes.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has more messages with every kernel; a handful matters here"
)]

use std::fmt::Debug;
use std::io;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, ParseableParametrized,
};
use netlink_packet_generic::ctrl::nlas::{GenlCtrlAttrs, McastGrpAttrs};
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{AsyncSocket as _, SocketAddr};
use rtnetlink::proto;
use tokio::task::JoinSet;

use super::follow::EVENT_QUEUE;
use crate::netlink::Conversation;

type Netlink<F> = NetlinkMessage<GenlMessage<F>>;

/// Events of a family.
pub(super) type Events<F> = UnboundedReceiver<(Netlink<F>, SocketAddr)>;

/// The messages of a family.
pub(super) trait Family:
    GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Clone + Debug + Unpin + Send + 'static
{
}

/// What the kernel calls a family and its group of events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    family: u16,
    group: u32,
}

impl Numbers {
    /// Asks the kernel; nothing if it has no such family or group.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(super) fn find(family: &str, group: &str) -> io::Result<Option<Self>> {
        let question = GenlMessage::from_payload(GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(family.to_owned())],
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
        let group = group_of(&attributes, group);
        Ok(family.zip(group).map(|(family, group)| Self { family, group }))
    }

    /// Opens a socket for events; its task ends with the set.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the socket.
    pub(super) fn subscribe<F: Family>(self, tasks: &mut JoinSet<()>) -> io::Result<Events<F>> {
        let (mut connection, _, events) = proto::new_connection(NETLINK_GENERIC)?;
        let socket = connection.socket_mut().socket_mut();
        if let Err(error) = socket.set_rx_buf_sz(EVENT_QUEUE) {
            tracing::debug!(%error, "the queue for events about drivers keeps its default size");
        }
        socket.bind_auto()?;
        socket.add_membership(self.group)?;
        tasks.spawn(connection);
        Ok(events)
    }

    /// Sends a question and collects its answers.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the socket or the question.
    pub(super) async fn ask<F: Family>(
        self,
        question: F,
        flags: u16,
        tasks: &mut JoinSet<()>,
    ) -> Result<Vec<F>> {
        let (connection, handle, _) =
            proto::new_connection(NETLINK_GENERIC).context("open a generic netlink socket")?;
        tasks.spawn(connection);
        let mut question = GenlMessage::from_payload(question);
        question.set_resolved_family_id(self.family);
        let mut question = Netlink::from(question);
        question.header.flags = NLM_F_REQUEST | flags;
        let mut answers = handle
            .request(question, SocketAddr::new(0, 0))
            .context("send a generic netlink request")?;
        let mut messages = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => messages.push(message.payload),
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    bail!("the kernel answers: {error}")
                }
                _ => {}
            }
        }
        Ok(messages)
    }
}

fn group_of(attributes: &[GenlCtrlAttrs], wanted: &str) -> Option<u32> {
    let mut groups = attributes.iter().flat_map(|attribute| match attribute {
        GenlCtrlAttrs::McastGroups(groups) => groups.as_slice(),
        _ => &[],
    });
    groups.find_map(|group| {
        let is_wanted = |one: &McastGrpAttrs| matches!(one, McastGrpAttrs::Name(name) if name == wanted);
        group
            .iter()
            .any(is_wanted)
            .then_some(group)?
            .iter()
            .find_map(|one| match one {
                McastGrpAttrs::Id(group) => Some(*group),
                McastGrpAttrs::Name(_) => None,
            })
    })
}
