//! What drivers do for XDP: generic netlink's family `netdev` (`Documentation/netlink/specs/netdev.yaml`). Minimum kernel
//! version 6.3; of an older one nothing is known, and nobody relies on any driver.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has more messages with every kernel; a handful matters here"
)]

mod message;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use netlink_packet_core::{NLM_F_DUMP, NetlinkPayload};
use tokio::task::JoinSet;

use super::follow::Told;
use super::generic::{Events, Numbers};
use super::message::Message;
use message::{About, FAMILY, GROUP};

/// The family of this kernel, if it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drivers(Option<Numbers>);

/// Events.
pub(super) struct Features(Option<Events<About>>);

impl Drivers {
    /// Asks for the family, and says once if there is none.
    pub(super) fn find() -> Self {
        match Numbers::find(FAMILY, GROUP) {
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
        let events = self.0.map(|numbers| numbers.subscribe(tasks)).transpose();
        let events = events.context("subscribe to what drivers do for XDP by netlink")?;
        Ok(Features(events))
    }

    /// What all drivers do now. Where the kernel does not say, nobody relies on any.
    pub(super) async fn list(self, tasks: &mut JoinSet<()>) -> Vec<Message> {
        let Some(numbers) = self.0 else {
            return Vec::new();
        };
        let answers = numbers.ask(About::QUESTION, NLM_F_DUMP, tasks).await;
        let answers = answers.context("ask what drivers do for XDP");
        let answers = answers.unwrap_or_else(|error| {
            tracing::warn!("{error:#}: XDP sends by no other device");
            Vec::new()
        });
        answers.into_iter().filter_map(About::says).collect()
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
