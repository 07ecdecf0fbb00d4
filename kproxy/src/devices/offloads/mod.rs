//! Which drivers take VLANs' tags off packets: generic netlink's family `ethtool`
//! (`Documentation/networking/ethtool-netlink.rst`). Where the kernel does not say, none does.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has more messages with every kernel; a handful matters here"
)]

mod message;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use netlink_packet_core::{NLM_F_ACK, NetlinkPayload};
use tokio::task::JoinSet;

use super::follow::Told;
use super::generic::{Events, Numbers};
use super::message::Message;
use message::{About, FAMILY, GROUP};

/// The family of this kernel, if it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offloads(Option<Numbers>);

/// Events.
pub(super) struct Changes(Option<Events<About>>);

impl Offloads {
    /// Asks for the family, and says once if there is none.
    pub(super) fn find() -> Self {
        match Numbers::find(FAMILY, GROUP) {
            Ok(Some(numbers)) => Self(Some(numbers)),
            Ok(None) => {
                tracing::debug!("this kernel does not tell which drivers take VLANs' tags off");
                Self(None)
            }
            Err(error) => {
                tracing::debug!(%error, "which drivers take VLANs' tags off is not known");
                Self(None)
            }
        }
    }

    /// Opens a socket for events; its task ends with the set.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the socket.
    pub(super) fn subscribe(self, tasks: &mut JoinSet<()>) -> Result<Changes> {
        let events = self.0.map(|numbers| numbers.subscribe(tasks)).transpose();
        let events = events.context("subscribe to what drivers do with VLANs' tags by netlink")?;
        Ok(Changes(events))
    }

    /// What the drivers of these devices do now; nothing of those that are gone.
    pub(super) async fn ask(self, devices: BTreeSet<u32>) -> Vec<Message> {
        let mut messages = Vec::new();
        let Some(numbers) = self.0 else {
            return messages;
        };
        for index in devices {
            // Dropping the set ends the socket's task.
            let mut tasks = JoinSet::new();
            match numbers.ask(About::question(index), NLM_F_ACK, &mut tasks).await {
                Ok(answers) => messages.extend(answers.into_iter().filter_map(About::says)),
                Err(error) => {
                    tracing::debug!(index, "ask whether a driver takes VLANs' tags off: {error:#}");
                }
            }
        }
        messages
    }
}

impl Changes {
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
            bail!("the netlink socket that tells what drivers do with VLANs' tags was closed")
        };
        Ok(match event.payload {
            NetlinkPayload::InnerMessage(message) => {
                message.payload.changed().map_or(Told::Nothing, Told::Features)
            }
            NetlinkPayload::Overrun(_) => Told::Lost,
            _ => Told::Nothing,
        })
    }
}

#[cfg(test)]
mod tests;
