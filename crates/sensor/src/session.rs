//! The driver of [`Session`]s: the one place where their bytes meet a connection.
//!
//! An idle conversation costs its task and nothing else: reading goes through one buffer a thread,
//! and what a session leaves unconsumed is the only memory kept.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use coalmine_core::decoy::{Context, Limits, Next, Session, Sessions, Stream};
use coalmine_core::{Endpoint, Out};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use crate::house::{House, now};
use crate::tcp::{MAX_HANDSHAKE, TcpService};

/// Size of the buffer that all connections of a thread read through.
const SCRATCH: usize = 16 * 1024;
/// After our last word we wait so long for the peer to close, so that it reads that word.
const MAX_LINGER: Duration = Duration::from_secs(2);
/// And take so much more of what it still sends.
const MAX_LINGER_BYTES: usize = 256 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Talks until the conversation ends or a limit is reached.
pub(crate) async fn run(
    mut stream: impl Stream,
    sessions: &dyn Sessions,
    context: &Context,
    service: &TcpService,
    house: &Arc<House>,
) {
    let limits = service.kind.limits;
    let deadline = Instant::now() + limits.total;
    let mut out = Out::new();
    let mut talk = Talk {
        session: sessions.open(context, &mut out),
        out,
        input: Vec::new(),
        ended: false,
        broken: false,
        context,
        service,
        house,
    };
    match timeout_at(deadline, talk.converse(&mut stream, limits)).await {
        Ok(Ok(Ending::LastWord)) => {
            drop(talk);
            linger(&mut stream).await;
        }
        // Boxed, so that a conversation in the clear doesn't carry the room that TLS needs.
        Ok(Ok(Ending::StartTls)) => Box::pin(secured(stream, talk, limits, deadline)).await,
        Ok(Err(_)) | Err(_) => {}
    }
}

/// Goes on inside TLS, after a handshake as server.
async fn secured(stream: impl Stream, mut talk: Talk<'_>, limits: Limits, deadline: Instant) {
    // What came in the clear behind the request for TLS must never count as said inside it.
    talk.input = Vec::new();
    let Some(config) = talk.service.upgrade.config().await else {
        return;
    };
    let handshake = TlsAcceptor::from(config).accept(stream);
    let Ok(Ok(mut stream)) = timeout(MAX_HANDSHAKE, handshake).await else {
        return;
    };
    talk.out.read();
    talk.session.secured(now(), &mut talk.out);
    // TLS inside TLS is nobody's protocol: a second request ends the connection.
    if let Ok(Ok(Ending::LastWord)) = timeout_at(deadline, talk.converse(&mut stream, limits)).await
    {
        drop(talk);
        linger(&mut stream).await;
    }
}

/// How a conversation ends.
enum Ending {
    /// We have said our last word.
    LastWord,
    /// It goes on inside TLS.
    StartTls,
}

/// One conversation.
struct Talk<'a> {
    session: Box<dyn Session>,
    out: Out,
    /// What the session hasn't consumed.
    input: Vec<u8>,
    /// The peer won't send more.
    ended: bool,
    /// The peer broke the protocol.
    broken: bool,
    context: &'a Context,
    service: &'a TcpService,
    house: &'a Arc<House>,
}

impl Talk<'_> {
    /// An error when the connection failed.
    async fn converse(&mut self, stream: &mut impl Stream, limits: Limits) -> io::Result<Ending> {
        loop {
            self.flush(stream, limits).await?;
            if self.broken {
                return Ok(Ending::LastWord);
            }
            match self.out.next() {
                Next::Close => return Ok(Ending::LastWord),
                Next::StartTls => return Ok(Ending::StartTls),
                Next::Wait(time) => {
                    tokio::time::sleep(time).await;
                    self.out.read();
                    self.session.wake(now(), &mut self.out);
                }
                Next::Read => self.advance(stream, None, limits).await?,
                Next::ReadUntil(after) => self.advance(stream, Some(after), limits).await?,
            }
        }
    }

    /// Feeds what's there; reads when the session needs more.
    async fn advance(
        &mut self,
        stream: &mut impl Stream,
        wake_after: Option<Duration>,
        limits: Limits,
    ) -> io::Result<()> {
        if !self.input.is_empty() && self.feed() {
            return Ok(());
        }
        if self.ended {
            // Whatever is left unconsumed will never be completed.
            self.out.close();
            self.session.end(now(), &mut self.out);
            if matches!(self.out.next(), Next::Read | Next::ReadUntil(_)) {
                self.out.close();
            }
            return Ok(());
        }
        if self.input.len() >= limits.input {
            self.broken = true;
            return Ok(());
        }
        let patience = wake_after.map_or(limits.idle, |after| after.min(limits.idle));
        match timeout(patience, receive(stream, &mut self.input)).await {
            Ok(Ok(0)) => self.ended = true,
            Ok(Ok(_)) => {
                self.feed();
            }
            Ok(Err(error)) => return Err(error),
            Err(_) if wake_after.is_some_and(|after| after <= limits.idle) => {
                self.out.read();
                self.session.wake(now(), &mut self.out);
            }
            Err(_) => self.broken = true,
        }
        Ok(())
    }

    /// Hands the input to the session; whether it took any.
    fn feed(&mut self) -> bool {
        match self.session.feed(&self.input, now(), &mut self.out) {
            Ok(consumed) => {
                let consumed = consumed.min(self.input.len());
                self.input.drain(..consumed);
                if self.input.is_empty() {
                    self.input = Vec::new();
                }
                consumed > 0
            }
            Err(_) => {
                self.broken = true;
                true
            }
        }
    }

    /// What was seen goes to disk, then what was said goes out.
    async fn flush(&mut self, stream: &mut impl Stream, limits: Limits) -> io::Result<()> {
        if self.out.has_seen() {
            let ends = (
                Endpoint::from(self.context.peer),
                Endpoint::from(self.context.local),
            );
            let ticket = self
                .house
                .see(self.out.take_seen(), now(), &self.service.subject, ends)
                .map_err(|_| io::Error::other("the spool is full"))?;
            if let Some(ticket) = ticket {
                self.house.on_disk(ticket).await;
            }
        }
        if !self.out.bytes().is_empty() {
            let bytes = self.out.take_bytes();
            timeout(limits.idle, async {
                stream.write_all(&bytes).await?;
                stream.flush().await
            })
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        }
        Ok(())
    }
}

/// Appends what the peer sends next to `input`; 0 at its end.
async fn receive(stream: &mut (impl AsyncRead + Unpin), input: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
            input.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    })
    .await
}

/// Closes our side and lets the peer read to the end: closing with unread input would reset the
/// connection and take our last word with it.
async fn linger(stream: &mut impl Stream) {
    let _ = timeout(MAX_LINGER, async {
        stream.shutdown().await?;
        let mut discarded = 0;
        let mut waste = Vec::new();
        while discarded < MAX_LINGER_BYTES {
            waste.clear();
            match receive(stream, &mut waste).await? {
                0 => break,
                n => discarded += n,
            }
        }
        io::Result::Ok(())
    })
    .await;
}
