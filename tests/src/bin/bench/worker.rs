//! What runs inside: a server, and clients that time what they do. Each says what it came to in one line of JSON.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

/// How long a client tries before it counts, so that caches and neighbours are warm.
const WARM_UP: Duration = Duration::from_millis(30);
const BACKLOG: i32 = 65_535;
/// Against hanging: what is not answered by then never is.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A part in the play.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Part {
    /// Answers by TCP and UDP, until it is ended.
    Serve {
        /// The port.
        port: u16,
        /// By UDP alone.
        #[arg(long)]
        datagrams: bool,
    },
    /// Connects and closes, one connection after another.
    Connect {
        /// To ADDRESS:PORT.
        to: SocketAddr,
        /// For so many milliseconds.
        milliseconds: u64,
    },
    /// Sends a byte over one connection and waits for the answer, again and again.
    Ask {
        /// To ADDRESS:PORT.
        to: SocketAddr,
        /// For so many milliseconds.
        milliseconds: u64,
    },
    /// Sends a datagram from each of these ports and waits for the answers.
    Greet {
        /// To ADDRESS:PORT.
        to: SocketAddr,
        /// From this port on.
        first: u16,
        /// So many ports.
        count: u16,
    },
}

/// What a client came to.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Said {
    /// How often.
    pub(crate) count: u64,
    /// Per second.
    pub(crate) rate: f64,
    /// Microseconds that half of them did not exceed.
    pub(crate) p50: f64,
    /// Microseconds that 99 % did not exceed.
    pub(crate) p99: f64,
}

/// Plays a part on one processor.
pub(crate) fn play(part: &Part, cpu: usize) -> anyhow::Result<()> {
    stay(cpu)?;
    match *part {
        Part::Serve { port, datagrams } => serve(port, datagrams),
        Part::Connect { to, milliseconds } => {
            say(&repeat(Duration::from_millis(milliseconds), || connect(to))?)
        }
        Part::Ask { to, milliseconds } => {
            let mut stream = TcpStream::connect(to).with_context(|| format!("cannot connect to {to}"))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            say(&repeat(Duration::from_millis(milliseconds), || ask(&mut stream))?)
        }
        Part::Greet { to, first, count } => greet(to, first, count),
    }
}

/// Keeps this thread on one processor.
pub(crate) fn stay(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot stay on processor {cpu}"))
}

fn say(said: &Said) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(said)?);
    Ok(())
}

/// One connection at a time: that is how they come.
fn serve(port: u16, datagrams: bool) -> anyhow::Result<()> {
    let any = (std::net::Ipv4Addr::UNSPECIFIED, port);
    let socket = UdpSocket::bind(any).with_context(|| format!("cannot listen at port {port}"))?;
    if datagrams {
        println!("listening");
        return send_back(&socket);
    }
    let listener = listen(any.into()).with_context(|| format!("cannot listen at port {port}"))?;
    std::thread::spawn(move || send_back(&socket));
    println!("listening");
    loop {
        let (mut stream, _) = listener.accept().context("cannot accept")?;
        stream.set_nodelay(true)?;
        let mut byte = [0];
        // A client that is done resets its connection.
        while matches!(stream.read(&mut byte), Ok(1)) && stream.write_all(&byte).is_ok() {}
    }
}

/// With room for all that a client opens before the server's turn comes: what finds none is sent again after a second.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn send_back(socket: &UdpSocket) -> anyhow::Result<()> {
    let mut bytes = [0; 64];
    loop {
        let (length, from) = socket.recv_from(&mut bytes).context("cannot receive")?;
        // A client that is gone is no reason to end.
        let _ = socket.send_to(&bytes[..length], from);
    }
}

/// How long `connect` takes; then the connection is reset, so that no port rests.
fn connect(to: SocketAddr) -> anyhow::Result<Duration> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    let start = Instant::now();
    socket
        .connect(&to.into())
        .with_context(|| format!("cannot connect to {to}"))?;
    Ok(start.elapsed())
}

fn ask(stream: &mut TcpStream) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut byte = [7];
    stream.write_all(&byte)?;
    stream.read_exact(&mut byte).context("no answer")?;
    Ok(start.elapsed())
}

fn repeat(time: Duration, mut once: impl FnMut() -> anyhow::Result<Duration>) -> anyhow::Result<Said> {
    let warm = Instant::now() + WARM_UP;
    while Instant::now() < warm {
        once()?;
    }
    let start = Instant::now();
    let mut took = Vec::with_capacity(1 << 16);
    while start.elapsed() < time {
        took.push(once()?);
    }
    let spent = start.elapsed();
    ensure!(!took.is_empty(), "nothing was done in {time:?}");
    took.sort();
    let rank = |share: usize| (took.len() * share).div_ceil(100).max(1) - 1;
    let micros = |share| took[rank(share)].as_secs_f64() * 1e6;
    let count = u32::try_from(took.len())?;
    Ok(Said {
        count: count.into(),
        rate: f64::from(count) / spent.as_secs_f64(),
        p50: micros(50),
        p99: micros(99),
    })
}

/// The sockets stay open until the process ends; what they opened in the kernels on the way stays longer.
fn greet(to: SocketAddr, first: u16, count: u16) -> anyhow::Result<()> {
    const TRIES: u32 = 50;
    let mut answered = 0_u64;
    for port in first..first + count {
        let socket = UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, port))
            .with_context(|| format!("cannot send from port {port}"))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut byte = [0; 8];
        for attempt in 0.. {
            ensure!(attempt < TRIES, "no answer from {to} to port {port}");
            // Refused while nobody listens.
            let _ = socket.send(&[1]);
            match socket.recv(&mut byte) {
                Ok(_) => break,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {}
                Err(error) => return Err(error).context("cannot receive"),
            }
        }
        // A second exchange: what is answered once may still count as one-way.
        socket.send(&[2])?;
        socket.recv(&mut byte).context("no second answer")?;
        answered += 1;
    }
    println!("{answered}");
    Ok(())
}
