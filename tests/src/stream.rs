//! A long stream of pseudo-random bytes that goes to a server by TCP and comes back, and whether it is still the same.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::patience::patience;

/// A stream whose packets are lost for good stands still.
const STALLED: Duration = Duration::from_secs(10);
/// How much is written and read at once.
const CHUNK: usize = 256 << 10;
/// The bytes repeat after so many: a prime, so that no packet, and no chunk, is like the next ones.
const PERIOD: usize = 1_048_573;

/// What a client says when its stream has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whom the server saw.
    pub seen: SocketAddr,
    /// How long it took.
    pub micros: u64,
}

/// Sends back what comes, connection by connection, and at the end whom it saw.
///
/// # Errors
/// When nothing more can be accepted.
pub fn serve(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept()?;
        // The client notices what goes wrong.
        thread::spawn(move || send_back(stream, peer));
    }
}

fn send_back(mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    bound(&stream)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return stream.write_all(peer.to_string().as_bytes());
        }
        stream.write_all(&buffer[..length])?;
    }
}

/// Sends so many bytes and reads them again, at the same time.
///
/// # Errors
/// When the stream stands still, ends early or has changed.
pub fn travel(to: SocketAddr, length: u64) -> anyhow::Result<Report> {
    let begin = std::time::Instant::now();
    let stream = TcpStream::connect_timeout(&to, patience(STALLED))
        .with_context(|| format!("cannot connect to {to}"))?;
    bound(&stream)?;
    let content = Content::new();
    let seen = thread::scope(|scope| -> anyhow::Result<SocketAddr> {
        let sending = scope.spawn(|| send(&stream, &content, length));
        let received = receive(&stream, &content, length);
        if received.is_err() {
            // Ends the other direction as well.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let sent = sending
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // What was received says more than that sending failed.
        let seen = received?;
        sent.context("sending")?;
        Ok(seen)
    })?;
    let micros = u64::try_from(begin.elapsed().as_micros())?;
    Ok(Report { seen, micros })
}

fn send(mut stream: &TcpStream, content: &Content, length: u64) -> io::Result<()> {
    let mut position = 0;
    while position < length {
        let chunk = content.at(position, length);
        stream.write_all(chunk)?;
        position += chunk.len() as u64;
    }
    stream.shutdown(Shutdown::Write)
}

fn receive(mut stream: &TcpStream, content: &Content, length: u64) -> anyhow::Result<SocketAddr> {
    let mut buffer = vec![0; CHUNK];
    let mut position = 0;
    while position < length {
        let wanted = content.at(position, length);
        let read = stream
            .read(&mut buffer[..wanted.len()])
            .with_context(|| format!("after {position} of {length} bytes"))?;
        ensure!(read > 0, "the stream ends after {position} of {length} bytes");
        if buffer[..read] != wanted[..read] {
            let same = buffer.iter().zip(wanted).take_while(|(a, b)| a == b).count();
            bail!("byte {} of {length} is another", position + u64::try_from(same)?);
        }
        position += u64::try_from(read)?;
    }
    let mut seen = String::new();
    stream.read_to_string(&mut seen).context("whom the server saw")?;
    seen.parse()
        .with_context(|| format!("the stream ends in `{seen}`"))
}

fn bound(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(patience(STALLED)))?;
    stream.set_write_timeout(Some(patience(STALLED)))
}

/// What is sent: the same for everybody.
struct Content(Vec<u8>);

impl Content {
    /// Numbers of Marsaglia's xorshift generator.
    fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let words = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_ne_bytes()
        });
        let period: Vec<u8> = words.flatten().take(PERIOD).collect();
        Self([&period[..], &period[..CHUNK]].concat())
    }

    /// A chunk of it from a position on; less at the end.
    fn at(&self, position: u64, end: u64) -> &[u8] {
        let length = usize::try_from(end - position).map_or(CHUNK, |left| left.min(CHUNK));
        let start = usize::try_from(position % PERIOD as u64).unwrap_or(0);
        &self.0[start..start + length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_repeats_late() {
        let content = Content::new();
        let chunk = content.at(0, u64::MAX);
        assert_eq!(chunk.len(), CHUNK);
        assert_eq!(content.at(PERIOD as u64, u64::MAX), chunk);
        assert_ne!(content.at(CHUNK as u64, u64::MAX), chunk);
        assert_eq!(content.at(PERIOD as u64 - 1, u64::MAX)[1..], chunk[..CHUNK - 1]);
        assert_eq!(content.at(7, 10).len(), 3);
    }

    #[test]
    fn a_stream_comes_back() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener));
        assert_eq!(travel(to, 3_000_000).unwrap().seen.ip(), to.ip());
    }

    #[test]
    fn a_byte_that_changed_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        thread::spawn(move || -> io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut bytes = vec![0; 1000];
            stream.read_exact(&mut bytes)?;
            bytes[700] ^= 1;
            stream.write_all(&bytes)
        });
        let error = travel(to, 1000).unwrap_err();
        assert_eq!(error.to_string(), "byte 700 of 1000 is another");
    }
}
