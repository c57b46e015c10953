//! Accepting: one loop for every TCP service, with limits that no decoy can forget.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coalmine_core::decoy::{Channel, Context, Limits, Stream, Tcp};
use coalmine_core::{DecoyKind, Subject};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::house::{House, now};
use crate::scans::Contacts;
use crate::tls::Upgrade;
use crate::{session, stream};

/// Connections that the kernel may hold for us.
const BACKLOG: i32 = 1024;
/// A TLS handshake may take so long.
pub(crate) const MAX_HANDSHAKE: Duration = Duration::from_secs(20);
/// Pause after the process ran out of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// First byte of a TLS record that holds a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// One TCP service of one bird.
pub(crate) struct TcpService {
    pub(crate) kind: &'static DecoyKind,
    pub(crate) subject: Subject,
    pub(crate) decoy: Tcp,
    /// TLS from the first byte.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// TLS in mid-connection.
    pub(crate) upgrade: Upgrade,
    /// Who counts connections, if anybody does.
    pub(crate) contacts: Option<Contacts>,
}

/// Listens on `address`.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Accepted connections inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until the sensor stops.
pub(crate) async fn run(listener: TcpListener, service: Arc<TcpService>, house: Arc<House>) {
    let open = Arc::new(Open::default());
    // The address that every peer has reached, where there is but one.
    let ours = listener.local_addr().ok();
    let ours = ours.filter(|ours| !ours.ip().is_unspecified());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = house.stopping() => return,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let Some(slot) = open.enter(peer.ip(), service.kind.limits) else {
                    continue;
                };
                let Some(local) = ours.or_else(|| tcp.local_addr().ok()) else {
                    continue;
                };
                let (service, house) = (Arc::clone(&service), Arc::clone(&house));
                tokio::spawn(async move {
                    tokio::select! {
                        () = converse(tcp, (peer, local), &service, &house) => {}
                        () = house.stopping() => {}
                    }
                    drop(slot);
                });
            }
            // Out of descriptors or memory: accepting again at once would spin.
            Err(error) if is_exhausted(&error) => tokio::time::sleep(EXHAUSTED_PAUSE).await,
            // The peer was gone before we looked.
            Err(_) => {}
        }
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

async fn converse(
    tcp: TcpStream,
    (peer, local): (SocketAddr, SocketAddr),
    service: &TcpService,
    house: &Arc<House>,
) {
    let context = Context {
        peer,
        local,
        seed: house.session_seed(),
        channel: Channel::Clear,
        now: now(),
    };
    if let Some(contacts) = &service.contacts {
        contacts.tell(peer, local, context.now);
    }
    match &service.tls {
        None => talk(tcp, context, service, house).await,
        // Boxed, so that a conversation in the clear doesn't carry the room that TLS needs.
        Some(tls) => Box::pin(secured(tcp, tls, context, service, house)).await,
    }
}

async fn secured(
    tcp: TcpStream,
    tls: &Arc<ServerConfig>,
    mut context: Context,
    service: &TcpService,
    house: &Arc<House>,
) {
    let mut first = [0];
    let limits = service.kind.limits;
    match tokio::time::timeout(limits.idle, tcp.peek(&mut first)).await {
        Ok(Ok(1)) if first == [TLS_HANDSHAKE] => {
            let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(tcp);
            if let Ok(Ok(secured)) = tokio::time::timeout(MAX_HANDSHAKE, handshake).await {
                context.channel = Channel::Tls;
                talk(secured, context, service, house).await;
            }
        }
        Ok(Ok(1)) => {
            context.channel = Channel::ClearOnTls;
            talk(tcp, context, service, house).await;
        }
        _ => {}
    }
}

async fn talk(
    stream: impl Stream + 'static,
    context: Context,
    service: &TcpService,
    house: &Arc<House>,
) {
    match &service.decoy {
        Tcp::Sessions(sessions) => {
            session::run(stream, sessions.as_ref(), &context, service, house).await;
        }
        Tcp::Streams(streams) => {
            stream::run(stream, streams.as_ref(), context, service, house).await;
        }
    }
}

/// Open connections of a service, in all and for each source.
#[derive(Default)]
struct Open(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// One open connection's place.
struct Slot {
    open: Arc<Open>,
    source: IpAddr,
}

impl Open {
    /// A place for a connection from `source`, unless a limit is reached.
    fn enter(self: &Arc<Self>, source: IpAddr, limits: Limits) -> Option<Slot> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_source = counts.by_source.get(&source).copied().unwrap_or(0);
        if counts.all >= limits.connections || of_source >= limits.per_source {
            return None;
        }
        counts.all = counts.all.saturating_add(1);
        counts.by_source.insert(source, of_source.saturating_add(1));
        Some(Slot {
            open: Arc::clone(self),
            source,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(of_source) = counts.by_source.get_mut(&self.source) {
            *of_source = of_source.saturating_sub(1);
            if *of_source == 0 {
                counts.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_places_are_given_back() {
        let open = Arc::new(Open::default());
        let limits = Limits {
            per_source: 2,
            connections: 3,
            ..Limits::LOGIN
        };
        let (a, b): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let first = open.enter(a, limits).unwrap();
        let _second = open.enter(a, limits).unwrap();
        assert!(open.enter(a, limits).is_none(), "two of one source");
        let _third = open.enter(b, limits).unwrap();
        assert!(open.enter(b, limits).is_none(), "three in all");
        drop(first);
        assert!(open.enter(b, limits).is_some());
        assert_eq!(open.0.lock().unwrap().by_source.len(), 2);
    }
}
