//! Sockets: what a listener and a connection need of TCP, and no more.
//!
//! Every operation is a `poll_*`, because a connection is one hand-written future ([`crate::connection`])
//! that reads, decides and writes without a second task. [`TcpStream::poll_send_file`] is an optimisation
//! behind this seam: a runtime without `sendfile` may answer [`SendFile::Unsupported`], and the response
//! writer then copies.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use nix::sys::socket::{MsgFlags, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

/// Most bytes one `sendfile` call may move, so that one connection cannot hold a worker for long.
const SEND_FILE_BYTES_MAX: usize = 256 * 1024;

/// What a listener applies to its own socket and to each socket that it accepts.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// `listen(2)`'s queue of connections that are not accepted yet (`socket.listen.backlog.size`).
    pub backlog: i32,
    /// `SO_SNDBUF` of accepted sockets; `None` leaves the kernel's automatic tuning in place.
    pub send_buffer_bytes: Option<usize>,
    /// `SO_RCVBUF` of accepted sockets; `None` leaves the kernel's automatic tuning in place.
    pub receive_buffer_bytes: Option<usize>,
}

/// The address that a listener's host stands for; an empty host is every interface, of both IP versions where there are
/// two.
///
/// # Errors
/// The resolver does not know the host.
pub fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    if host.is_empty() {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let has_ipv6 = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)).is_ok();
        return Ok(if has_ipv6 { any } else { (Ipv4Addr::UNSPECIFIED, port).into() });
    }
    let mut addresses = (host, port).to_socket_addrs()?;
    addresses.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))
}

/// A bound, listening socket.
#[derive(Debug)]
pub struct TcpListener {
    listener: tokio::net::TcpListener,
}

impl TcpListener {
    /// Binds and listens. Port 0 takes a free port; [`TcpListener::local_addr`] tells which.
    #[allow(clippy::disallowed_methods, reason = "the seam itself")]
    pub fn bind(address: SocketAddr, options: SocketOptions) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted broker must get its port back while old connections sit in TIME_WAIT.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            socket.set_only_v6(false)?;
        }
        if let Some(bytes) = options.send_buffer_bytes {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = options.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(options.backlog)?;
        Ok(TcpListener { listener: tokio::net::TcpListener::from_std(socket.into())? })
    }

    /// Where this listener is bound, with the real port.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        // An answer leaves when it is written: a response is one write, so Nagle could only delay it.
        stream.set_nodelay(true)?;
        Ok((TcpStream { stream }, peer))
    }
}

/// What [`TcpStream::poll_send_file`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendFile {
    /// So many bytes went from the file to the socket; 0 means that the file ended early.
    Sent(usize),
    /// This file or socket cannot do it: read the bytes and write them instead.
    Unsupported,
}

/// One accepted connection.
#[derive(Debug)]
pub struct TcpStream {
    stream: tokio::net::TcpStream,
}

impl TcpStream {
    /// The address the client dialled: what we answer when no listener is advertised.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Ready when a read may yield something; costs no system call. A connection takes a buffer only then.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(cx)
    }

    /// Reads what is there into the spare capacity of `buffer`, never growing it. `Ok(0)` is the end of the
    /// stream, provided that `buffer` had room.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        debug_assert!(
            buffer.capacity() > buffer.len(),
            "a read without room looks like the end of the stream"
        );
        // After a short read tokio knows the socket is empty, so the next poll costs no system call.
        tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), cx, buffer)
    }

    /// Ready when the socket takes bytes; costs no system call.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(cx)
    }

    /// Writes some of `slices`. With `more`, the kernel holds a partial segment back for the bytes that follow
    /// at once, so that a response head and its records reach the client in one wake-up.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
        more: bool,
    ) -> Poll<io::Result<usize>> {
        let mut flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        if more {
            // Linux has it, nix does not name it.
            flags |= MsgFlags::from_bits_retain(nix::libc::MSG_MORE);
        }
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let fd = self.stream.as_raw_fd();
            let sent =
                self.stream.try_io(Interest::WRITABLE, || Ok(sendmsg::<()>(fd, slices, &[], flags, None)?));
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }

    /// Moves up to `len` bytes (at most 256 KiB a call) at `position` of `file` into the socket, without passing
    /// through our memory.
    pub fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        position: u64,
        len: usize,
    ) -> Poll<io::Result<SendFile>> {
        let Ok(start) = i64::try_from(position) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        };
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let socket = self.stream.as_fd();
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                let mut offset = start;
                let count = len.min(SEND_FILE_BYTES_MAX);
                Ok(nix::sys::sendfile::sendfile(socket, file, Some(&mut offset), count)?)
            });
            return match sent {
                Ok(count) => Poll::Ready(Ok(SendFile::Sent(count))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EINVAL as i32) => {
                    Poll::Ready(Ok(SendFile::Unsupported))
                }
                Err(error) => Poll::Ready(Err(error)),
            };
        }
    }

    /// Says that nothing more will be written. Best effort: the client may be gone.
    pub fn shut_down_writes(&self) {
        let _gone_already =
            nix::sys::socket::shutdown(self.stream.as_raw_fd(), nix::sys::socket::Shutdown::Write);
    }
}
