//! The uplink door's other half: an XDP program, for what leaves the node again.
//!
//! It makes nothing right that TC would not, so nothing here is fatal: a device that refuses it keeps its door at TC. The links
//! are pinned under the names of program, way and device, and outlive the agent as all others do.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::{TestRun as _, TestRunOptions};
use aya_obj::generated::bpf_attach_type;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::error::OpenError;
use super::links;
use super::pins::{Pins, children, remove_link};
use super::programs::Programs;
use super::sys::link::{Hook, Target};
use crate::causes::one_line;

/// The program.
pub(super) const PROGRAM: &str = "uplink_xdp";

/// Length of a `struct xdp_md`, and where the interface index and the packet's end are in it (`include/uapi/linux/bpf.h`).
const CONTEXT: usize = 24;
const CONTEXT_END: usize = 4;
const CONTEXT_DEVICE: usize = 12;
/// The verdict on what is nobody's business.
const XDP_PASS: u32 = 2;

/// Where XDP decides on what comes in by uplinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum XdpMode {
    /// In the drivers of NICs that can.
    #[default]
    Auto,
    /// In the driver of every uplink that can.
    Native,
    /// Behind the driver, for tests: no faster than TC.
    Generic,
    /// Nowhere.
    Off,
}

impl XdpMode {
    /// The way for a device.
    const fn way(self, hardware: bool) -> Option<Way> {
        match self {
            Self::Auto if hardware => Some(Way::Native),
            Self::Native => Some(Way::Native),
            Self::Generic => Some(Way::Generic),
            Self::Auto | Self::Off => None,
        }
    }
}

/// How the program is run on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By its driver.
    Native,
    /// By the kernel, on packets that it has made already.
    Generic,
}

impl Way {
    const ALL: [Self; 2] = [Self::Native, Self::Generic];

