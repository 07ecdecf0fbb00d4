//! TCP and SCTP: one thread per connection, one answer per line.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use socket2::{Protocol, SockRef};

use super::{STOP_CHECK, is_pause};
use crate::echo::message::Answer;

pub(super) fn serve(name: &str, listener: &TcpListener, stopped: &Arc<AtomicBool>) {
    while !stopped.load(Ordering::Relaxed) {
        // A connection that failed before it was accepted is the client's to report.
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        let (name, stopped) = (name.to_owned(), Arc::clone(stopped));
        // A client that went away ends its thread, and nothing else.
        thread::spawn(move || answer_lines(&name, stream, &stopped).unwrap_or_default());
    }
}

fn answer_lines(name: &str, stream: TcpStream, stopped: &AtomicBool) -> io::Result<()> {
    let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
    stream.set_read_timeout(Some(STOP_CHECK))?;
    if SockRef::from(&stream).protocol()? == Some(Protocol::TCP) {
        stream.set_nodelay(true)?;
    }
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !stopped.load(Ordering::Relaxed) {
        match reader.read_line(&mut line) {
            Ok(0) => break,
            Ok(_) => {}
            // What was read so far stays in `line`.
            Err(error) if is_pause(&error) => continue,
            Err(error) => return Err(error),
        }
        let answer = Answer {
            pod: name.to_owned(),
            peer,
            local,
            request: line.trim_end().to_owned(),
        };
        let mut text = serde_json::to_string(&answer)?;
        text.push('\n');
        reader.get_mut().write_all(text.as_bytes())?;
        line.clear();
    }
    Ok(())
}
