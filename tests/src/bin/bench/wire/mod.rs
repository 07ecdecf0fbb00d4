//! The far end of a node's cable: it sends small datagrams as fast as it is let, and counts and drops what comes back of them.
//!
//! Both by XDP, so that they cost next to nothing: what is measured is the node between. The datagrams have no checksum, which
//! tells them from all others.

use std::net::SocketAddrV4;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use anyhow::Context as _;
use kproxy_tests::bench::bpf;
use nix::net::if_::if_nametoindex;

/// Client ports of the datagrams: so many flows.
pub(crate) const PORTS: u16 = 64;
/// The shortest frame (IEEE 802.3), without its check sequence.
const FRAME: usize = 60;
const SOURCE_PORT: i16 = 34;
const ETHERNET: usize = 14;
const UDP: usize = 34;

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const XDP_TX: i32 = 3;
/// `enum bpf_func_id`.
const GET_PRANDOM_U32: i32 = 7;
const PSEUDO_MAP_VALUE: u8 = 2;

/// What is put on the end of a cable. Whoever sends by XDP wakes only an end that has a program itself (`veth_xdp_flush`).
#[derive(Debug)]
pub(crate) struct Sink {
    counter: OwnedFd,
    _link: OwnedFd,
}

impl Sink {
    /// On a device of this thread's namespace, for datagrams to this port.
    pub(crate) fn new(device: &str, port: u16) -> anyhow::Result<Self> {
        let counter = bpf::counter().context("cannot make a map")?;
        let program = bpf::load(bpf::Kind::Xdp, &sink(counter.as_raw_fd(), port))
            .context("cannot load what counts packets")?;
        let link = bpf::attach(program.as_fd(), index(device)?)
            .with_context(|| format!("the driver of {device} takes no XDP program"))?;
        Ok(Self { counter, _link: link })
    }

    /// Datagrams so far.
    pub(crate) fn count(&self) -> anyhow::Result<u64> {
        bpf::read(self.counter.as_fd()).context("cannot read a map")
    }
}

/// A datagram without its source port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram {
    pub(crate) macs: [[u8; 6]; 2],
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
}

/// What sends.
#[derive(Debug)]
pub(crate) struct Source {
    program: OwnedFd,
    frame: [u8; FRAME],
    device: u32,
}

impl Source {
    /// By a device of this thread's namespace, from [`PORTS`] ports by chance.
    pub(crate) fn new(device: &str, datagram: &Datagram) -> anyhow::Result<Self> {
        let frame = datagram.frame();
        Ok(Self {
            program: bpf::load(bpf::Kind::Xdp, &source(&frame, datagram.from.port()))
                .context("cannot load what sends packets")?,
            frame,
            device: index(device)?,
        })
    }

    /// Sends so many from this processor.
    pub(crate) fn send(&self, count: u32) -> anyhow::Result<()> {
        bpf::send(self.program.as_fd(), &self.frame, self.device, count)
            .context("the kernel does not send by XDP (live frames need Linux 5.18)")
    }
}

fn index(device: &str) -> anyhow::Result<u32> {
    if_nametoindex(device).with_context(|| format!("no device {device}"))
}

