//! The driver of [`Session`]s: the one place where their bytes meet a connection.
//!
//! An idle conversation costs its task and nothing else: reading goes through one buffer a thread,
//! and what a session leaves unconsumed is the only memory kept.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use coalmine_core::decoy::{Context, Limits, Next, Session, Sessions, Stream};
use coalmine_core::{Endpoint, Out};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::house::{House, now};
use crate::tcp::{MAX_HANDSHAKE, TcpService};
use crate::wrapped::Wrapped;

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
    let mut out = Out::new();
    let mut talk = Talk {
        session: sessions.open(context, &mut out),
        out,
        input: Vec::new(),
        ended: false,
        told: false,
        broken: false,
        alarm: Alarm::new(limits.total),
        context,
        service,
        house,
    };
    match talk.converse(&mut stream, limits).await {
        // A peer that has closed first has read what it wanted.
        Ok(Ending::LastWord) if talk.ended => {}
        Ok(Ending::LastWord) => {
            drop(talk);
            linger(&mut stream).await;
        }
        // Boxed, so that a conversation in the clear doesn't carry the room that TLS needs.
        Ok(Ending::StartTls) => Box::pin(secured(stream, talk, limits)).await,
        Ok(Ending::EndTls) => {}
        Err(_) => talk.lost().await,
    }
}

/// Goes on inside TLS, after a handshake as server.
async fn secured(stream: impl Stream, mut talk: Talk<'_>, limits: Limits) {
    // What came in the clear behind the request for TLS must never count as said inside it: it's
    // either the beginning of the handshake or nothing.
    let input = std::mem::take(&mut talk.input);
    let how = talk.out.handshake();
    let Some(config) = talk.service.upgrade.config(how).await else {
        return talk.lost().await;
    };
    let stream = match how {
        Some(how) => Wrapped::new(stream, how.packets, input),
        None => Wrapped::new(stream, None, Vec::new()),
    };
    let handshake = TlsAcceptor::from(config).accept(stream);
    let Ok(Ok(mut stream)) = timeout(MAX_HANDSHAKE, handshake).await else {
        return talk.lost().await;
    };
    stream.get_mut().0.bare();
    talk.out.read();
    talk.session.secured(now(), &mut talk.out);
    match talk.converse(&mut stream, limits).await {
        Ok(Ending::LastWord) => {
            drop(talk);
            linger(&mut stream).await;
        }
        Ok(Ending::EndTls) => cleared(stream.into_inner().0.into_inner(), talk, limits).await,
        // TLS inside TLS is nobody's protocol: a second request ends the connection.
        Ok(Ending::StartTls) => {}
        Err(_) => talk.lost().await,
    }
}

/// Goes on in the clear after TLS.
async fn cleared(mut stream: impl Stream, mut talk: Talk<'_>, limits: Limits) {
    // What was said inside behind its end doesn't count outside.
    talk.input = Vec::new();
    talk.out.read();
    talk.session.wake(now(), &mut talk.out);
    match talk.converse(&mut stream, limits).await {
        Ok(Ending::LastWord) => {
            drop(talk);
            linger(&mut stream).await;
        }
        Ok(_) => {}
        Err(_) => talk.lost().await,
    }
}

/// How a conversation ends.
enum Ending {
    /// We have said our last word.
    LastWord,
    /// It goes on inside TLS.
    StartTls,
    /// It goes on without TLS.
    EndTls,
}

/// One conversation.
struct Talk<'a> {
    session: Box<dyn Session>,
    out: Out,
    /// What the session hasn't consumed.
    input: Vec<u8>,
    /// The peer won't send more.
    ended: bool,
    /// The session knows that.
    told: bool,
    /// The peer broke the protocol.
    broken: bool,
    alarm: Alarm,
    context: &'a Context,
    service: &'a TcpService,
    house: &'a Arc<House>,
}

