//! A conversation with the kernel over netlink(7): one question at a time, on a thread that waits.

use std::io;

use netlink_packet_core::{
    NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

/// A netlink socket of one network namespace: the one in which it was opened, wherever its thread goes afterwards.
#[derive(Debug)]
pub(crate) struct Conversation {
    socket: Socket,
    sequence: u32,
}

impl Conversation {
    /// Opens one of the kernel's protocols ([`netlink_sys::protocols`]) for the network namespace of this thread.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a request and hands on its answers, up to the last. An answer that can not be read is handed on as an error.
    ///
    /// # Errors
    ///
    /// What the kernel says to the request.
    pub(crate) fn ask<Q: NetlinkSerializable, A: NetlinkDeserializable>(
        &mut self,
        question: Q,
        flags: u16,
        mut answered: impl FnMut(io::Result<A>),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(question));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            for bytes in messages(&datagram) {
                let buffer = NetlinkBuffer::new_checked(bytes).map_err(unreadable)?;
                // What is left of a request that was given up.
                if buffer.sequence_number() != self.sequence {
                    continue;
                }
                let message = match NetlinkMessage::<A>::deserialize(bytes) {
                    Ok(message) => message,
                    Err(error) => {
                        answered(Err(unreadable(error)));
                        continue;
                    }
                };
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => answered(Ok(answer)),
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Err(io::Error::from_raw_os_error(-done.code));
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
                    // Code 0 is the acknowledgement that was asked for.
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::Noop | NetlinkPayload::Overrun(_) | _ => {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                }
            }
        }
    }
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The messages of one datagram. What is no message any more comes last, whole.
fn messages(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        // Messages start at multiples of four (`NLMSG_ALIGNTO`).
        let length = NetlinkBuffer::new_checked(rest).map_or(rest.len(), |message| {
            message.length().next_multiple_of(4) as usize
        });
        let (message, others) = rest.split_at(length.min(rest.len()));
        rest = others;
        Some(message)
    })
}
