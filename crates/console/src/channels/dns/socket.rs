//! The UDP socket. It answers from the address that was asked: resolvers drop answers that come from
//! another one (RFC 2181 section 4), which the kernel would pick where the machine has several.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A bound socket that knows at which of our addresses a datagram arrived.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

/// What one call brought: datagrams of one peer, which the kernel may have joined.
#[derive(Debug)]
pub(super) struct Arrived {
    pub peer: SocketAddr,
    /// Where they were sent to.
    pub local: SocketAddr,
    length: usize,
    stride: usize,
}

impl Socket {
    /// Size of the buffer for [`Socket::receive`].
    pub const BUFFER: usize = 64 * 1024;

    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let local = socket.local_addr()?;
        Ok(Self {
            socket,
            state,
            local,
        })
    }

    /// Where it's bound.
    #[cfg(test)]
    pub fn address(&self) -> SocketAddr {
        self.local
    }

    /// Waits for datagrams and puts them into `buffer`.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<Arrived> {
        let mut meta = [RecvMeta::default()];
        let receive = || {
            let mut buffers = [IoSliceMut::new(buffer)];
            let socket = UdpSockRef::from(&self.socket);
            self.state.recv(socket, &mut buffers, &mut meta)
        };
        self.socket.async_io(Interest::READABLE, receive).await?;
        let [meta] = meta;
        let ip = meta.dst_ip.unwrap_or(self.local.ip());
        Ok(Arrived {
            peer: meta.addr,
            local: SocketAddr::new(ip, self.local.port()),
            length: meta.len,
            stride: meta.stride.max(1),
        })
    }

    pub(super) async fn send(&self, bytes: &[u8], to: SocketAddr, from: IpAddr) -> io::Result<()> {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents: bytes,
            segment_size: None,
            src_ip: Some(from),
        };
        let send = || {
            let socket = UdpSockRef::from(&self.socket);
            self.state.try_send(socket, &transmit)
        };
        self.socket.async_io(Interest::WRITABLE, send).await
    }
}

impl Arrived {
    /// The datagrams in the buffer that was filled.
    pub fn datagrams<'a>(&self, buffer: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let filled = buffer.get(..self.length).unwrap_or(buffer);
        filled.chunks(self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_asked_at_one_address_is_answered_from_it() {
        for (wildcard, targets) in [
            ("0.0.0.0:0", &["127.0.0.1", "127.0.0.2", "127.9.8.7"][..]),
            ("[::]:0", &["::1", "127.0.0.1", "127.0.0.2"]),
        ] {
            let Ok(socket) = Socket::bind(wildcard.parse().unwrap()).await else {
                assert!(wildcard.starts_with('['), "IPv6 may be missing");
                continue;
            };
            let mut buffer = vec![0; Socket::BUFFER];
            for target in targets {
                let target = SocketAddr::new(target.parse().unwrap(), socket.local.port());
                let any = if target.is_ipv4() {
                    "0.0.0.0:0"
                } else {
                    "[::]:0"
                };
                let client = UdpSocket::bind(any).await.unwrap();
                // Connected, it takes nothing from elsewhere.
                client.connect(target).await.unwrap();
                client.send(b"ask").await.unwrap();
                let arrived = socket.receive(&mut buffer).await.unwrap();
                assert_eq!(arrived.local.ip().to_canonical(), target.ip());
                let read: Vec<&[u8]> = arrived.datagrams(&buffer).collect();
                assert_eq!(read, [b"ask"]);
                let (peer, local) = (arrived.peer, arrived.local.ip());
                socket.send(b"answer", peer, local).await.unwrap();
                let mut answer = [0; 9];
                let length = client.recv(&mut answer).await.unwrap();
                assert_eq!(&answer[..length], b"answer");
            }
        }
    }

    #[test]
    fn joined_datagrams_are_taken_apart() {
        let arrived = Arrived {
            peer: ([127, 0, 0, 1], 1).into(),
            local: ([127, 0, 0, 1], 2).into(),
            length: 7,
            stride: 3,
        };
        let read: Vec<&[u8]> = arrived.datagrams(b"abcdefghij").collect();
        assert_eq!(read, [&b"abc"[..], b"def", b"g"]);
    }
}
