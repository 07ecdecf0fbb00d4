//! What the agent wants from the data plane.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::dataplane::{Dataplane, DeviceDoor};
use crate::devices::{Device, Untagging};
use crate::plan::{MapContents, Plan};
use crate::sockets::Sweeper;

/// The agent's hands. Its decisions are tested with others.
pub(super) trait Kernel {
    /// Makes a plan's writes, up to the first failure, and counts them.
    fn apply(&mut self, plan: &Plan) -> Result<usize>;
    /// Reads the maps that plans write.
    fn contents(&mut self) -> Result<MapContents>;
    /// Opens a door; anew if it is open already. False if the device has gone meanwhile.
    fn attach(&mut self, door: DeviceDoor, device: &Device) -> Result<bool>;
    /// Closes a door if it is open.
    fn detach(&mut self, index: u32) -> Result<()>;
    /// Closes all doors but these and answers which that were.
    fn detach_others(&mut self, keep: &BTreeSet<u32>) -> Result<BTreeSet<u32>>;
}

/// The data plane, and who tells connected sockets what it can not.
pub(super) struct Hands {
    pub(super) dataplane: Dataplane,
    /// None if the kernel does not let it work.
    pub(super) sweeper: Option<Sweeper>,
}

impl Kernel for Hands {
    fn apply(&mut self, plan: &Plan) -> Result<usize> {
        let outcome = self.dataplane.apply(plan);
        // Also after a failure: what was retired before it is gone.
        if let Some(sweeper) = &self.sweeper {
            sweeper.follow(plan);
        }
        Ok(outcome?.writes)
    }

    fn contents(&mut self) -> Result<MapContents> {
        Ok(self.dataplane.contents()?)
    }

    fn attach(&mut self, door: DeviceDoor, device: &Device) -> Result<bool> {
        let Device {
            index,
            name,
            hardware,
            untagged_by,
        } = device;
        let obstacle = Untagging::obstacle(untagged_by);
        let opened = self
            .dataplane
            .attach(door, *index, name)
            .and_then(|()| match door {
                DeviceDoor::Uplink => self
                    .dataplane
                    .accelerate(*index, name, *hardware, obstacle.as_deref()),
                DeviceDoor::Pod | DeviceDoor::BareUplink => Ok(()),
            });
        match opened {
            Ok(()) => Ok(true),
            Err(error) if error.device_is_gone() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn detach(&mut self, index: u32) -> Result<()> {
        Ok(self.dataplane.detach(index)?)
    }

    fn detach_others(&mut self, keep: &BTreeSet<u32>) -> Result<BTreeSet<u32>> {
        Ok(self.dataplane.detach_others(keep)?)
    }
}
