//! Which network namespace this process is in, as kernel programs see it.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// The cookie of the calling thread's network namespace (`SO_NETNS_COOKIE`, what `bpf_get_netns_cookie` gives for its
/// sockets). Kernel 5.14.
pub(in super::super) fn cookie() -> io::Result<u64> {
    // Loopback need not be up for a socket that is bound to no address of its own.
    let socket = UdpSocket::bind("0.0.0.0:0").or_else(|_| UdpSocket::bind("[::]:0"))?;
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open; `cookie` has `length` bytes, takes any value, and both live until after the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, unshare};

    use super::cookie;

    /// Needs root.
    #[test]
    fn every_namespace_has_a_cookie_of_its_own() {
        let here = cookie().expect("a cookie");
        assert!(here != 0 && cookie().expect("a cookie") == here);
        let elsewhere = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace (needs root)");
            cookie().expect("a cookie")
        });
        assert_ne!(elsewhere.join().expect("the thread"), here);
    }
}
