//! Sockets with deadlines.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// A connected stream whose reads and writes end at a deadline.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    deadline: Instant,
}

impl Stream {
    /// A connected socket.
    pub(super) fn new(socket: Socket, deadline: Instant) -> Self {
        Self { socket, deadline }
    }

    /// Sets when the next reads and writes give up.
    pub fn until(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// The local address, of an internet socket.
    pub fn local(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok().and_then(|a| a.as_socket())
    }

    fn left(&self) -> std::io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // A timeout of zero means none at all to the kernel.
        if left < Duration::from_micros(100) { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            self.socket.set_read_timeout(Some(self.left()?))?;
            match (&self.socket).read(buffer) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    return Err(std::io::ErrorKind::TimedOut.into());
                }
                other => return other,
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        match self.socket.send_with_flags(bytes, nix::libc::MSG_NOSIGNAL) {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Err(std::io::ErrorKind::TimedOut.into()),
            other => other,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A connect under way.
#[derive(Debug)]
pub struct Connecting {
    socket: Socket,
    /// The address we dial from, known once the SYN left.
    pub from: Option<SocketAddr>,
    done: Option<std::io::Result<()>>,
}

impl Connecting {
    /// Sends the SYN. `ttl` limits how far it gets.
    pub fn start(to: SocketAddr, ttl: Option<u32>) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        if let Some(ttl) = ttl {
            match to.ip() {
                IpAddr::V4(_) => {
                    socket.set_ttl_v4(ttl)?;
                    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv4RecvErr, &true)?;
                }
                IpAddr::V6(_) => {
                    socket.set_unicast_hops_v6(ttl)?;
                    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv6RecvErr, &true)?;
                }
            }
        }
        let done = match socket.connect(&SockAddr::from(to)) {
            Err(e) if e.raw_os_error() == Some(nix::libc::EINPROGRESS) => None,
            other => Some(other),
        };
        let from = socket.local_addr().ok().and_then(|a| a.as_socket()).filter(|a| !a.ip().is_unspecified());
        Ok(Self { socket, from, done })
    }

    /// Waits for the outcome; none when there is none yet at `deadline`.
    pub fn wait(&mut self, deadline: Instant) -> Option<std::io::Result<()>> {
        if let Some(done) = self.done.take() {
            return Some(done);
        }
        if !writable(self.socket.as_fd(), deadline) {
            return None;
        }
        Some(match self.socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(e)) | Err(e) => Err(e),
        })
    }

    /// The socket itself, for its error queue.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The stream, once `wait` said Ok.
    pub fn stream(self, deadline: Instant) -> std::io::Result<Stream> {
        self.socket.set_nonblocking(false)?;
        self.socket.set_tcp_nodelay(true)?;
        Ok(Stream { socket: self.socket, deadline })
    }
}

/// Waits until a descriptor can be written or has an error.
pub(super) fn writable(fd: BorrowedFd<'_>, deadline: Instant) -> bool {
    ready(fd, PollFlags::POLLOUT, deadline)
}

/// Waits until a descriptor can be read.
pub fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> bool {
    ready(fd, PollFlags::POLLIN, deadline)
}

fn ready(fd: BorrowedFd<'_>, flags: PollFlags, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so that the last millisecond is waited for and not spun through.
        let ms = PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, flags)], ms) {
            Ok(0) if Instant::now() < deadline => {}
            Ok(n) => return n > 0,
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Connects a TCP stream within the limit.
pub fn connect(to: SocketAddr, deadline: Instant) -> std::io::Result<Stream> {
    let mut connecting = Connecting::start(to, None)?;
    match connecting.wait(deadline) {
        Some(Ok(())) => connecting.stream(deadline),
        Some(Err(e)) => Err(e),
        None => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

/// A dial whose source port is known before it is made.
#[derive(Debug)]
pub struct Knock {
    socket: Socket,
    /// The source that its SYN will have.
    pub from: SocketAddr,
}

impl Knock {
    /// Takes a free port of that address.
    pub fn bind(from: IpAddr) -> std::io::Result<Self> {
        let any = SocketAddr::new(from, 0);
        let socket = Socket::new(Domain::for_address(any), Type::STREAM, None)?;
        socket.bind(&SockAddr::from(any))?;
        let from = socket.local_addr()?.as_socket().unwrap_or(any);
        Ok(Self { socket, from })
    }

    /// Dials; whatever comes of it, its SYN was sent unless this fails.
    pub fn dial(&self, to: SocketAddr, limit: Duration) -> std::io::Result<()> {
        use std::io::ErrorKind::{
            ConnectionRefused, ConnectionReset, HostUnreachable, PermissionDenied, TimedOut,
        };
        match self.socket.connect_timeout(&SockAddr::from(to), limit) {
            Err(e) => match e.kind() {
                ConnectionRefused | ConnectionReset | HostUnreachable | PermissionDenied | TimedOut => Ok(()),
                _ => Err(e),
            },
            Ok(()) => Ok(()),
        }
    }
}

/// Connects to a unix socket within the limit.
pub fn connect_unix(path: &Path, deadline: Instant) -> std::io::Result<Stream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    // A full backlog makes connect() wait; SO_SNDTIMEO bounds that (unix(7)).
    socket.set_write_timeout(Some(left))?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Err(std::io::ErrorKind::TimedOut.into()),
        Err(e) => Err(e),
        Ok(()) => Ok(Stream { socket, deadline }),
    }
}

/// Sends a datagram and waits for the reply that `fits`.
pub fn ask_udp(
    to: SocketAddr,
    bytes: &[u8],
    deadline: Instant,
    fits: impl Fn(&[u8]) -> bool,
) -> std::io::Result<Vec<u8>> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.connect(&SockAddr::from(to))?;
    socket.send(bytes)?;
    let mut buffer = [0u8; 4096];
    while readable(socket.as_fd(), deadline) {
        match (&socket).read(&mut buffer) {
            Ok(n) if fits(buffer.get(..n).unwrap_or_default()) => {
                return Ok(buffer.get(..n).unwrap_or_default().to_vec());
            }
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Err(std::io::ErrorKind::TimedOut.into())
}

/// The machine's own addresses.
pub fn own_addresses() -> Vec<IpAddr> {
    let Ok(list) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    list.filter_map(|i| {
        let address = i.address?;
        address
            .as_sockaddr_in()
            .map(|a| IpAddr::V4(a.ip()))
            .or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    })
    .collect()
}

/// The address the kernel would dial from: a connected UDP socket sends nothing.
pub fn source_towards(to: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    socket.local_addr().ok().map(|a| a.ip()).filter(|a| !a.is_unspecified())
}

/// Name of an interface, by its index.
pub fn interface_name(index: u32) -> Option<String> {
    let name = nix::net::if_::if_indextoname(index).ok()?;
    Some(crate::text::shown(name.to_bytes(), 64))
}

/// Index of an interface, as an IPv6 scope.
pub fn scope_of(interface: &str) -> Option<u32> {
    interface.parse().ok().or_else(|| nix::net::if_::if_nametoindex(interface).ok())
}