impl Datagram {
    fn frame(&self) -> [u8; FRAME] {
        let Self { macs, from, to } = self;
        let mut frame = [0; FRAME];
        let [destination, source] = macs;
        frame[..6].copy_from_slice(destination);
        frame[6..12].copy_from_slice(source);
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        let ip = &mut frame[ETHERNET..UDP];
        // Version and length of the header, total length, hops, protocol (RFC 791).
        ip[..4].copy_from_slice(&[0x45, 0, 0, 46]);
        ip[8..10].copy_from_slice(&[64, 17]);
        ip[12..16].copy_from_slice(&from.ip().octets());
        ip[16..20].copy_from_slice(&to.ip().octets());
        let sum = checksum(ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        frame[UDP..UDP + 2].copy_from_slice(&from.port().to_be_bytes());
        frame[UDP + 2..UDP + 4].copy_from_slice(&to.port().to_be_bytes());
        frame[UDP + 4..UDP + 6].copy_from_slice(&26_u16.to_be_bytes());
        frame
    }
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or_default()
}

/// Counts and drops UDP over IPv4 to a port that has no checksum; passes everything else.
fn sink(counter: i32, port: u16) -> Vec<u64> {
    // Half-words are compared as the processor loads them.
    let network = |word: u16| i32::from(u16::from_ne_bytes(word.to_be_bytes()));
    // Jumps to the two last instructions.
    let pass = |at: i16| 17 - at;
    vec![
        // r2 = data, r3 = end
        instruction(0x61, 2, 1, 0, 0),
        instruction(0x61, 3, 1, 4, 0),
        // if data + 42 > end goto pass
        instruction(0xbf, 4, 2, 0, 0),
        instruction(0x07, 4, 0, 0, 42),
        instruction(0x2d, 4, 3, pass(4), 0),
        // EtherType, protocol, destination port, checksum
        instruction(0x69, 5, 2, 12, 0),
        instruction(0x55, 5, 0, pass(6), network(0x0800)),
        instruction(0x71, 5, 2, 23, 0),
        instruction(0x55, 5, 0, pass(8), 17),
        instruction(0x69, 5, 2, 36, 0),
        instruction(0x55, 5, 0, pass(10), network(port)),
        instruction(0x69, 5, 2, 40, 0),
        instruction(0x55, 5, 0, pass(12), 0),
        // lock *(u64 *)counter += 1; return XDP_DROP
        instruction(0x18, 1, PSEUDO_MAP_VALUE, 0, counter),
        0,
        instruction(0xb7, 2, 0, 0, 1),
        instruction(0xdb, 1, 2, 0, 0),
        instruction(0x05, 0, 0, 2, 0),
        // pass:
        instruction(0xb7, 0, 0, 0, XDP_PASS),
        instruction(0x95, 0, 0, 0, 0),
        instruction(0xb7, 0, 0, 0, XDP_DROP),
        instruction(0x95, 0, 0, 0, 0),
    ]
}

/// Writes the frame anew, for what was sent before may come back in the same memory, with a source port by chance.
fn source(frame: &[u8; FRAME], first: u16) -> Vec<u64> {
    let mut program = vec![
        instruction(0xbf, 6, 1, 0, 0),
        instruction(0x85, 0, 0, 0, GET_PRANDOM_U32),
        // r7 = htons(first + r0 % PORTS)
        instruction(0x57, 0, 0, 0, i32::from(PORTS - 1)),
        instruction(0x07, 0, 0, 0, i32::from(first)),
        instruction(0xdc, 0, 0, 0, 16),
        instruction(0xbf, 7, 0, 0, 0),
        // r2 = data, r3 = end
        instruction(0x61, 2, 6, 0, 0),
        instruction(0x61, 3, 6, 4, 0),
        instruction(0xbf, 4, 2, 0, 0),
        instruction(0x07, 4, 0, 0, 60),
        // if data + 60 <= end goto write; return XDP_DROP
        instruction(0xbd, 4, 3, 2, 0),
        instruction(0xb7, 0, 0, 0, XDP_DROP),
        instruction(0x95, 0, 0, 0, 0),
    ];
    for (number, word) in frame.chunks(4).enumerate() {
        let word = i32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let offset = i16::try_from(number * 4).unwrap_or_default();
        // *(u32 *)(data + offset) = word
        program.push(instruction(0x62, 2, 0, offset, word));
    }
    program.extend([
        instruction(0x6b, 2, 7, SOURCE_PORT, 0),
        instruction(0xb7, 0, 0, 0, XDP_TX),
        instruction(0x95, 0, 0, 0, 0),
    ]);
    program
}

/// RFC 9669 section 3.
fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    let [o0, o1] = offset.to_le_bytes();
    let [i0, i1, i2, i3] = immediate.to_le_bytes();
    u64::from_le_bytes([code, source << 4 | destination, o0, o1, i0, i1, i2, i3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_datagram_is_a_right_one() {
        let datagram = Datagram {
            macs: [[2; 6], [4; 6]],
            from: "172.30.0.100:20000".parse().unwrap(),
            to: "172.30.0.1:30080".parse().unwrap(),
        };
        let frame = datagram.frame();
        kproxy_tests::host::frame::verify_checksums(&frame).unwrap();
        assert_eq!(u16::from_be_bytes([frame[36], frame[37]]), 30_080);
        assert_eq!(u16::from_be_bytes([frame[34], frame[35]]), 20_000);
    }
}
