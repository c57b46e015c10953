//! Port scans: the packets of all interfaces where they may be seen, the decoys' own connections
//! where not. What a scan is stands in `coalmine_watch`.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coalmine_bus::ServiceReport;
use coalmine_core::{Endpoint, NodeId, Subject, Timestamp};
use coalmine_watch::{Frame, PortscanSettings, Report, Watch, Watched};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::sync::mpsc;

use crate::house::{House, now};
use crate::ring::Ring;
use crate::{BirdPlan, RunningService};

/// What is held back is looked at so often.
const TICK: Duration = Duration::from_millis(250);
/// Lost frames are asked for so often.
const LOOK: Duration = Duration::from_secs(10);
/// Connections that may wait to be counted; more at once are a scan anyway.
const MAX_WAITING: usize = 1_024;

/// The service under which a bird's report tells how its scans are seen,
pub(crate) const ID: &str = "portscan";
/// and its transport where that is by packets.
pub(crate) const PACKETS: &str = "packets";

/// The right to see packets, taken while the program still may.
pub struct PacketSocket(Ring);

impl std::fmt::Debug for PacketSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PacketSocket")
    }
}

impl PacketSocket {
    /// Opens a packet socket on every interface but loopback. Call it before threads start and give
    /// `CAP_NET_RAW` up after it ([`drop_capability`]).
    ///
    /// # Errors
    /// Why there's none and what to do about it, for the operator.
    pub fn open() -> Result<Self, String> {
        Ring::open().map(Self).map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                "packets can't be seen without root or CAP_NET_RAW, so only complete connections to decoys are counted".to_owned()
            }
            _ => format!("packets can't be seen ({error}), so only complete connections to decoys are counted"),
        })
    }
}

/// Gives up the right to open packet sockets, in this thread and those that it starts. Nothing
/// happens where there's none.
pub fn drop_capability() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let Ok(mut sets) = capabilities(None) else {
        return;
    };
    for set in [
        &mut sets.effective,
        &mut sets.permitted,
        &mut sets.inheritable,
    ] {
        set.remove(CapabilitySet::NET_RAW);
    }
    if let Err(error) = set_capabilities(None, sets) {
        tracing::warn!(%error, "CAP_NET_RAW is kept");
    }
}

/// What watches the scans of a sensor's birds.
pub(crate) struct Scans {
    /// Birds whose packets are seen.
    by_packet: Vec<Watched>,
    /// Birds of which only connections are counted.
    by_connection: Vec<Watched>,
    packets: Result<Ring, String>,
    lost: Arc<AtomicU64>,
    contacts: (mpsc::Sender<Contact>, mpsc::Receiver<Contact>),
}

/// A connection to a decoy.
pub(crate) struct Contact {
    bird: NodeId,
    ends: (Endpoint, Endpoint),
    at: Timestamp,
}

/// Tells of connections to the decoys of a bird, where packets aren't seen.
#[derive(Clone)]
pub(crate) struct Contacts {
    bird: NodeId,
    sender: mpsc::Sender<Contact>,
}

impl Contacts {
    /// Somebody connected.
    pub(crate) fn tell(&self, peer: SocketAddr, local: SocketAddr, at: Timestamp) {
        let contact = Contact {
            bird: self.bird,
            ends: (peer.into(), local.into()),
            at,
        };
        // Whoever has more under way is being counted already.
        let _ = self.sender.try_send(contact);
    }
}

impl Scans {
    pub(crate) fn new(packets: Result<PacketSocket, String>) -> Self {
        Self {
            by_packet: Vec::new(),
            by_connection: Vec::new(),
            packets: packets.map(|socket| socket.0),
            lost: Arc::new(AtomicU64::new(0)),
            contacts: mpsc::channel(MAX_WAITING),
        }
    }

    /// How the connections of a bird at this address are counted; `None` where its packets are seen.
    pub(crate) fn contacts(&self, bird: NodeId, address: IpAddr) -> Option<Contacts> {
        self.hidden(address).map(|_| Contacts {
            bird,
            sender: self.contacts.0.clone(),
        })
    }

    /// Why the packets of a bird at this address can't be seen; `None` where they are.
    fn hidden(&self, address: IpAddr) -> Option<String> {
        if address.is_loopback() {
            let why = "packets on loopback aren't watched, so only complete connections to decoys are counted";
            return Some(why.to_owned());
        }
        self.packets.as_ref().err().cloned()
    }

    /// Watches `bird` from now on, and what is told of that.
    pub(crate) fn add(&mut self, bird: Watched) -> ServiceReport {
        let problem = self.hidden(bird.address);
        let (birds, transport) = match problem {
            None => (&mut self.by_packet, PACKETS),
            Some(_) => (&mut self.by_connection, "connections"),
        };
        birds.push(bird);
        ServiceReport {
            id: ID.to_owned(),
            transport: transport.to_owned(),
            port: 0,
            problem,
        }
    }