    /// `XDP_FLAGS_DRV_MODE` and `XDP_FLAGS_SKB_MODE` (`include/uapi/linux/if_link.h`).
    const fn flags(self) -> u32 {
        match self {
            Self::Native => 1 << 2,
            Self::Generic => 1 << 1,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The links of one pin directory.
#[derive(Debug)]
pub(super) struct Early {
    mode: XdpMode,
    links: PathBuf,
}

impl Early {
    pub(super) fn new(mode: XdpMode, pins: &Pins) -> Self {
        Self {
            mode,
            links: pins.links(),
        }
    }

    /// Puts the program on an uplink, if that is wanted, works, and nothing stands in the way, and says so.
    pub(super) fn attach(
        &self,
        programs: &mut Programs,
        index: u32,
        device: &str,
        hardware: bool,
        obstacle: Option<&str>,
    ) -> Result<(), OpenError> {
        let way = self.mode.way(hardware);
        for other in Way::ALL.into_iter().filter(|other| Some(*other) != way) {
            remove_link(&self.pin(other, index))?;
        }
        let Some(way) = way else { return Ok(()) };
        let put = match obstacle {
            Some(obstacle) => Err(obstacle.to_owned()),
            None => self.put(programs, way, index),
        };
        match put {
            Ok(()) => tracing::info!(device, "{way} XDP sends on what only passes through"),
            Err(reason) => {
                remove_link(&self.pin(way, index))?;
                tracing::info!(device, "no {way} XDP, so TC does all of it: {reason}");
            }
        }
        Ok(())
    }

    /// Gives the program's successor to every device that has it.
    pub(super) fn replace(&self, programs: &mut Programs) -> Result<(), OpenError> {
        for path in children(&self.links)? {
            let Some((way, index)) = place_of(&path) else {
                continue;
            };
            // Which devices are hardware is not known yet: what is not wanted goes when they are told.
            let is_wanted = self.mode.way(true) == Some(way);
            if !is_wanted || self.put(programs, way, index).is_err() {
                remove_link(&path)?;
            }
        }
        Ok(())
    }

    /// Takes the program off a device.
    pub(super) fn detach(&self, index: u32) -> Result<(), OpenError> {
        for way in Way::ALL {
            remove_link(&self.pin(way, index))?;
        }
        Ok(())
    }

    /// The devices that have the program.
    pub(super) fn occupied(&self) -> Result<Vec<u32>, OpenError> {
        let paths = children(&self.links)?;
        Ok(paths.iter().filter_map(|path| Some(place_of(path)?.1)).collect())
    }

    fn put(&self, programs: &mut Programs, way: Way, index: u32) -> Result<(), String> {
        let program = programs.early().map_err(|error| one_line(&error))?;
        links::put(
            &self.pin(way, index),
            program,
            Target::Early(index, way.flags()),
            bpf_attach_type::BPF_XDP,
            Hook::Early { index },
        )
        .map_err(|(doing, error)| match error.raw_os_error() {
            Some(libc::EBUSY) => "another program is there already".to_owned(),
            _ => format!("{doing} it: {error}"),
        })?;
        test(programs, way, index).map_err(|error| format!("testing it: {error}"))
    }

    fn pin(&self, way: Way, index: u32) -> PathBuf {
        self.links.join(format!("{PROGRAM}-{way}-{index}"))
    }
}

/// Whether the program lets a packet pass that is for nobody here, where it is now.
fn test(programs: &mut Programs, way: Way, index: u32) -> io::Result<()> {
    let packet = somebody_elses();
    let mut context = [0; CONTEXT];
    let length = u32::try_from(packet.len()).map_err(io::Error::other)?;
    context[CONTEXT_END..CONTEXT_END + 4].copy_from_slice(&length.to_ne_bytes());
    // Only drivers have queues for it.
    if way == Way::Native {
        context[CONTEXT_DEVICE..CONTEXT_DEVICE + 4].copy_from_slice(&index.to_ne_bytes());
    }
    let mut out = vec![0; packet.len()];
    let program = programs.early_program().map_err(io::Error::other)?;
    let result = program
        .test_run(TestRunOptions {
            data_in: Some(&packet),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            repeat: 1,
            ..TestRunOptions::default()
        })
        .map_err(io::Error::other)?;
    if result.return_value == XDP_PASS && out == packet {
        Ok(())
    } else {
        let verdict = result.return_value;
        Err(io::Error::other(format!(
            "it decides {verdict} on a packet of somebody else"
        )))
    }
}

/// A datagram between documentation addresses (RFC 5737).
fn somebody_elses() -> Vec<u8> {
    let mut packet = vec![0; 64];
    packet[12..14].copy_from_slice(&[0x08, 0x00]);
    packet[14..18].copy_from_slice(&[0x45, 0, 0, 50]);
    packet[22..24].copy_from_slice(&[64, 17]);
    packet[26..34].copy_from_slice(&[192, 0, 2, 1, 198, 51, 100, 1]);
    packet[34..42].copy_from_slice(&[0x30, 0x39, 0x30, 0x39, 0, 30, 0, 0]);
    packet
}

/// The way and the interface index in the name of a link's pin.
fn place_of(pin: &Path) -> Option<(Way, u32)> {
    let name = pin.file_name().and_then(OsStr::to_str)?;
    let (way, index) = name.strip_prefix(PROGRAM)?.strip_prefix('-')?.rsplit_once('-')?;
    let way = Way::ALL.into_iter().find(|known| known.name() == way)?;
    Some((way, index.parse().ok()?))
}

/// The interface index in the name of a pin, if it is one of these links'.
pub(super) fn index_of(pin: &Path) -> Option<u32> {
    place_of(pin).map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nics_have_it_by_themselves() {
        let ways = |mode: XdpMode| [true, false].map(|hardware| mode.way(hardware));
        assert_eq!(ways(XdpMode::Auto), [Some(Way::Native), None]);
        assert_eq!(ways(XdpMode::Native), [Some(Way::Native); 2]);
        assert_eq!(ways(XdpMode::Generic), [Some(Way::Generic); 2]);
        assert_eq!(ways(XdpMode::Off), [None; 2]);
    }

    #[test]
    fn pins_tell_their_place() {
        let place = |name: &str| place_of(Path::new(name));
        assert_eq!(place("/x/uplink_xdp-native-7"), Some((Way::Native, 7)));
        assert_eq!(place("/x/uplink_xdp-generic-12"), Some((Way::Generic, 12)));
        for name in [
            "/x/uplink_xdp-native-7-new",
            "/x/uplink_ingress-7",
            "/x/uplink_xdp-7",
        ] {
            assert_eq!(place(name), None, "{name}");
        }
    }
}
