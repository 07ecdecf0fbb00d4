//! A way between two namespaces whose devices have no Ethernet headers: a tun device at each end, and threads of this
//! process that carry packets from one to the other.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsRawFd,
    thread::{self, JoinHandle},
};

use anyhow::Context;
use nix::errno::Errno;

use super::{ip, namespace::Namespace};

/// The devices' name.
const NAME: &str = "tun0";
/// The longest packet of IP.
const LONGEST: usize = 65_535;

/// Two tun devices; dropping it removes them.
#[derive(Debug)]
pub struct Tunnel {
    ends: [Namespace; 2],
    carriers: Vec<JoinHandle<()>>,
}

impl Tunnel {
    /// Makes a device `tun0` in both namespaces, and sets it up with these lines for `ip`.
    ///
    /// # Errors
    /// When the kernel has no tun devices or refuses a line.
    pub fn new(ends: [&Namespace; 2], lines: [&[String]; 2]) -> anyhow::Result<Self> {
        let mut tunnel = Self {
            ends: ends.map(Clone::clone),
            carriers: Vec::new(),
        };
        let [here, there] = ends.map(|end| end.run(open)?);
        let (here, there) = (here?, there?);
        for (end, lines) in ends.into_iter().zip(lines) {
            ip::batch(Some(end.name()), lines)?;
        }
        let ways = [(here.try_clone()?, there.try_clone()?), (there, here)];
        tunnel.carriers = ways
            .map(|(from, to)| thread::spawn(move || carry(from, to)))
            .into();
        Ok(tunnel)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // A read from a device that is gone fails, which ends the threads.
        for end in &self.ends {
            if let Err(error) = ip::batch(Some(end.name()), &[format!("link delete {NAME}")]) {
                eprintln!("a tunnel was not removed: {error:#}");
                return;
            }
        }
        for carrier in self.carriers.drain(..) {
            carrier.join().unwrap_or_default();
        }
    }
}

/// Carries packets one way, until a device is gone.
fn carry(mut from: File, mut to: File) {
    let mut packet = vec![0; LONGEST];
    while let Ok(length) = from.read(&mut packet) {
        // What a device refuses, because it is down for a moment, is lost as on any cable.
        let _ = to.write(&packet[..length]);
    }
}

/// Makes an end of a tunnel where this thread is; it lives as long as the file.
fn open() -> anyhow::Result<File> {
    make(NAME, libc::IFF_TUN)
}

/// Makes a device with Ethernet headers where this thread is, which lives as long as the file. What is written to the file
/// comes in by the device, byte by byte.
///
/// # Errors
/// When the kernel has no such devices, or none of this name can be.
pub fn tap(name: &str) -> anyhow::Result<File> {
    make(name, libc::IFF_TAP)
}

fn make(name: &str, kind: libc::c_int) -> anyhow::Result<File> {
    let path = "/dev/net/tun";
    let device = File::options().read(true).write(true).open(path);
    let device = device.with_context(|| format!("cannot open {path}, which tunnels need"))?;
    give(&device, name, kind).with_context(|| format!("cannot make the device {name}"))?;
    Ok(device)
}

#[expect(
    unsafe_code,
    reason = "the kernel makes tun devices by ioctl, which no crate here wraps"
)]
fn give(device: &File, name: &str, kind: libc::c_int) -> io::Result<()> {
    let flags = libc::c_short::try_from(kind | libc::IFF_NO_PI).map_err(io::Error::other)?;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags },
    };
    // The last byte stays zero.
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1]
        .iter_mut()
        .zip(name.bytes())
    {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // SAFETY: the descriptor is open as long as `device` is borrowed, and TUNSETIFF reads and writes one `ifreq`, to which
    // the pointer leads and which nobody else knows; its name ends in a zero.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    Errno::result(result)?;
    Ok(())
}
