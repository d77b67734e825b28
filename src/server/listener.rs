//! Connections that may not dawdle: one on which nothing arrives for too long is closed, so that a client which sends a
//! header a byte a minute, or nothing at all, does not hold a file descriptor for ever.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};

/// How long nothing may arrive.
const IDLE: Duration = Duration::from_secs(60);

/// A listener whose connections are [`Restless`].
pub(super) struct Patient(TcpListener);

impl Patient {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self(listener)
    }
}

impl Listener for Patient {
    type Io = Restless;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Restless, SocketAddr) {
        // axum's own listener waits out passing errors such as too many open files.
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Answers are one small packet; waiting to fill a larger one only delays them.
        let _ = stream.set_nodelay(true);
        (Restless { stream, deadline: Box::pin(tokio::time::sleep(IDLE)) }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection that is given up when nothing arrives for [`IDLE`].
pub(super) struct Restless {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
}

impl AsyncRead for Restless {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            self.deadline.as_mut().reset(Instant::now() + IDLE);
            return Poll::Ready(result);
        }
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Restless {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
