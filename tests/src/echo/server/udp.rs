//! UDP: every datagram is answered from the address it was sent to.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::atomic::{AtomicBool, Ordering},
};

use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrLike, SockaddrStorage, recvmsg, sendmsg,
        setsockopt, sockopt,
    },
};
use socket2::Socket;

use crate::echo::message::Answer;

/// Makes the kernel say with each datagram where it was sent to.
pub(super) fn ask_for_destination(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    Ok(())
}

pub(super) fn serve(name: &str, bound: SocketAddr, socket: &UdpSocket, stopped: &AtomicBool) {
    while !stopped.load(Ordering::Relaxed) {
        // Timeouts to look at the flag, or datagrams that are the client's to miss.
        let Ok(Datagram { request, peer, local }) = receive(socket, bound) else {
            continue;
        };
        let answer = Answer {
            pod: name.to_owned(),
            peer,
            local,
            request,
        };
        send(socket, &answer).unwrap_or_default();
    }
}

struct Datagram {
    request: String,
    peer: SocketAddr,
    local: SocketAddr,
}

fn receive(socket: &UdpSocket, bound: SocketAddr) -> io::Result<Datagram> {
    let mut buffer = [0; 2048];
    let mut control = cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let missing = || io::Error::from(io::ErrorKind::InvalidData);
    let peer = message
        .address
        .as_ref()
        .and_then(socket_address)
        .ok_or_else(missing)?;
    let destination = message
        .cmsgs()?
        .find_map(|message| destination(&message))
        .ok_or_else(missing)?;
    let length = message.bytes;
    let request = String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned();
    Ok(Datagram {
        request,
        peer,
        local: (destination, bound.port()).into(),
    })
}

fn send(socket: &UdpSocket, answer: &Answer) -> io::Result<()> {
    let text = serde_json::to_string(answer)?;
    let parts = [IoSlice::new(text.as_bytes())];
    let peer = SockaddrStorage::from(answer.peer);
    match answer.local.ip() {
        IpAddr::V4(source) => {
            let information = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: source.to_bits().to_be(),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            let control = [ControlMessage::Ipv4PacketInfo(&information)];
            sendmsg(
                socket.as_raw_fd(),
                &parts,
                &control,
                MsgFlags::empty(),
                Some(&peer),
            )?;
        }
        IpAddr::V6(source) => {
            let information = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: source.octets(),
                },
                ipi6_ifindex: 0,
            };
            let control = [ControlMessage::Ipv6PacketInfo(&information)];
            sendmsg(
                socket.as_raw_fd(),
                &parts,
                &control,
                MsgFlags::empty(),
                Some(&peer),
            )?;
        }
    }
    Ok(())
}

fn destination(message: &ControlMessageOwned) -> Option<IpAddr> {
    if let ControlMessageOwned::Ipv4PacketInfo(information) = message {
        return Some(Ipv4Addr::from_bits(u32::from_be(information.ipi_addr.s_addr)).into());
    }
    if let ControlMessageOwned::Ipv6PacketInfo(information) = message {
        return Some(Ipv6Addr::from(information.ipi6_addr.s6_addr).into());
    }
    None
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    match (
        address.family()?,
        address.as_sockaddr_in(),
        address.as_sockaddr_in6(),
    ) {
        (_, Some(&v4), _) => Some(SocketAddr::V4(v4.into())),
        (_, _, Some(&v6)) => Some(SocketAddr::V6(v6.into())),
        _ => None,
    }
}