    /// Starts watching.
    pub(crate) fn start(self, house: &Arc<House>) -> io::Result<Watching> {
        let mut watching = Watching {
            lost: self.lost,
            packets: None,
            connections: None,
        };
        if !self.by_connection.is_empty() {
            let watch = Watch::new(self.by_connection);
            let house = Arc::clone(house);
            drop(self.contacts.0);
            watching.connections = Some(tokio::spawn(count(watch, self.contacts.1, house)));
        }
        if let Ok(ring) = self.packets
            && !self.by_packet.is_empty()
        {
            let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
            let mut watcher = Watcher {
                ring,
                watch: Watch::new(self.by_packet),
                house: Arc::clone(house),
                stop: Arc::clone(&stop),
                lost: Arc::clone(&watching.lost),
            };
            let thread = std::thread::Builder::new()
                .name("packets".to_owned())
                .stack_size(256 * 1024)
                .spawn(move || watcher.run())?;
            watching.packets = Some((thread, stop));
        }
        Ok(watching)
    }
}

/// What watches, while it does.
pub(crate) struct Watching {
    /// Frames that came faster than they could be read.
    pub(crate) lost: Arc<AtomicU64>,
    packets: Option<(std::thread::JoinHandle<()>, Arc<OwnedFd>)>,
    connections: Option<tokio::task::JoinHandle<()>>,
}

impl Watching {
    /// Stops watching. Ports that a scan tried in its last moments may go untold.
    pub(crate) async fn stop(self) {
        if let Some((thread, stop)) = self.packets {
            let _ = rustix::io::write(&*stop, &1_u64.to_ne_bytes());
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        if let Some(connections) = self.connections {
            connections.abort();
        }
    }
}

/// The thread that reads packets.
struct Watcher {
    ring: Ring,
    watch: Watch,
    house: Arc<House>,
    stop: Arc<OwnedFd>,
    lost: Arc<AtomicU64>,
}

impl Watcher {
    fn run(&mut self) {
        let mut reports = Vec::new();
        let mut looked = now();
        loop {
            let pause = if self.watch.is_waiting() { TICK } else { LOOK };
            let stopping = self.wait(pause);
            let Self { ring, watch, .. } = self;
            ring.drain(|frame| {
                let at = Timestamp::from_micros(frame.micros);
                let frame = Frame {
                    ether_type: frame.ether_type,
                    link: frame.link,
                    network: frame.network,
                    outgoing: frame.outgoing,
                };
                watch.frame(&frame, at, &mut reports);
            });
            let time = now();
            watch.tick(time, &mut reports);
            tell(&self.house, &mut reports);
            if time.since(looked) >= LOOK || time < looked {
                looked = time;
                let lost = self.ring.lost().unwrap_or(0);
                self.lost.fetch_add(lost.into(), Ordering::Relaxed);
            }
            if stopping {
                return;
            }
        }
    }

    /// Waits for frames. Whether it's time to stop.
    fn wait(&self, pause: Duration) -> bool {
        let mut ends = [
            PollFd::new(&self.ring, PollFlags::IN | PollFlags::ERR),
            PollFd::from_borrowed_fd(std::os::fd::AsFd::as_fd(&*self.stop), PollFlags::IN),
        ];
        let pause = Timespec::try_from(pause).ok();
        // An interrupted wait is as good as a short one.
        let _ = poll(&mut ends, pause.as_ref());
        ends.get(1).is_some_and(|stop| !stop.revents().is_empty())
    }
}

/// Counts connections to decoys until nobody can tell of any more.
async fn count(mut watch: Watch, mut contacts: mpsc::Receiver<Contact>, house: Arc<House>) {
    let mut reports = Vec::new();
    loop {
        let pause = if watch.is_waiting() { TICK } else { LOOK };
        match tokio::time::timeout(pause, contacts.recv()).await {
            Ok(Some(contact)) => {
                watch.connected(contact.bird, contact.ends, contact.at, &mut reports);
            }
            Ok(None) => return,
            Err(_) => watch.tick(now(), &mut reports),
        }
        tell(&house, &mut reports);
    }
}

/// Puts what was seen on its way to the disk.
fn tell(house: &House, reports: &mut Vec<Report>) {
    for report in reports.drain(..) {
        let subject = Subject::Bird(report.bird);
        let ends = (report.src, report.dst);
        if house
            .see(vec![report.seen], report.at, &subject, ends)
            .is_err()
        {
            tracing::error!("the spool is full: a scan isn't reported");
        }
    }
}

/// What is watched of a bird: the ports on which it listens aren't closed, and those of the
/// Console on the same address are none of its own.
pub(crate) fn watched(
    node_id: NodeId,
    plan: &BirdPlan,
    settings: PortscanSettings,
    services: &[RunningService],
) -> Watched {
    let listening = services
        .iter()
        .filter(|service| service.transport == "tcp" && service.problem.is_none());
    Watched {
        node_id,
        address: plan.address,
        listening: listening.map(|service| service.port).collect(),
        exempt: plan.exempt.iter().copied().collect::<HashSet<_>>(),
        settings,
    }
}