impl Talk<'_> {
    /// An error when the connection failed or its time is over.
    async fn converse(&mut self, stream: &mut impl Stream, limits: Limits) -> io::Result<Ending> {
        loop {
            self.alarm.check()?;
            self.flush(stream, limits).await?;
            if self.broken {
                return Ok(Ending::LastWord);
            }
            match self.out.next() {
                Next::Close => return Ok(Ending::LastWord),
                Next::StartTls => return Ok(Ending::StartTls),
                Next::EndTls => return Ok(Ending::EndTls),
                Next::Wait(time) => {
                    if !time.is_zero() {
                        tokio::time::sleep(time).await;
                    }
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
        // A session may leave what it has seen to the handshake that it asks for.
        if !self.input.is_empty() && (self.feed() || self.out.next() == Next::StartTls) {
            return Ok(());
        }
        if self.ended {
            // Whatever is left unconsumed will never be completed.
            self.out.close();
            self.told = true;
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
        let received = receive(stream, &mut self.input);
        match self.alarm.guard(patience, received).await {
            Some(Ok(0)) => self.ended = true,
            Some(Ok(_)) => {
                self.feed();
            }
            Some(Err(error)) => return Err(error),
            None if wake_after.is_some_and(|after| after <= limits.idle) => {
                self.out.read();
                self.session.wake(now(), &mut self.out);
            }
            None => self.broken = true,
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

    /// The connection failed (a reset, no TLS, out of time): the peer says no more and hears no
    /// more, but what it did so far is kept.
    async fn lost(mut self) {
        if !self.told && !self.broken && self.out.next() != Next::Close {
            self.session.end(now(), &mut self.out);
        }
        // There's nobody left to tell that the spool is full.
        let _ = self.record().await;
    }

    /// What was seen goes to disk.
    async fn record(&mut self) -> io::Result<()> {
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
        Ok(())
    }

    /// What was seen goes to disk, then what was said goes out.
    async fn flush(&mut self, stream: &mut impl Stream, limits: Limits) -> io::Result<()> {
        self.record().await?;
        if !self.out.bytes().is_empty() {
            let bytes = self.out.take_bytes();
            let written = async {
                stream.write_all(&bytes).await?;
                stream.flush().await
            };
            let outcome = self.alarm.guard(limits.idle, written).await;
            outcome.ok_or(io::ErrorKind::TimedOut)??;
        }
        Ok(())
    }
}

/// One timer for all that a conversation waits for. It's set anew only where it would ring too
/// late or has rung too early: most waits end long before their time and leave it alone.
struct Alarm {
    /// When the conversation must be over.
    total: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn new(total: Duration) -> Self {
        Self {
            total: Instant::now() + total,
            sleep: None,
        }
    }

    /// Fails once the conversation must be over.
    fn check(&self) -> io::Result<()> {
        if Instant::now() < self.total {
            Ok(())
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    }

    /// What `work` gives, or `None` when it takes longer than `patience` or the conversation may.
    async fn guard<T>(&mut self, patience: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut due = None;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            let due = *due.get_or_insert_with(|| self.total.min(Instant::now() + patience));
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if sleep.deadline() > due {
                sleep.as_mut().reset(due);
            }
            loop {
                ready!(sleep.as_mut().poll(cx));
                if sleep.deadline() >= due {
                    return Poll::Ready(None);
                }
                sleep.as_mut().reset(due);
            }
        })
        .await
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    async fn taken<T>(work: impl Future<Output = T>) -> (T, Duration) {
        let start = Instant::now();
        (work.await, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_in_time_whatever_came_before() {
        let second = Duration::from_secs(1);
        let mut alarm = Alarm::new(second * 100);
        assert_eq!(alarm.guard(second, ready(7)).await, Some(7));
        let soon = alarm.guard(second * 10, tokio::time::sleep(second));
        assert_eq!(taken(soon).await, (Some(()), second));
        // The timer stands at ten seconds: later, earlier, and later again than that.
        for seconds in [20, 3, 30] {
            let patience = second * seconds;
            let (rang, after) = taken(alarm.guard(patience, pending::<()>())).await;
            assert_eq!((rang, after.as_secs()), (None, u64::from(seconds)));
        }
        assert!(alarm.check().is_ok());
        // 54 seconds are over: not beyond the total.
        let (rang, after) = taken(alarm.guard(second * 80, pending::<()>())).await;
        assert_eq!((rang, after.as_secs()), (None, 46));
        assert!(alarm.check().is_err());
    }
}
