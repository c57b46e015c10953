//! A connection whose TLS handshake travels inside the packets of another protocol (MS-TDS 2.2.6.5).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use coalmine_core::decoy::{Packets, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of one flight that may wait for their packet.
const MAX_FLIGHT: usize = 64 * 1024;

/// Gives and takes records; the other side gives and takes packets until either ends with it.
pub(crate) struct Wrapped<S> {
    stream: S,
    packets: Option<Packets>,
    /// Read before from the stream.
    given: Vec<u8>,
    reading: Reading,
    writing: Writing,
}

/// Where in the input we are.
enum Reading {
    /// In the header of a packet: what there is of it, and how much that is.
    Header([u8; Packets::HEADER], usize),
    /// So much of a packet's payload is to come.
    Payload(usize),
    /// Records without packets.
    Bare,
}

enum Writing {
    /// Records of one flight, then their packets on their way out.
    Wrapping {
        flight: Vec<u8>,
        wire: Vec<u8>,
    },
    Bare,
}

impl<S: Stream> Wrapped<S> {
    /// `given` has been read from `stream` already. Without packets everything is as it is.
    pub(crate) fn new(stream: S, packets: Option<Packets>, given: Vec<u8>) -> Self {
        let (reading, writing) = match packets {
            Some(_) => (
                Reading::Header([0; Packets::HEADER], 0),
                Writing::Wrapping {
                    flight: Vec::new(),
                    wire: Vec::new(),
                },
            ),
            None => (Reading::Bare, Writing::Bare),
        };
        Self {
            stream,
            packets,
            given,
            reading,
            writing,
        }
    }

    /// The handshake is over and all of it has been sent: from here on records go bare. Those that
    /// come show by themselves how they come.
    pub(crate) fn bare(&mut self) {
        self.writing = Writing::Bare;
    }

    /// What's below. What was read from it and not taken is dropped.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// Reads into `buffer`, first what was read before; the number of bytes.
    fn poll_take(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.given.is_empty() {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            return Poll::Ready(Ok(buffer.filled().len()));
        }
        let taken = buffer.len().min(self.given.len());
        buffer[..taken].copy_from_slice(&self.given[..taken]);
        self.given.drain(..taken);
        Poll::Ready(Ok(taken))
    }
}

impl<S: Stream> AsyncRead for Wrapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match (&mut this.reading, this.packets) {
                (Reading::Header(header, there), Some(packets)) => {
                    let (mut header, there) = (*header, *there);
                    // The first byte alone: a bare record may be shorter than a header.
                    let end = if there == 0 { 1 } else { header.len() };
                    let taken = ready!(this.poll_take(cx, &mut header[there..end]))?;
                    if taken == 0 {
                        return Poll::Ready(Ok(()));
                    }
                    if header[0] != packets.marker {
                        this.given.insert(0, header[0]);
                        this.reading = Reading::Bare;
                        continue;
                    }
                    let there = there + taken;
                    this.reading = if there < header.len() {
                        Reading::Header(header, there)
                    } else {
                        let payload = (packets.payload)(&header);
                        Reading::Payload(payload.ok_or(io::ErrorKind::InvalidData)?)
                    };
                }
                (Reading::Payload(0), _) => {
                    this.reading = Reading::Header([0; Packets::HEADER], 0);
                }
                (Reading::Payload(left), _) => {
                    let left = *left;
                    let room = left.min(buffer.remaining());
                    let taken = ready!(this.poll_take(cx, buffer.initialize_unfilled_to(room)))?;
                    buffer.advance(taken);
                    this.reading = Reading::Payload(left.saturating_sub(taken));
                    return Poll::Ready(Ok(()));
                }
                _ if this.given.is_empty() => {
                    return Pin::new(&mut this.stream).poll_read(cx, buffer);
                }
                _ => {
                    let room = buffer.remaining();
                    let taken = ready!(this.poll_take(cx, buffer.initialize_unfilled_to(room)))?;
                    buffer.advance(taken);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: Stream> AsyncWrite for Wrapped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        match &mut this.writing {
            Writing::Wrapping { flight, .. } => {
                if flight.len().saturating_add(bytes.len()) > MAX_FLIGHT {
                    return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
                }
                flight.extend_from_slice(bytes);
                Poll::Ready(Ok(bytes.len()))
            }
            Writing::Bare => Pin::new(&mut this.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let (Writing::Wrapping { flight, wire }, Some(packets)) =
            (&mut this.writing, this.packets)
        {
            if !flight.is_empty() {
                wire.extend((packets.wrap)(flight));
                flight.clear();
            }
            while !wire.is_empty() {
                let sent = ready!(Pin::new(&mut this.stream).poll_write(cx, wire))?;
                if sent == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                wire.drain(..sent);
            }
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const PACKETS: Packets = Packets {
        marker: 0x12,
        payload: |header| usize::from(header[3]).checked_sub(Packets::HEADER),
        wrap: |records| {
            let mut packet = vec![0x12, 1, 0, u8::try_from(records.len() + 8).unwrap()];
            packet.extend([0; 4]);
            packet.extend(records);
            packet
        },
    };

    #[tokio::test]
    async fn packets_are_taken_off_until_a_record_comes_bare() {
        for cut in 1..27 {
            let (mut peer, stream) = duplex(1);
            let all = b"\x12\0\0\x0b\0\0\0\0abc\x12\x01\0\x08\0\0\0\0\x17\x03bare".to_vec();
            let (given, rest) = all.split_at(cut.min(all.len()));
            let (given, rest) = (given.to_vec(), rest.to_vec());
            tokio::spawn(async move { peer.write_all(&rest).await });
            let mut said = Vec::new();
            let mut wrapped = Wrapped::new(stream, Some(PACKETS), given);
            wrapped.read_to_end(&mut said).await.unwrap();
            assert_eq!(said, b"abc\x17\x03bare", "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_flight_is_a_packet_until_the_handshake_is_over() {
        let (mut peer, stream) = duplex(64);
        let mut wrapped = Wrapped::new(stream, Some(PACKETS), Vec::new());
        wrapped.write_all(b"ab").await.unwrap();
        wrapped.write_all(b"c").await.unwrap();
        wrapped.flush().await.unwrap();
        wrapped.bare();
        wrapped.write_all(b"\x17\x03").await.unwrap();
        wrapped.shutdown().await.unwrap();
        let mut said = Vec::new();
        peer.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"\x12\x01\0\x0b\0\0\0\0abc\x17\x03");
    }

    #[tokio::test]
    async fn a_packet_that_is_none_ends_it() {
        let (_peer, stream) = duplex(64);
        let given = b"\x12\x01\0\x07\0\0\0\0".to_vec();
        let mut wrapped = Wrapped::new(stream, Some(PACKETS), given);
        let error = wrapped.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
