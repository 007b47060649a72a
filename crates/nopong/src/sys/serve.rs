//! A listening socket whose accepts and reads end in time.

use super::net::Stream;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// A listening TCP socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
}

/// What [`Listener::accept`] came back with.
#[derive(Debug)]
pub enum Accepted {
    /// A connection, and its other end.
    Stream(Stream, SocketAddr),
    /// Nobody came in time.
    Nobody,
    /// `stop` can be read.
    Stopped,
}

impl Listener {
    /// Listens there and nowhere else: `[::]` takes no IPv4.
    pub fn bind(at: SocketAddr) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // As Redis itself does: connections in TIME-WAIT of the server before must not keep us out.
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(at))?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket })
    }

    /// Its address, with the port the kernel chose.
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// The next connection.
    pub fn accept(&self, stop: BorrowedFd<'_>, limit: Duration) -> Accepted {
        let mut fds =
            [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN), PollFd::new(stop, PollFlags::POLLIN)];
        let ms = PollTimeout::try_from(limit.as_millis()).unwrap_or(PollTimeout::MAX);
        if poll(&mut fds, ms).unwrap_or(0) == 0 {
            return Accepted::Nobody;
        }
        if fds[1].revents().is_some_and(|r| !r.is_empty()) {
            return Accepted::Stopped;
        }
        let accepted = self.socket.accept().and_then(|(socket, peer)| {
            socket.set_nonblocking(false)?;
            socket.set_tcp_nodelay(true)?;
            Ok((Stream::new(socket, super::now()), peer.as_socket().ok_or(std::io::ErrorKind::InvalidInput)?))
        });
        match accepted {
            Ok((stream, peer)) => Accepted::Stream(stream, peer),
            Err(_) => {
                // No descriptor left (EMFILE), or the client is gone again: not to be tried at full speed.
                std::thread::sleep(Duration::from_millis(10));
                Accepted::Nobody
            }
        }
    }
}
